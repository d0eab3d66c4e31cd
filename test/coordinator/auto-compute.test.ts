/** What `auto` is, decided by the times of a trial: made up here but in the last test. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { type AutoOptions, TRIAL_VARIABLE } from '../../src/coordinator/auto-compute.js'
import { train } from '../../src/coordinator/new-run.js'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import type { Contender, StepTime } from '../../src/coordinator/trial-choice.js'
import { RunError } from '../../src/errors.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { precisionOfTitle, titleOf } from '../../src/kernels/choose.js'
import { admissiblePairs, pairName } from '../../src/kernels/choose-compute.js'
import { nativeLibrary, ownCache } from '../helpers/native-library.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const cache = ownCache(t)
process.env[TRIAL_VARIABLE] = '1'
const trials = join(cache, 'trials')
const forget = () => rmSync(trials, { recursive: true, force: true })
t.afterEach(forget)
const folder = t.testdir()
const path = writeTinyData(folder)

const base = {
  data: { dataset: 'idx', path },
  model: { hidden: [29], dropout: 0.3 },
  train: { epochs: 2, batchSize: 50 },
} satisfies ExperimentInput

/** A trial whose times are made up by the name of the contender; others take 100 ms. */
function madeUp(msOf: Readonly<Record<string, number>>) {
  const asked: Contender[][] = []
  const measure: AutoOptions['measure'] = async runs => {
    const contenders = runs.map(({ plan: { backend, precision, workers } }) => ({ backend, precision, workers }))
    asked.push(contenders)
    return contenders.map(
      (of): StepTime => ({ ...of, ms: msOf[`${pairName(of)} x${of.workers}`] ?? msOf[pairName(of)] ?? 100 }),
    )
  }
  return { measure, asked }
}

async function trained(
  compute: ExperimentInput['compute'],
  measure: AutoOptions['measure'],
  more: { readonly runDir?: string; readonly experiment?: Partial<ExperimentInput> } = {},
) {
  const warnings: string[] = []
  let reason = ''
  const summary = await train(resolveExperiment({ ...base, ...more.experiment, compute }), {
    runDir: more.runDir ?? null,
    measure,
    onWarning: text => warnings.push(text),
    onEvent(event) {
      if (event.type === 'start') reason = event.backendReason
    },
  })
  return { ...summary, warnings, reason }
}

const natives = (['onednn', 'blas'] as const).map(async name => ((await nativeLibrary(t, name)) ? name : null))
const backends = ['wasm', ...(await Promise.all(natives)).filter(name => name !== null)] as const
const skip = backends.length > 1 ? (false as const) : 'one backend works here'

for (const backend of backends) {
  t.test(`auto chooses the fastest backend, with the bits that it has when named: ${backend}`, { skip }, async t => {
    const named = await trained({ backend, workers: 2 }, undefined)
    const { measure, asked } = madeUp({ [backend]: 50 })
    const run = await trained({ workers: 2 }, measure)
    t.match(run, { backend, precision: 'f32', workers: 2, weightsSha256: named.weightsSha256 })
    t.match(run.reason, new RegExp(`${backend} 50 ms a step, .*100.* \\(measured\\)$`))
    t.strictSame(asked.length, 1)
    t.strictSame(new Set(asked[0].map(({ backend }) => backend)), new Set(backends), 'each that works')
    t.equal(asked[0].length, backends.length, 'once')
  })
}

for (const pair of [...backends, 'onednn bf16']) {
  t.test(`evaluate scores in the backend and precision that the run took: ${pair}`, { skip }, async t => {
    process.env.GRADLOOM_BF16 = 'emulate'
    t.teardown(() => delete process.env.GRADLOOM_BF16)
    const runDir = join(t.testdir(), 'run')
    const run = await trained({ workers: 2, precision: 'auto' }, madeUp({ [pair]: 50 }).measure, { runDir })
    const taken = run.precision === 'bf16' ? `${run.backend} bf16` : run.backend
    t.equal(taken, backends.includes('onednn') || pair !== 'onednn bf16' ? pair : run.backend)
    const { loss, accuracy } = await evaluate(runDir)
    t.match({ loss, accuracy }, { loss: run.test!.loss, accuracy: run.test!.accuracy })
    const alone = await evaluate(join(runDir, run.checkpoint!))
    t.equal(alone.loss, loss, 'a checkpoint by itself says what it was computed in')
  })
}

