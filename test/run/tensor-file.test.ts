import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { TensorFile, writeTensorFile } from '../../src/formats/tensor-file.js'

t.test('a file larger than any buffer we hold: 256 MB written and read in < 40 MB more memory', async t => {
  const file = join(t.testdir({}), 'large.safetensors')
  const piece = new Uint8Array(2 ** 20)
  const tensors = Array.from({ length: 4 }, (_, i) => ({
    name: `t${i}`,
    dtype: 'U8' as const,
    shape: [64, 2 ** 20],
    *data() {
      for (let row = 0; row < 64; row++) {
        piece[0] = i
        piece[2 ** 20 - 1] = row
        yield piece
      }
    },
  }))
  const before = process.memoryUsage().rss
  await writeTensorFile(file, tensors, {})
  const grown = process.memoryUsage().rss - before
  t.ok(grown < 40 * 2 ** 20, `grew by ${Math.round(grown / 2 ** 20)} MiB`)
  const tensorFile = await TensorFile.open(file)
  t.teardown(() => tensorFile.close())
  const out = new Uint8Array(64 * 2 ** 20)
  await tensorFile.read('t2', out)
  t.same([out[0], out[2 ** 20 - 1], out[2 ** 20], out.at(-1)], [2, 0, 2, 63])
})

t.test('a failed write leaves the file as it was, and nothing beside it', async t => {
  const dir = t.testdir({ 'w.safetensors': 'as it was' })
  const file = join(dir, 'w.safetensors')
  const tensor = { name: 'w', dtype: 'F32', shape: [2] } as const
  await t.rejects(
    writeTensorFile(file, [{ ...tensor, data: () => [new Uint8Array(4)] }], {}),
    /tensor 'w' gave 4 bytes, expected 8/,
  )
  const broken = () => {
    throw new Error('source failed')
  }
  await t.rejects(writeTensorFile(file, [{ ...tensor, data: broken }], {}), /source failed/)
  t.equal(readFileSync(file, 'utf8'), 'as it was')
  mkdirSync(join(dir, 'taken'))
  await t.rejects(writeTensorFile(join(dir, 'taken'), [], {}), /EISDIR|ENOTEMPTY|EEXIST|EPERM/)
  t.same(readdirSync(dir).sort(), ['taken', 'w.safetensors'])
})

t.test('reading asks for a tensor that is there, into a buffer that fits, of a file that stays', async t => {
  const file = join(t.testdir({}), 'w.safetensors')
  await writeTensorFile(file, [{ name: 'w', dtype: 'U8', shape: [9], data: () => [new Uint8Array(9)] }], {})
  const tensorFile = await TensorFile.open(file)
  t.teardown(() => tensorFile.close())
  await t.rejects(tensorFile.read('v', new Uint8Array(9)), /w.safetensors: tensor 'v' is missing/)
  await t.rejects(tensorFile.read('w', new Uint8Array(8)), /tensor 'w' is 9 bytes, expected 8/)
  writeFileSync(file, readFileSync(file).subarray(0, -1))
  await t.rejects(tensorFile.read('w', new Uint8Array(9)), /ends at byte \d+, expected 1 more; it shrank/)
})
