/** A checkpoint of a newer gradloom is named as such: it is whole, so nothing passes over it or removes it. */
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { resume } from '../../src/coordinator/resume.js'
import { readCheckpoint } from '../../src/run/checkpoint-file.js'

const OLD = fileURLToPath(new URL('../../../test/fixtures/bytes-of-0.1', import.meta.url))
const dir = join(t.testdir({}), 'copy')
cpSync(OLD, dir, { recursive: true })
const folder = join(dir, 'run', 'checkpoints')
const file = join(folder, 'step-8.safetensors')
const written = readFileSync(file).toString('latin1').replace('"formatVersion":"1"', '"formatVersion":"7"')
writeFileSync(file, written, 'latin1')

t.test('reading and resuming a checkpoint of a newer version are refused, and nothing changes', async t => {
  const message = /formatVersion is '7', expected '1'; a newer version of gradloom wrote it/
  await t.rejects(readCheckpoint(file), { name: 'RunError', message })
  const asked = { dataPath: join(dir, 'bytes.npz'), overrides: ['train.epochs=4'] }
  await t.rejects(resume(join(dir, 'run'), asked), { name: 'RunError', message })
  t.same(readdirSync(folder), ['step-8.safetensors'])
  t.equal(readFileSync(file, 'latin1'), written)
})