t.test('evaluate scores in another backend where that of the run does not work', { skip }, async t => {
  const runDir = join(t.testdir(), 'run')
  const run = await trained({ workers: 2 }, madeUp({ wasm: 50 }).measure, { runDir })
  const file = join(runDir, run.checkpoint!)
  const bytes = readFileSync(file)
  const at = bytes.indexOf('"backend\\":\\"wasm'.slice(1))
  t.ok(at > 0)
  bytes.write('cuda', bytes.indexOf('wasm', at))
  writeFileSync(file, bytes)
  const { accuracy } = await evaluate(runDir)
  t.ok(Math.abs(accuracy! - run.test!.accuracy!) < 0.2, `${accuracy}, ${run.test!.accuracy}`)
})

t.test('the backend chosen without a trial is kept where others are hardly faster', { skip }, async t => {
  const usual = (await withoutTrial(() => trained({ workers: 2 }, undefined))).backend
  const others = Object.fromEntries(backends.map(name => [name, name === usual ? 100 : 98]))
  t.equal((await trained({ workers: 2 }, madeUp(others).measure)).backend, usual)
})

async function withoutTrial<T>(act: () => Promise<T>): Promise<T> {
  process.env[TRIAL_VARIABLE] = '0'
  try {
    return await act()
  } finally {
    process.env[TRIAL_VARIABLE] = '1'
  }
}

t.test('no trial is made where the experiment names a backend, or the environment turns trials off', async t => {
  const { measure, asked } = madeUp({})
  await trained({ backend: 'wasm', workers: 2 }, measure)
  await trained({ backend: 'wasm' }, measure)
  const { reason } = await withoutTrial(() => trained({}, measure))
  t.strictSame(asked, [])
  t.notMatch(reason, /measured/)
})

t.test('bf16 is a contender only where the experiment allows it', { skip }, async t => {
  process.env.GRADLOOM_BF16 = 'emulate'
  t.teardown(() => delete process.env.GRADLOOM_BF16)
  const wish = { library: null, allReduce: 'fused', backend: 'auto' } as const
  const names = async (more: object) => (await admissiblePairs({ ...wish, precision: 'auto', ...more })).map(pairName)
  t.strictSame((await names({ precision: 'f32' })).sort(), [...backends].sort())
  t.strictSame(await names({ backend: 'wasm', precision: 'f32' }), [], 'nothing is left to decide')
  t.strictSame(await names({ backend: 'wasm' }), ['wasm'])
  if (!backends.includes('onednn')) return
  t.strictSame((await names({})).sort(), [...backends, 'onednn bf16'].sort())
  t.strictSame(await names({ backend: 'onednn' }), ['onednn', 'onednn bf16'])
  t.strictSame(await names({ precision: 'bf16' }), ['onednn bf16'])
  t.notOk((await names({ allReduce: 'buffers' })).includes('onednn bf16'))
  const { measure } = madeUp({ 'onednn bf16': 50 })
  const rounded = await trained({ workers: 2, precision: 'auto' }, measure)
  t.match(rounded, { backend: 'onednn', precision: 'bf16' })
  t.match(await trained({ workers: 2 }, measure), { precision: 'f32' })
})

t.test('a second run makes no trial, with any number of workers', { skip }, async t => {
  const { measure, asked } = madeUp({ wasm: 50 })
  const first = await trained({ workers: 2 }, measure)
  for (const workers of [2, 1, 3]) {
    const again = await trained({ workers }, measure)
    t.match(again, { backend: 'wasm', workers, weightsSha256: first.weightsSha256 })
    t.match(again.reason, /^wasm 50 ms a step, .* \(measured before\)$/)
  }
  t.equal(asked.length, 1)
  await trained({ workers: 2 }, measure, { experiment: { optimizer: { type: 'adam', learningRate: 0.01 }, seed: 5 } })
  t.equal(asked.length, 1, 'steps take as long at another rate, from another seed')
  await trained({ workers: 2 }, measure, { experiment: { model: { hidden: [30] } } })
  await trained({ workers: 2 }, measure, { experiment: { train: { epochs: 1, batchSize: 20 } } })
  t.equal(asked.length, 3, 'another network, another mini-batch')
})

