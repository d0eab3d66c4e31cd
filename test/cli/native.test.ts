/** Native backends and precision as users see them: messages, and files of a run. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { overridesOf } from '../../src/cli/train.js'
import { chooseBackend, titleOf } from '../../src/kernels/choose.js'
import { compiled, nativeLibrary, ownCache } from '../helpers/native-library.js'
import { gradloom } from './run-cli.js'

ownCache(t)

const train = (...args: readonly string[]) => ['train', 'configs/smoke.json', ...args]
const json = (...path: readonly string[]) => JSON.parse(readFileSync(join(...path), 'utf8'))

for (const backend of ['blas', 'onednn'] as const) {
  t.test(`train --backend ${backend}: shown at the start, recorded in the manifest, evaluated alike`, async t => {
    const library = await nativeLibrary(t, backend)
    if (!library) return
    const runDir = join(t.testdir(), 'run')
    const result = await gradloom(train('--backend', backend, '--run-dir', runDir))
    t.equal(result.code, 0, result.stderr)
    t.match(result.stderr, `compute  ${backend} (${titleOf(library)}: the experiment asks for it), `)
    t.strictSame(json(runDir, 'manifest.json').backend, {
      name: backend,
      reason: `${titleOf(library)}: the experiment asks for it`,
      library,
      precision: 'f32',
      bitsDependOn: "gradloom's version, the library, its version and settings, and the kind of CPU",
    })
    const summary = json(runDir, 'summary.json')
    t.match(summary, { status: 'completed', backend, precision: 'f32' })
    const score = await gradloom(['evaluate', runDir, '--json'])
    t.equal(score.code, 0, score.stderr)
    t.match(JSON.parse(score.stdout), { loss: summary.test.loss, accuracy: summary.test.accuracy })
  })
}

t.test('auto chooses the backend for the network and the CPU, and the manifest records it', async t => {
  const libraries = { onednn: await nativeLibrary(t, 'onednn'), blas: await nativeLibrary(t, 'blas') }
  const expected = await chooseBackend({ backend: 'auto', library: null })
  if (!libraries.onednn || !libraries.blas) return
  const runDir = join(t.testdir(), 'run')
  const result = await gradloom(train('--epochs', '0', '--set', 'model.hidden=[400]', '--run-dir', runDir))
  t.equal(result.code, 0, result.stderr)
  t.match(result.stderr, `compute  ${expected.name} (${expected.reason})`)
  t.match(json(runDir, 'manifest.json').backend, { name: expected.name, reason: expected.reason })
})

t.test('a library that does not work is refused with exit code 2, before a run directory is created', async t => {
  const runDir = join(t.testdir(), 'run')
  for (const [args, message] of [
    [
      ['--backend', 'blas', '--set', 'compute.library=/none/x.so'],
      /'blas', which does not work here: \/none\/x\.so: there is no/,
    ],
    [
      ['--set', 'compute.library=/none/x.so'],
      /compute\.library is '\/none\/x\.so', which does not work here: as onednn: /,
    ],
  ] as const) {
    const { code, stderr } = await gradloom(train(...args, '--run-dir', runDir))
    t.equal(code, 2)
    t.match(stderr, message)
  }
  t.throws(() => readFileSync(join(runDir, 'manifest.json')))
})

t.test('a library path is relative to the experiment file; a crashing library does not end the process', async t => {
  const dir = t.testdir({
    'mine.json': JSON.stringify({
      data: { dataset: 'digits' },
      compute: { backend: 'blas', library: './crash.so' },
    }),
  })
  if (compiled(t, dir, 'crash', 'void cblas_sgemm(void) { *(volatile int *)0 = 1; }') === null) return
  const { code, stderr } = await gradloom(['train', join(dir, 'mine.json')])
  t.equal(code, 2)
  t.match(stderr, `${join(dir, 'crash.so')}: ended with SIGSEGV when it was called`)
})

t.test('--set compute.library: a path is relative to the current folder, a bare name is for the linker', async t => {
  const of = (value: string) => overridesOf({ set: [`compute.library=${value}`] })
  t.strictSame(of('lib/x.so'), [`compute.library="${join(process.cwd(), 'lib/x.so')}"`])
  t.strictSame(of('"./x.so"'), [`compute.library="${join(process.cwd(), 'x.so')}"`])
  for (const as of ['libx.so', 'null']) t.strictSame(of(as), [`compute.library=${as}`])
})

t.test('--precision bf16 is refused where unsupported; auto then chooses f32 and prints the reason', async t => {
  const runDir = join(t.testdir(), 'run')
  const library = await nativeLibrary(t, 'onednn')
  const asked = await gradloom(train('--precision', 'bf16', '--run-dir', runDir))
  const auto = await gradloom(train('--precision', 'auto', '--json', '--run-dir', `${runDir}-auto`))
  t.equal(auto.code, 0, auto.stderr)
  if (library && 'kernel' in library.bf16) {
    t.equal(asked.code, 0, asked.stderr)
    t.match(asked.stderr, `; bf16 by ${library.bf16.kernel}`)
    t.equal(JSON.parse(auto.stdout).precision, 'bf16')
    return
  }
  t.equal(asked.code, 2)
  t.match(asked.stderr, "compute.precision is 'bf16', which does not work here: ")
  t.match(auto.stderr, /compute {2}wasm \(.*; f32, not bf16: .*\), /)
  t.equal(JSON.parse(auto.stdout).precision, 'f32')
  t.match(json(`${runDir}-auto`, 'manifest.json').backend.reason, /; f32, not bf16: /)
})

t.test('GRADLOOM_BF16=emulate trains and evaluates, and is reported as emulation', async t => {
  const library = await nativeLibrary(t, 'onednn')
  if (!library) return
  const runDir = join(t.testdir(), 'run')
  const env = { GRADLOOM_BF16: 'emulate' }
  const result = await gradloom(train('--precision', 'bf16', '--run-dir', runDir), { env })
  t.equal(result.code, 0, result.stderr)
  t.match(result.stderr, /compute {2}onednn \(.*; bf16 by emulated in f32\), /)
  const { precision, library: recorded } = json(runDir, 'manifest.json').backend
  t.match({ precision, recorded }, { precision: 'bf16', recorded: { bf16: { kernel: 'emulated in f32' } } })
  const summary = json(runDir, 'summary.json')
  t.match(summary, { status: 'completed', backend: 'onednn', precision: 'bf16' })
  const score = await gradloom(['evaluate', runDir, '--json'], { env })
  t.equal(score.code, 0, score.stderr)
  t.match(JSON.parse(score.stdout), { loss: summary.test.loss, accuracy: summary.test.accuracy })
  const elsewhere = await gradloom(['predict', runDir, '--json'])
  t.equal(elsewhere.code, 0, 'a model of bf16 is read everywhere')
})

t.test('without koffi, wasm works, and every command gives the reason why the other backends do not', async t => {
  const hook = pathToFileURL('dist/test/fixtures/no-koffi.js').href
  const env = { NODE_OPTIONS: `--import ${hook}` }
  const missing = /koffi, an optional dependency, cannot be loaded: Cannot find package 'koffi'/
  const doctor = await gradloom(['doctor', '--json'], { env })
  t.equal(doctor.code, 0, doctor.stderr)
  const { backends, auto } = JSON.parse(doctor.stdout)
  const works = (state: { name: string; available: boolean }) => `${state.name} ${state.available}`
  t.strictSame(backends.map(works), ['onednn false', 'blas false', 'wasm true', 'reference true'])
  for (const { reason } of backends.slice(0, 2)) t.match(reason, missing)
  t.match(auto, { name: 'wasm' })

  const trained = await gradloom(train('--json', '--run-dir', join(t.testdir(), 'run')), { env })
  t.equal(trained.code, 0, trained.stderr)
  t.equal(JSON.parse(trained.stdout).backend, 'wasm')
  const refused = await gradloom(train('--backend', 'blas'), { env })
  t.equal(refused.code, 2)
  t.match(refused.stderr, missing)
})
