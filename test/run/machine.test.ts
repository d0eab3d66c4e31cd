import { readFileSync } from 'node:fs'
import t from 'tap'
import { machineFacts, memoryLimit } from '../../src/run/machine.js'

t.test('the recorded facts are those of this machine', async t => {
  const facts = machineFacts()
  t.equal(facts.gradloom, JSON.parse(readFileSync('package.json', 'utf8')).version)
  t.equal(facts.node, process.versions.node)
  t.ok(facts.cpu.cores >= facts.cpu.available && facts.cpu.available >= 1, 'cores')
  t.ok(facts.memory.totalBytes >= facts.memory.freeBytes, 'memory')
  t.same(facts.wasm, { simd: true, threads: true }, 'every Node that we support has both')
})

t.test('a memory limit is reported only if it is below the memory of the machine', async t => {
  t.equal(memoryLimit(2 ** 30, 2 ** 34), 2 ** 30)
  for (const none of [undefined, 0, 2 ** 34, 2 ** 64]) t.equal(memoryLimit(none, 2 ** 34), null, String(none))
})
