/**
 * Kernels in AVX-512 compared with those of the WASM module that they replace: the same bits, over sizes that fill no vector, strides,
 * numbers that are subnormal, infinite or NaN.
 */
import t from 'tap'
import { instantiateWasm } from '../../../src/kernels/abi.js'
import { activationCode } from '../../../src/kernels/module/activations.js'
import { compileWasm } from '../../../src/kernels/module/compile.js'
import { openX64, x64Obstacle } from '../../../src/kernels/x64/accelerate.js'
import { KERNELS } from '../../../src/kernels/x64/kernels.js'
import { createArena } from '../../../src/tensor/arena.js'
import { randoms } from '../lab.js'

type KernelName = (typeof KERNELS)[number]['name']
type MemoryKind = 'any bits' | 'numbers' | 'finite' | 'few'
/** 0, -0, 1, -1, infinity, a NaN and a NaN with its sign: windows have several largest ones. */
const FEW = [0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0x7fc00000, 0xffc00001]
const known = new Map<string, Uint32Array>()
const MB = 1 << 20
/** Scratch: kernels may leave anything there. */
const SCRATCH = 0
const SCRATCH_WORDS = 16
const CHUNK_WORDS = 1 << 14
const bytesOf = ({ buffer, byteOffset, byteLength }: Uint32Array) => Buffer.from(buffer, byteOffset, byteLength)
const isSame = (a: Uint32Array, b: Uint32Array) => bytesOf(a).equals(bytesOf(b))
const isNaN32 = (word: number) => (word & 0x7fffffff) > 0x7f800000

const faster = await openX64(createArena(1 << 16), 'bf16')
const reason = faster ? false : (x64Obstacle() ?? 'the system does not let memory become code')

t.test('images in AVX-512: all bytes, divided by 255 as exactly as the WASM module does', { skip: reason }, async t => {
  const memory = createArena(MB)
  const wasm = instantiateWasm(await compileWasm(), memory)
  const x64 = (await openX64(memory, 'bf16'))!(wasm)
  const [out, images, samples] = [0, MB / 2, (3 * MB) / 4]
  const [rows, features, stride] = [40, 272, 4 * 288]
  new Uint8Array(memory.buffer, images, 64 * features).forEach((_, i, bytes) => {
    bytes[i] = i
  })
  const random = randoms(5)
  const wanted = new Uint32Array(memory.buffer, samples, rows)
  for (let i = 0; i < rows; i++) wanted[i] = Math.floor(32 * (random() + 1))
  const place = [out, 0, stride] as const
  const [theirs, own] = [wasm, x64].map(kernels => {
    new Float32Array(memory.buffer, out, rows * 288).fill(-1)
    kernels.gather(...place, rows, 1, features / 4, features, images, samples)
    return new Float32Array(memory.buffer, out, rows * 288).slice()
  })
  t.not(x64.gather, wasm.gather)
  t.equal(own.filter((x, i) => x !== theirs[i]).length, 0)
  // Images hold the bytes 0 to 255 over and over.
  t.equal(own[0], Math.fround(((wanted[0] * features) % 256) / 255))
  t.equal(new Set(own.filter(x => x >= 0)).size, 256, 'every byte is there')
})

