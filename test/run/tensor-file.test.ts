import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { TensorFile, writeTensorFile } from '../../src/formats/tensor-file.js'

t.test('a file larger than any buffer: 256 MB are written and read in < 40 MB more memory', async t => {
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

for (const kind of ['shared memory of WebAssembly', 'shared memory that begins anywhere', 'memory of this thread'])
  t.test(`a file of 20 MB from ${kind}: every byte, for any sizes of tensors and pieces`, async t => {
    const sizes = [1, 4095, 5_000_003, 40, 0, 12_345_678, 4096, 2_654_321, 8]
    const total = sizes.reduce((sum, size) => sum + size)
    const pages = Math.ceil(total / 65536)
    const bytes =
      kind === 'shared memory of WebAssembly'
        ? new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer, 0, total)
        : kind === 'memory of this thread'
          ? new Uint8Array(total)
          : new Uint8Array(new SharedArrayBuffer(total + 1), 1, total)
    for (let i = 0; i < total; i++) bytes[i] = (i * 2654435761) >>> 24
    const file = join(t.testdir({}), 'w.safetensors')
    let start = 0
    const tensors = sizes.map((size, i) => {
      const mine = bytes.subarray(start, start + size)
      start += size
      return {
        name: `t${i}`,
        dtype: 'U8' as const,
        shape: [size],
        *data() {
          for (let at = 0; at < size; at += 1_000_003) yield mine.subarray(at, at + 1_000_003)
        },
      }
    })
    await writeTensorFile(file, tensors, { note: 'x' })
    const written = readFileSync(file)
    const header = 8 + Number(written.readBigUInt64LE())
    t.equal(header % 4096, 0, 'tensors begin with a page of the file')
    t.equal(written.length, header + total)
    t.ok(written.subarray(header).equals(bytes), 'all bytes are those of the tensors')
    const tensorFile = await TensorFile.open(file)
    await tensorFile.close()
    t.same([...tensorFile.header.tensors.values()].at(-1)?.end, total)
  })

t.test('pieces in one buffer that the source overwrites are written as they were given', async t => {
  const file = join(t.testdir({}), 'w.safetensors')
  const piece = new Uint8Array(3000)
  const data = function* () {
    for (let i = 0; i < 7000; i++) yield piece.fill(i % 251)
  }
  await writeTensorFile(file, [{ name: 'w', dtype: 'U8', shape: [7000, 3000], data }], {})
  const written = readFileSync(file)
  const from = written.length - 7000 * 3000
  const wrong = Array.from({ length: 7000 }, (_, i) => i).filter(
    i => written[from + 3000 * i] !== i % 251 || written[from + 3000 * i + 2999] !== i % 251,
  )
  t.same(wrong, [])
})

t.test('a failed write leaves the old file unchanged and no temporary file', async t => {
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

t.test('reading requires a known tensor, a buffer of its size, and an unchanged file', async t => {
  const file = join(t.testdir({}), 'w.safetensors')
  await writeTensorFile(file, [{ name: 'w', dtype: 'U8', shape: [9], data: () => [new Uint8Array(9)] }], {})
  const tensorFile = await TensorFile.open(file)
  t.teardown(() => tensorFile.close())
  await t.rejects(tensorFile.read('v', new Uint8Array(9)), /w.safetensors: tensor 'v' is missing/)
  await t.rejects(tensorFile.read('w', new Uint8Array(8)), /tensor 'w' is 9 bytes, expected 8/)
  writeFileSync(file, readFileSync(file).subarray(0, -1))
  await t.rejects(tensorFile.read('w', new Uint8Array(9)), /ends at byte \d+, expected 1 more; it shrank/)
})
