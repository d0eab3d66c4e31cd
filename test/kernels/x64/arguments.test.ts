/**
 * Arguments of machine code: the table of signatures beside the WASM module's functions, and GRADLOOM_X64=check, which refuses
 * a call whose pointers leave the arena or whose counts no loop can take.
 */
import t from 'tap'
import { instantiateWasm, type WasmExports } from '../../../src/kernels/abi.js'
import { compileWasm } from '../../../src/kernels/module/compile.js'
import { openX64, x64Obstacle } from '../../../src/kernels/x64/accelerate.js'
import { checkArguments } from '../../../src/kernels/x64/argument-check.js'
import { ARGUMENTS_WORD, begin } from '../../../src/kernels/x64/calling-convention.js'
import { isChecking, mayRun, X64_VARIABLE } from '../../../src/kernels/x64/cpu.js'
import { KERNELS } from '../../../src/kernels/x64/kernels.js'
import {
  AMX_PRODUCT,
  BF16_LISTS,
  bf16MultiplySignature,
  bf16PanelSignature,
  multiplySignature,
  packSignature,
  rowWordsSignature,
  TRANSPOSE_BLOCKS,
  TRANSPOSE_NUMBERS,
} from '../../../src/kernels/x64/product-signatures.js'
import { float, type Signature, signature, value } from '../../../src/kernels/x64/signature.js'
import { ADAM, BF16_WEIGHTS, COPY_ROWS, GATHER } from '../../../src/kernels/x64/signatures.js'
import { createArena } from '../../../src/tensor/arena.js'

const ARENA_BYTES = 1 << 16
const BLOCK_WORDS = 4096
const OTHERS: readonly Signature[] = [
  ...[AMX_PRODUCT, rowWordsSignature('arena'), rowWordsSignature('block'), multiplySignature('arena', 3, 128)],
  ...[
    multiplySignature('block', 12, 128),
    packSignature(4, null),
    packSignature(4, 128),
    TRANSPOSE_BLOCKS,
    TRANSPOSE_NUMBERS,
  ],
  ...[BF16_LISTS, bf16PanelSignature(3), bf16MultiplySignature(4)],
]

t.test('signatures: as many arguments as the WASM function, floats last, every extent a number', async t => {
  const wasm = instantiateWasm(await compileWasm(), createArena(ARENA_BYTES))
  for (const { name, signature } of KERNELS) {
    t.equal(signature.kernel, name)
    t.equal(signature.arguments.length, (wasm[name as keyof WasmExports] as () => unknown).length, `${name}: arguments`)
  }
  for (const { kernel, arguments: args } of [...KERNELS.map(({ signature }) => signature), ...OTHERS]) {
    const types = args.map(({ type }) => type)
    t.notOk(
      types.slice(types.indexOf('f32')).some(type => type !== 'f32') && types.includes('f32'),
      `${kernel}: floats`,
    )
    const values = Object.fromEntries(args.map(({ name }) => [name, 64]))
    const memory = { arena: new Uint32Array(ARENA_BYTES / 4), block: new Uint32Array(BLOCK_WORDS) }
    for (const { name, bytes, multiple } of args) {
      if (bytes) t.ok(bytes(values, memory) >= 0, `${kernel}: extent of ${name}`)
      if (multiple) t.ok(multiple(values) >= 1, `${kernel}: multiple of ${name}`)
    }
  }
  t.throws(() => signature('twice', value('n'), value('n')), { message: /two arguments of one name/ })
  const many = Array.from({ length: 23 }, (_, i) => float(`x${i}`))
  t.throws(() => signature('many', ...many), { message: /23 arguments, expected at most 22/ })
  t.throws(() => begin(ADAM).argument('nothing' as 'n'), { message: /displacement/ }, 'a name that is not there')
})

/** Checks a call with these arguments; those that are not named are 0. */
function check(
  signature: Signature,
  given: Readonly<Record<string, number>>,
  change?: (arena: Uint32Array) => void,
): void {
  const memory = { arena: new Uint32Array(ARENA_BYTES / 4), block: new Uint32Array(BLOCK_WORDS) }
  change?.(memory.arena)
  for (const [name, number] of Object.entries(given))
    memory.block[ARGUMENTS_WORD + signature.at[name as never]] = number
  checkArguments(signature, memory)
}

