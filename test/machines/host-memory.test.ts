/** Memory of several processes, with real processes. Linux. */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { createHostMemory, mapHostMemory, type OfferedMemory, openHostMemory } from '../../src/ffi/host-memory.js'
import { createArena } from '../../src/tensor/arena.js'

const PAGE = 65536
const RANGE = { byteOffset: PAGE, bytes: 2 * PAGE }

const urlOf = (file: string) => JSON.stringify(pathToFileURL(`dist/src/${file}`).href)

/** Opens the memory in a process of its own and writes there; returns what it found, or null where it could not. */
function writtenBy(offer: OfferedMemory): number[] | null {
  const program = `
    const { openHostMemory, mapHostMemory } = await import(${urlOf('ffi/host-memory.js')})
    const { createArena } = await import(${urlOf('tensor/arena.js')})
    const fd = openHostMemory(${JSON.stringify(offer)})
    if (fd === null) console.log('null')
    else {
      const memory = createArena(4 * ${PAGE})
      await mapHostMemory(memory, ${JSON.stringify(RANGE)}, fd)
      const words = new Int32Array(memory.buffer)
      console.log(JSON.stringify([words[${PAGE / 4}], words[${(3 * PAGE) / 4 - 2}], words[0]]))
      words[${PAGE / 4 + 1}] = 77
      words[1] = 78
    }`
  const { NODE_OPTIONS: _, ...env } = process.env
  return JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', env }))
}

t.test('two processes see what the other writes there, and nothing else', async t => {
  const made = await createHostMemory()
  if (process.platform !== 'linux') {
    t.equal(made, null)
    return
  }
  const { fd, offer } = made!
  const memory = createArena(4 * PAGE)
  const words = new Int32Array(memory.buffer)
  words.fill(1)
  // Mapping closes the file; the other process opens it later.
  const kept = openSync(`/proc/self/fd/${fd}`, 'r+')
  await mapHostMemory(memory, RANGE, fd)
  t.equal(words[PAGE / 4], 0, 'what was there is gone')
  t.same([words[PAGE / 4 - 1], words[(3 * PAGE) / 4]], [1, 1], 'beside it nothing has changed')
  words[PAGE / 4] = 42
  words[(3 * PAGE) / 4 - 2] = 43
  t.same(writtenBy({ ...offer, fd: kept }), [42, 43, 0])
  t.same([words[PAGE / 4 + 1], words[1]], [77, 1])
  closeSync(kept)
})

t.test('memory of another host, or of a process that is not there, is not opened', async t => {
  const made = await createHostMemory()
  if (!made) {
    t.not(process.platform, 'linux')
    return
  }
  const { fd, offer } = made
  const again = openHostMemory(offer)
  t.type(again, 'number')
  closeSync(again!)
  t.equal(openHostMemory({ ...offer, host: `${offer.host} of another` }), null)
  t.equal(openHostMemory({ ...offer, ino: offer.ino + 1 }), null, 'another file of that number')
  t.equal(openHostMemory({ ...offer, pid: 2 ** 22 + 1 }), null)
  closeSync(fd)
  t.equal(openHostMemory({ ...offer, fd: 9999 }), null)
})
