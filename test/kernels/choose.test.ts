/** Backend and precision that a run takes, and the reasons given. */
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import { ConfigError } from '../../src/errors.js'
import {
  autoOrder,
  BLAS_FIRST,
  hasSparseActivations,
  listBackends,
  NATIVE_FIRST,
  reportBackend,
  SMALL_NETWORK_WEIGHTS,
  WASM_FIRST,
} from '../../src/kernels/backends.js'
import { bitsDependOn, chooseBackend, titleOf } from '../../src/kernels/choose.js'
import { type ComputeWish, chooseCompute } from '../../src/kernels/choose-compute.js'
import { installAdvice } from '../../src/kernels/native/advice.js'
import { nativeLibrary, ownCache } from '../helpers/native-library.js'

ownCache(t)

/** Sets the environment's names of libraries while `act` runs. */
async function withEnv<T>(values: Readonly<Record<string, string>>, act: () => Promise<T>): Promise<T> {
  Object.assign(process.env, values)
  try {
    return await act()
  } finally {
    for (const name of Object.keys(values)) delete process.env[name]
  }
}

const LARGE = { weights: SMALL_NETWORK_WEIGHTS, zeros: true }
const SMALL = { ...LARGE, weights: SMALL_NETWORK_WEIGHTS - 1 }
const DENSE = { ...LARGE, zeros: false }
const WIDE = { arch: 'x64', flags: 'fpu avx2 avx512f' }
const NARROW = { arch: 'x64', flags: 'fpu avx2 fma' }

t.test('libraries come first where vectors are wide, or unknown and the network is not small', async t => {
  t.equal(autoOrder(LARGE, WIDE), NATIVE_FIRST)
  t.equal(autoOrder(SMALL, WIDE), NATIVE_FIRST)
  t.equal(autoOrder(SMALL, { arch: 'x64', flags: '' }), WASM_FIRST)
  t.equal(autoOrder(LARGE, NARROW), WASM_FIRST)
  t.equal(autoOrder(DENSE, NARROW), BLAS_FIRST, 'without zeros to leave out')
  t.equal(autoOrder({ ...SMALL, zeros: false }, NARROW), WASM_FIRST)
  t.equal(autoOrder(LARGE, { arch: 'x64', flags: '' }), NATIVE_FIRST, 'nobody tells')
  t.equal(autoOrder(LARGE, { arch: 'arm64', flags: 'fp asimd' }), NATIVE_FIRST)
})

t.test('zeros: ReLU with dropout in every hidden layer, and no normalisation', async t => {
  const model = (more: object) => resolveExperiment({ data: { dataset: 'digits' }, model: more }).experiment.model
  t.ok(hasSparseActivations(model({ dropout: 0.3 })))
  t.ok(hasSparseActivations(model({ hidden: [5, 5], dropout: [0.2, 0.5] })))
  for (const more of [
    { hidden: [5, 5], dropout: [0.2, 0] },
    { dropout: 0.1 },
    { dropout: 0.3, norm: 'batch' },
    { dropout: 0.3, activation: 'tanh' },
  ]) {
    t.notOk(hasSparseActivations(model(more)), JSON.stringify(more))
  }
})

t.test('auto chooses the first that works: a native library for a large network with AVX-512', async t => {
  const [best] = (await Promise.all([nativeLibrary(t, 'onednn'), nativeLibrary(t, 'blas')])).filter(x => x !== null)
  if (!best) return
  const auto = { backend: 'auto', library: null } as const
  const { name, library, reason, advice } = await chooseBackend(auto, LARGE, WIDE)
  t.strictSame({ name, library, advice }, { name: best.backend, library: best, advice: null })
  t.equal(reason, `${titleOf(best)}: the fastest that works here`)
})

t.test('auto chooses wasm where vectors are narrow, whichever libraries are installed', async t => {
  const auto = { backend: 'auto', library: null } as const
  t.match(await chooseBackend(auto, SMALL, NARROW), { name: 'wasm', library: null, advice: null })
  t.match(await chooseBackend(auto, LARGE, NARROW), { name: 'wasm', library: null, advice: null })
})

t.test('auto falls back to wasm, with the reason', async t => {
  const env = { GRADLOOM_BLAS: '/none/libblas.so', GRADLOOM_ONEDNN: '/none/libdnnl.so' }
  const choice = await withEnv(env, () => chooseBackend({ backend: 'auto', library: null }, LARGE, WIDE))
  t.match(choice, { name: 'wasm', library: null, reason: /same bits on every CPU/ })
  t.equal(choice.advice, 'GRADLOOM_ONEDNN=/none/libdnnl.so is not used: /none/libdnnl.so: there is no such file')
})