t.test('check: the last byte that fits, and one more', async t => {
  const adam = { w: 0, m: 4096, v: 8192, g: ARENA_BYTES - 4096, n: 1024 }
  t.doesNotThrow(() => check(ADAM, adam))
  for (const [name, wrong] of [
    ['g', { ...adam, g: adam.g + 4 }],
    ['w', { ...adam, w: ARENA_BYTES }],
    ['m', { ...adam, m: 0xfffffff0 }],
    ['g', { ...adam, n: 1040 }],
  ] as const) {
    const message = new RegExp(`x64: adam: ${name} is bytes .*, expected bytes within the arena's ${ARENA_BYTES}; w=`)
    t.throws(() => check(ADAM, wrong), { name: 'RangeError', message })
  }
  for (const n of [0, 1, 1023]) {
    t.throws(() => check(ADAM, { ...adam, n }), { message: /n is \d+, expected a positive multiple of 16/ }, `n ${n}`)
  }
  const copy = { to: 0, toStride: 128, from: 32768, fromStride: 1024, rows: 32, bytes: 64 }
  t.doesNotThrow(() => check(COPY_ROWS, copy))
  t.throws(() => check(COPY_ROWS, { ...copy, rows: 0 }), { message: /rows is 0, expected at least 1/ })
  t.throws(() => check(COPY_ROWS, { ...copy, rows: 33 + 1 }), { message: /from is bytes \[32768, 66624\)/ })
  t.throws(() => check(COPY_ROWS, { ...copy, fromStride: 0x80000000 }), { message: /from is bytes/ })
  const weights = { w: 0, rows: 64, pairs: 16384, transposed: 32768, transposedBlock: 8192, transposedPairs: 32 }
  t.doesNotThrow(() => check(BF16_WEIGHTS, weights))
  t.doesNotThrow(() => check(BF16_WEIGHTS, { ...weights, transposed: 0, transposedPairs: 5 }), 'nothing is transposed')
  t.throws(() => check(BF16_WEIGHTS, { ...weights, pairs: 16392 }), {
    message: /pairs is 16392, expected a multiple of 64/,
  })
  t.throws(() => check(BF16_WEIGHTS, { ...weights, transposedPairs: 5 }), { message: /transposedPairs is 5/ })
  t.throws(() => check(BF16_WEIGHTS, { ...weights, transposed: 65536 - 8192 + 64 }), { message: /transposed is bytes/ })
})

t.test('check: limits that depend on the memory', async t => {
  const gather = { out: 0, outRow: 1024, rows: 2, features: 256, images: 32768, samples: 65536 - 8 }
  const name = (sample: number) => (arena: Uint32Array) => {
    arena[ARENA_BYTES / 4 - 1] = sample
  }
  t.doesNotThrow(() => check(GATHER, gather, name(126)))
  t.throws(
    () => check(GATHER, gather, name(128)),
    { message: /gather: images is bytes \[32768, 65792\)/ },
    'a sample too far',
  )
  t.throws(() => check(GATHER, { ...gather, samples: 65536 }), { message: /samples is bytes/ })
  const block = { from: 0, fromStride: 64, steps: 4, to: 4 * BLOCK_WORDS - 4096, toStride: 64, toStep: 1024 }
  t.doesNotThrow(() => check(TRANSPOSE_BLOCKS, block))
  t.throws(() => check(TRANSPOSE_BLOCKS, { ...block, to: block.to + 64 }), { message: /within the block's 16384/ })
})

const before = process.env[X64_VARIABLE]
const setMode = (mode: string | undefined) => {
  if (mode === undefined) delete process.env[X64_VARIABLE]
  else process.env[X64_VARIABLE] = mode
}

t.test(`${X64_VARIABLE}: 0, 1, check, nothing else`, async t => {
  t.teardown(() => setMode(before))
  for (const [mode, checks] of [
    ['1', false],
    ['0', false],
    ['check', true],
    ['', false],
  ] as const) {
    setMode(mode)
    t.equal(isChecking(), checks, mode)
  }
  setMode('0')
  t.equal(mayRun([]), false)
  for (const mode of ['off', 'true', 'CHECK', ' 0']) {
    setMode(mode)
    t.throws(() => mayRun([]), { name: 'ConfigError', message: `${X64_VARIABLE} is "${mode}", expected 0, 1 or check` })
  }
})

t.test('check: a call with wrong arguments throws', { skip: x64Obstacle() ?? false }, async t => {
  t.teardown(() => setMode(before))
  const memory = createArena(ARENA_BYTES)
  const wasm = instantiateWasm(await compileWasm(), memory)
  setMode('check')
  const checked = (await openX64(memory, 'f32'))!(wasm)
  const values = [1e-3, 0.9, 0.1, 0.999, 0.001, 1, 1e-8, 0, 0] as const
  t.doesNotThrow(() => checked.adam(0, 4096, 8192, 12288, 1024, ...values))
  const past = memory.buffer.byteLength - 64
  t.throws(() => checked.adam(0, 4096, 8192, past, 1024, ...values), { message: /x64: adam: g is bytes/ })
  setMode('1')
  const unchecked = (await openX64(memory, 'f32'))!(wasm)
  t.not(unchecked.adam, wasm.adam)
  t.equal(unchecked.bf16_adam, wasm.bf16_adam, 'kernels of another precision are not assembled')
})