t.test('runs that begin at the same time make one trial', { skip }, async t => {
  const { measure, asked } = madeUp({ wasm: 50 })
  const runs = await Promise.all([1, 2, 3].map(seed => trained({ workers: 2 }, measure, { experiment: { seed } })))
  t.strictSame(
    runs.map(({ backend }) => backend),
    ['wasm', 'wasm', 'wasm'],
  )
  t.equal(asked.length, 1)
})

t.test('of processes that make a trial at the same time, the first to finish decides for all', { skip }, async t => {
  const first = madeUp({ wasm: 50 })
  const second = madeUp({ wasm: 200 })
  await trained({ workers: 2 }, first.measure)
  const [name] = readdirSync(trials)
  const entry = readFileSync(join(trials, name))
  forget()
  const run = await trained({ workers: 2 }, async (...of) => {
    // Another process finishes its trial while this one measures.
    mkdirSync(trials, { recursive: true })
    writeFileSync(join(trials, name), entry)
    return second.measure!(...of)
  })
  t.equal(run.backend, 'wasm')
  t.match(run.reason, /^wasm 50 ms a step, .* \(measured before\)$/)
  t.equal((await trained({ workers: 2 }, second.measure)).backend, 'wasm')
  t.equal(second.asked.length, 1)
  t.same(readdirSync(trials).length, 1, 'no temporary file is left')
})

t.test('a cache entry that cannot be read is measured again and replaced', { skip }, async t => {
  const { measure, asked } = madeUp({ wasm: 50 })
  await trained({ workers: 2 }, measure)
  const [name] = readdirSync(trials)
  for (const [i, broken] of ['', '{"times"', '{}', '{"times":[]}', '{"times":[{"backend":"cuda"}]}'].entries()) {
    writeFileSync(join(trials, name), broken)
    t.equal((await trained({ workers: 2 }, measure)).backend, 'wasm', broken)
    t.equal(asked.length, i + 2)
  }
  t.equal(JSON.parse(readFileSync(join(trials, name), 'utf8')).times.length, backends.length)
})

t.test('a cache that cannot be written does not stop a run', { skip }, async t => {
  writeFileSync(trials, 'a file in the place of the folder')
  const { measure, asked } = madeUp({ wasm: 50 })
  t.equal((await trained({ workers: 2 }, measure)).backend, 'wasm')
  t.equal((await trained({ workers: 2 }, measure)).backend, 'wasm')
  t.equal(asked.length, 2)
})

t.test('a trial that fails leaves the choice made without a trial, and is reported', { skip }, async t => {
  const usual = (await withoutTrial(() => trained({ workers: 2 }, undefined))).backend
  const measure = async () => Promise.reject(new RunError('step with blas: the loss is not finite'))
  const run = await trained({ workers: 2 }, measure)
  t.equal(run.backend, usual)
  t.match(run.warnings, [`trial of backends: step with blas: the loss is not finite; the run takes ${usual}`])
  t.throws(() => readdirSync(trials), 'nothing is remembered')
})

const cores = availableParallelism()
t.test('a small network takes one worker where that is faster', { skip: cores === 1 && 'one core' }, async t => {
  const all = await trained({ backend: 'wasm' }, undefined)
  t.equal(all.workers, cores)
  const one = await trained({}, madeUp({ 'wasm x1': 1, [`wasm x${cores}`]: 2 }).measure)
  t.match(one, { backend: 'wasm', workers: 1, weightsSha256: all.weightsSha256 })
  forget()
  const more = await trained({}, madeUp({ 'wasm x1': 2, [`wasm x${cores}`]: 1 }).measure)
  t.match(more, { backend: 'wasm', workers: cores, weightsSha256: all.weightsSha256 })
  forget()
  const { measure, asked } = madeUp({ wasm: 1 })
  await trained({ allReduce: 'buffers' }, measure)
  t.strictSame([...new Set(asked.flat().map(({ workers }) => workers))], [cores], 'bits depend on their number')
})