t.test('a library that an experiment names is used or refused, with auto too', async t => {
  const library = '/none/libblas.so'
  await t.rejects(chooseBackend({ backend: 'blas', library }), {
    name: 'ConfigError',
    exitCode: 2,
    message: "compute.backend is 'blas', which does not work here: /none/libblas.so: there is no such file",
  })
  await t.rejects(chooseBackend({ backend: 'auto', library }), {
    exitCode: 2,
    message: /^compute\.library is '\/none\/libblas\.so', which does not work here: as onednn: .*; as blas: /,
  })
  const good = await nativeLibrary(t, 'blas')
  if (!good) return
  for (const backend of ['blas', 'auto'] as const) {
    t.match(await chooseBackend({ backend, library: good.path }, { weights: 10, zeros: true }), {
      name: 'blas',
      library: good,
    })
  }
})

t.test('every backend is reported', async t => {
  const reports = await listBackends()
  t.strictSame(
    reports.map(({ name }) => name),
    NATIVE_FIRST,
  )
  for (const { name, available, library } of reports) {
    t.equal(library !== null, available && (name === 'blas' || name === 'onednn'), name)
  }
})

t.test('the advice fits the system at hand', async t => {
  const debian12 = 'ID=debian\nVERSION_ID="12"\n'
  t.equal(installAdvice('onednn', 'linux', debian12), 'apt-get install libdnnl2')
  t.equal(installAdvice('onednn', 'linux', 'ID=debian\nVERSION_ID="13"\n'), null)
  t.equal(installAdvice('blas', 'linux', debian12), 'apt-get install libopenblas0-pthread')
  t.equal(installAdvice('blas', 'linux', 'ID=ubuntu\nID_LIKE=debian\n'), 'apt-get install libopenblas0-pthread')
  t.equal(installAdvice('blas', 'linux', 'ID="rocky"\nID_LIKE="rhel centos fedora"\n'), 'dnf install openblas')
  for (const [backend, platform] of [
    ['blas', 'darwin'],
    ['onednn', 'win32'],
    ['wasm', 'linux'],
  ] as const) {
    t.equal(installAdvice(backend, platform, debian12), null)
  }
})

t.test('bf16 is refused with its reason, or f32 is chosen if allowed', async t => {
  const wish = { backend: 'onednn', library: null, precision: 'bf16', allReduce: 'fused' } as const
  const choose = (of: Partial<ComputeWish>, flags: string, env: NodeJS.ProcessEnv = {}) =>
    chooseCompute({ ...wish, ...of }, undefined, { cpu: { arch: 'x64', flags }, env })
  const refusal = async (...of: Parameters<typeof choose>): Promise<string> => {
    const error = await choose(...of).then(
      () => 'accepted',
      (reason: unknown) => reason,
    )
    if (error instanceof ConfigError && error.exitCode === 2) return error.message
    throw error
  }
  const start = "compute.precision is 'bf16', which does not work here: "
  t.equal(
    await refusal({ backend: 'wasm' }, 'amx_bf16'),
    `${start}compute.backend is 'wasm', expected "onednn" or "auto"`,
  )
  t.equal(
    await refusal({ allReduce: 'buffers' }, 'amx_bf16'),
    `${start}compute.allReduce is 'buffers', expected "fused"`,
  )
  t.match(await refusal({}, 'fpu avx2 avx512_bf16x'), /the CPU \(.+\) has neither amx_bf16 nor avx512_bf16$/)
  t.match(await choose({ precision: 'auto', backend: 'auto' }, 'fpu'), {
    precision: 'f32',
    reason: /; f32, not bf16: the CPU \(.+\) has neither/,
  })
  const { library } = await reportBackend('onednn')
  if (!library) return t.match(await refusal({}, 'amx_bf16'), /oneDNN does not work here: /)
  t.match(await choose({ precision: 'f32' }, 'amx_bf16'), { precision: 'f32', library })
  const emulated = await choose({}, 'fpu', { GRADLOOM_BF16: 'emulate' })
  t.match(emulated, { precision: 'bf16', name: 'onednn', reason: /; bf16 by emulated in f32$/ })
  // CPU flags alone do not decide: the library was tried out.
  if ('obstacle' in library.bf16) t.equal(await refusal({}, 'amx_bf16'), start + library.bf16.obstacle)
  else t.match(await choose({ backend: 'auto' }, 'amx_bf16'), { precision: 'bf16', library })
})

t.test('the manifest records what the bits depend on', async t => {
  t.equal(bitsDependOn('wasm', 'fused'), "gradloom's version alone: the same on every machine")
  t.match(bitsDependOn('onednn', 'fused'), /the library, its version and settings, and the kind of CPU$/)
  t.match(bitsDependOn('wasm', 'buffers'), /^the number of workers, and gradloom's/)
})