t.test('kernels in AVX-512: bit for bit those of the WASM module', { skip: reason }, async t => {
  const memory = createArena(16 * MB)
  const words = new Uint32Array(memory.buffer)
  const wasm = instantiateWasm(await compileWasm(), memory)
  const x64 = (await openX64(memory, 'bf16'))!(wasm)

  for (const { name } of KERNELS) {
    t.not(x64[name], wasm[name], `${name}: stands in for the WASM module's`)
  }

  /** Runs both on the same memory; what they leave there, and whether a number that they return is 0, must agree. */
  function same(name: KernelName, args: readonly number[], values: MemoryKind, title: string) {
    const { serves } = KERNELS.find(kernel => kernel.name === name)!
    t.ok(serves(args), `${name} ${title}: served`)
    const before = memoryOf(values)
    const [left, right] = [wasm, x64].map(kernels => {
      words.set(before)
      const returned = (kernels[name] as (...args: readonly number[]) => number | undefined)(...args)
      return { returned, left: words.slice() }
    })
    let different = 0
    let isChanged = false
    for (let from = SCRATCH_WORDS; from < words.length; from += CHUNK_WORDS) {
      const [own, theirs, old] = [right.left, left.left, before].map(all => all.subarray(from, from + CHUNK_WORDS))
      isChanged ||= !isSame(theirs, old)
      if (isSame(theirs, own)) continue
      theirs.forEach((word, i) => {
        if (word !== own[i] && !(isNaN32(word) && isNaN32(own[i]))) different++
      })
    }
    t.equal(different, 0, `${name} ${title}: words that differ`)
    if (left.returned !== undefined) t.equal(!left.returned, !right.returned, `${name} ${title}: what it returns`)
    t.ok(isChanged, `${name} ${title}: leaves something`)
  }

  const adam = [1e-3, 0.9, 0.1, 0.999, 0.001, 1.7, 1e-8, 1e-2, 1e-3]
  const arrays = [1, 2, 3, 4].map(i => i * MB)
  for (const n of [512, 516, 1000, 1024, 16384]) {
    same('adam', [...arrays, n, ...adam], 'numbers', `${n} numbers`)
  }

  for (const [n, rows] of [
    [16, 32],
    [20, 50],
    [512, 3],
    [1008, 5],
  ]) {
    const numbers = [n, rows, 4 * n + 64, 4 * n + 128, 4 * n]
    same('adam_rows', [...arrays, ...numbers, ...adam], 'numbers', `${rows} rows of ${n}`)
  }

  const samples = 8 * MB
  for (const [rows, vectors] of [
    [1, 128],
    [2, 112],
    [37, 16],
    [64, 125],
    [256, 49],
  ]) {
    const stride = 16 * vectors + 64
    const title = `${rows} rows of ${vectors} vectors`
    const mask = [samples, SCRATCH, 0x12345678, 0xfedcba98, 3, 2, 0x4ccccccd, 1.25]
    for (const values of ['numbers', 'finite'] as const) {
      const z = [MB, 0, stride, rows, 1, vectors]
      same('bias_relu_dropout', [...z, 7, 2 * MB, ...mask], values, `${title}, ${values}`)
      same('relu_backward', [MB, 0, stride, 2 * MB, 0, stride + 64, ...z.slice(3), 1.25], values, `${title}, ${values}`)
      same('bias_relu', [...z, 2 * MB], values, `${title}, ${values}`)
      same('dropout', [...z.slice(0, 3), 0, 0, 0, ...z.slice(3), 7, ...mask], values, `${title}, ${values}`)
    }
    for (const values of ['any bits', 'numbers', 'finite'] as const) {
      // Any bits reach every exponent: sums beyond 50, subnormal results, NaN.
      for (const activation of ['gelu', 'silu', 'sigmoid'] as const) {
        for (const derivatives of [4 * MB, 0]) {
          const z = [MB, 0, stride, derivatives, 0, stride + 64, rows, 1, vectors, 3 * MB]
          const what = `${title}, ${values}, ${activation}${derivatives > 0 ? ' with derivatives' : ''}`
          same('bias_activate', [...z, activationCode[activation], 4 * vectors], values, what)
        }
      }
      if (vectors % 4 === 1) {
        const z = [MB, 0, stride, 4 * MB, 0, stride + 64, rows, 1, vectors, 3 * MB]
        const narrow = [activationCode.gelu, 4 * vectors - 2]
        same('bias_activate', [...z, ...narrow], values, `${title}, ${values}, two columns fewer`)
      }
      const place = [MB, 0, stride, 2 * MB, 0, stride + 64, rows, 1, vectors]
      same('derivative_backward', place, values, `${title}, ${values}`)
    }
    same('column_sums', [4 * MB, MB, stride, rows, vectors, 0], 'numbers', title)
    same('copy_rows', [4 * MB, 8192, MB, stride, rows, 16 * vectors], 'any bits', title)
    same('bf16_rows', [4 * MB, 8192, MB, stride, rows, vectors >> 1], 'any bits', title)
  }

  for (const [rows, vectors] of [
    [200, 3],
    [64, 4],
    [65, 5],
    [127, 8],
    [1, 128],
    [392, 16],
    [129, 15],
  ]) {
    const stride = 16 * vectors + 64
    const maps = [MB, stride, 2 * MB, stride + 64, rows, vectors, 4 * MB]
    const scored = [MB, stride, 0, 0, rows, vectors, 4 * MB]
    const sums = [5 * MB, 6 * MB, ...maps.slice(0, 4), rows, vectors]
    for (const values of ['numbers', 'finite'] as const) {
      const title = `${rows} positions of ${vectors} vectors, ${values}`
      same('map_sums', sums, values, title)
      same('map_normalise', maps, values, title)
      same('map_norm_backward', maps, values, title)
    }
    same('map_normalise', scored, 'numbers', `${rows} positions of ${vectors} vectors, not kept`)
  }

  for (const [height, width, vectors, size, beside] of [
    [28, 28, 8, 2, 0],
    [7, 9, 16, 2, 64],
    [14, 15, 5, 2, 0],
    [13, 12, 12, 3, 64],
    [20, 9, 7, 4, 0],
  ]) {
    const [outHeight, outWidth] = [Math.floor(height / size), Math.floor(width / size)]
    const position = 16 * vectors + beside
    for (const values of ['any bits', 'numbers', 'finite', 'few'] as const) {
      for (const average of [0, 1]) {
        const title = `${height} x ${width} of ${vectors} vectors, windows of ${size}, ${values}${average ? ', mean' : ''}`
        const outputs = [position + 64, outHeight, outWidth]
        same('pool', [MB, ...outputs, 2 * MB, position, width, vectors, size, average], values, title)
        const backward = [
          MB,
          position + 128,
          height,
          width,
          3 * MB,
          ...outputs,
          2 * MB,
          position,
          vectors,
          size,
          average,
        ]
        same('pool_backward', backward, values, title)
      }
    }
  }

  for (const rows of [32, 64, 128, 256]) {
    const stride = 4 * 208
    same('bf16_pairs', [4 * MB, MB, stride, rows, rows], 'any bits', `${rows} rows`)
    same('bf16_columns', [4 * MB, 2 * rows + 64, MB, stride, rows, 48, rows], 'any bits', `${rows} rows`)
  }

  for (const [rows, turned, turnedPairs] of [
    [32, 6 * MB, 16],
    [48, 6 * MB, 32],
    [16, 0, 32],
    [52, 6 * MB, 32],
    [64, 0, 32],
    [196, 6 * MB, 16],
    [223, 6 * MB, 32],
    [256, 6 * MB, 32],
  ]) {
    const weights = [MB, rows, Math.ceil(rows / 32) * 32, 5 * MB, turned, 65536, turnedPairs]
    const title = `${rows} rows, ${turned ? `${turnedPairs} pairs of columns` : 'not turned'}`
    same('bf16_weights', weights, 'any bits', title)
    same('bf16_adam', [...weights, 2 * MB, 3 * MB, 4 * MB, ...adam], 'numbers', title)
  }

  for (const rows of [2, 32, 96, 256]) {
    const [stride, toStride] = [4 * 192, 2 * 160]
    for (const values of ['numbers', 'finite'] as const) {
      const title = `${rows} rows, ${values}`
      const strip = [MB, stride, 2 * MB, rows, 3 * MB, 4 * MB, toStride, 5 * MB, 320]
      const mask = [32, samples, SCRATCH, 5, 0xfffffff0, 1, 6, 0x4ccccccd, 1.25]
      same('bf16_forward', strip, values, title)
      same('bf16_forward_dropout', [...strip, ...mask], values, title)
      const backward = [MB, stride, 2 * MB, rows, 3 * MB, stride, 4 * MB, toStride, 5 * MB, rows, 6 * MB, 128, 1.25]
      same('bf16_backward', backward, values, title)
    }
  }
  t.end()

  /** 16 MB of the same words each time: with subnormal numbers and zeros among them, in some infinite ones and NaN; few: many are equal. */
  function memoryOf(values: MemoryKind): Uint32Array {
    let memory = known.get(values)
    if (memory) return memory
    memory = new Uint32Array(16 * (MB / 4))
    const floats = new Float32Array(memory.buffer)
    const random = randoms(values.length)
    const word = () => Math.floor((random() + 1) * 2 ** 31)
    for (let i = 0; i < memory.length; i++) {
      if (values === 'any bits') memory[i] = word()
      else if (values === 'few') memory[i] = FEW[word() % FEW.length]
      else floats[i] = i % 11 === 3 ? random() * 1e-38 : i % 7 === 2 ? 0 : random()
    }
    // Second moments are not negative.
    for (let i = (3 * MB) / 4; i < MB; i++) floats[i] = Math.abs(floats[i])
    if (values === 'numbers') for (let i = 1; i < memory.length; i += 997) memory[i] = i % 2 ? 0x7f800000 : 0x7fc00000
    known.set(values, memory)
    return memory
  }
})