t.test('times with another number of workers decide the pair; and the number, if several were compared', async t => {
  const cores2 = Math.max(2, cores)
  const { measure } = madeUp({ 'wasm x1': 1 })
  await trained({ workers: 1 }, measure) // an entry of one worker alone
  if (backends.length > 1) t.match(await trained({}, measure), { backend: 'wasm', workers: cores })
  forget()
  const own: AutoOptions['measure'] = async runs => [
    { backend: 'wasm', precision: 'f32', workers: 1, ms: 1 },
    { backend: runs.at(-1)!.plan.backend, precision: 'f32', workers: cores2, ms: 9 },
  ]
  if (cores > 1) t.match(await trained({}, own), { backend: 'wasm', workers: 1 })
  t.pass()
})

t.test('the manifest records the times, and resume and reproduce keep the backend of the run', { skip }, async t => {
  const runDir = join(folder, 'kept')
  const run = await trained({ workers: 2 }, madeUp({ wasm: 50 }).measure, { runDir })
  t.equal(run.backend, 'wasm')
  const manifest = JSON.parse(readFileSync(join(runDir, 'manifest.json'), 'utf8'))
  t.match(manifest.backend, { name: 'wasm', precision: 'f32', trial: { remembered: false } })
  const { times } = manifest.backend.trial as { readonly times: readonly StepTime[] }
  t.strictSame(Object.fromEntries(times.map(({ backend, ms }) => [backend, ms])), {
    ...Object.fromEntries(backends.map(name => [name, 100])),
    wasm: 50,
  })
  // What a trial would say now is another matter.
  const [name] = readdirSync(trials)
  const others = backends
    .filter(name => name !== 'wasm')
    .map(name => ({ backend: name, precision: 'f32', workers: 2, ms: 1 }))
  writeFileSync(join(trials, name), JSON.stringify({ times: others }))
  t.not((await trained({ workers: 2 }, undefined)).backend, 'wasm')
  t.match(await reproduce(runDir), { identical: true })
  const { summary } = await resume(runDir, { overrides: ['train.epochs=3'] })
  t.match(summary, { backend: 'wasm', epochs: 3 })
})

t.test('a run without a checkpoint resumes in the backend of its manifest', { skip }, async t => {
  const runDir = join(folder, 'stopped')
  const stop = new AbortController()
  const { measure } = madeUp({ wasm: 50 })
  const loaded = resolveExperiment({ ...base, compute: { workers: 2 }, checkpoint: { atEnd: false } })
  stop.abort()
  await train(loaded, { runDir, measure, signal: stop.signal })
  rmSync(join(runDir, 'checkpoints'), { recursive: true, force: true })
  mkdirSync(join(runDir, 'checkpoints'))
  rmSync(join(runDir, 'summary.json'), { force: true })
  const metrics = join(runDir, 'metrics.jsonl')
  writeFileSync(metrics, readFileSync(metrics, 'utf8').replace(/^.*"type":"checkpoint".*\n/gm, ''))
  const { summary } = await resume(runDir)
  t.match(summary, { backend: 'wasm', status: 'completed' })
})

t.test('the precision of a checkpoint is read from the title of its library', async t => {
  t.equal(precisionOfTitle(null), 'f32')
  const library = await nativeLibrary(t, 'onednn')
  if (!library) return
  const rounded = { ...library, detail: 'AVX512-BF16', bf16: { kernel: 'brg:avx512_core_amx_bf16' } }
  t.equal(precisionOfTitle(titleOf(rounded, 'bf16')), 'bf16')
  t.equal(precisionOfTitle(titleOf(rounded, 'f32')), 'f32')
})

t.test('a trial with real times chooses a backend, with the bits that it has when named', { skip }, async t => {
  const own = mkdtempSync(join(tmpdir(), 'gradloom-trial-'))
  t.teardown(() => rmSync(own, { recursive: true }))
  const run = await trained({}, undefined, { runDir: join(own, 'run') })
  t.match(run.reason, / ms a step.*\(measured.*\)$/)
  const named = await trained({ backend: run.backend as 'wasm', workers: 2 }, undefined)
  t.equal(run.weightsSha256, named.weightsSha256)
  const { backend } = JSON.parse(readFileSync(join(own, 'run', 'manifest.json'), 'utf8'))
  t.ok(backend.trial.times.every(({ ms }: StepTime) => ms > 0))
  t.ok(backend.trial.times.length >= backends.length)
})
