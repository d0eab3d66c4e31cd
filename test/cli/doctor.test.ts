import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { type BackendState, diagnose, diagnosisLines } from '../../src/cli/doctor.js'
import type { FolderState, Trial } from '../../src/cli/doctor-trial.js'
import type { MachineFacts } from '../../src/run/machine.js'

const machine: MachineFacts = {
  gradloom: '0.1.0',
  node: '20.19.0',
  v8: '11.3',
  os: 'linux 6.1 x64',
  cpu: { model: 'Some CPU', cores: 4, available: 2 },
  memory: { totalBytes: 16e9, freeBytes: 8e9, limitBytes: 4e9 },
  wasm: { simd: true, threads: true },
}
const backends: BackendState[] = [
  { name: 'wasm', available: true, reason: 'SIMD' },
  { name: 'blas', available: false, reason: 'not built' },
]
const datasets = [
  { name: 'digits', where: '/d', detail: '8,004 training rows' },
  { name: 'mnist', where: null, detail: 'was not found' },
]

const folders: FolderState[] = [
  { name: 'runs', path: '/w/runs', problem: null },
  { name: 'cache', path: '/c', problem: 'EROFS' },
]
const trials: Trial[] = [{ backend: 'wasm', precision: 'f32', problem: null }]
const facts = { machine, backends, datasets, folders, trials, auto: null }

t.test('doctor reports no problem on a healthy machine, with or without data sets and a cache', async t => {
  const diagnosis = diagnose(facts)
  t.equal(diagnosis.ok, true)
  t.same(diagnosisLines(diagnosis), [
    'gradloom   0.1.0',
    'node       20.19.0, V8 11.3',
    'system     linux 6.1 x64',
    'cpu        Some CPU; 4 cores, 2 for this process',
    'memory     16.0 GB, 8.0 GB free, limited to 4.0 GB',
    'wasm       SIMD yes, shared memory yes',
    'backends',
    '  wasm    works  SIMD',
    '  blas    no     not built',
    'data sets',
    '  digits  found  8,004 training rows; /d',
    '  mnist   no     was not found',
    'folders',
    '  runs    write  /w/runs',
    '  cache   no     /c: EROFS',
    'tried      a training run with wasm',
    '',
    'Training works here.',
  ])
})

t.test('doctor lists native libraries and the backend that auto chooses', async t => {
  const library = {
    backend: 'blas',
    path: '/lib/x.so',
    name: 'X',
    version: '1',
    detail: 'd',
    bf16: { obstacle: 'o' },
  } as const
  const states = [
    { name: 'blas', available: true, reason: 'X 1 (d)', library, slow: 'only 2.0 times as fast' },
    { name: 'wasm', available: true, reason: 'SIMD', library: null, slow: null },
    {
      name: 'onednn',
      available: true,
      reason: 'Y',
      library: { ...library, backend: 'onednn', bf16: { kernel: 'brg:k' } },
      slow: null,
    },
  ] as const
  const auto = {
    name: 'wasm',
    library: null,
    reason: 'SIMD',
    advice: 'faster with a native library: install y',
  } as const
  t.same(diagnosisLines(diagnose({ ...facts, backends: states, auto })).slice(6, 11), [
    'backends',
    '  blas    works  X 1 (d); /lib/x.so; auto passes over it: only 2.0 times as fast',
    '  wasm    works  SIMD',
    '  onednn  works  Y; /lib/x.so; bf16 by brg:k',
    'auto       wasm (SIMD); faster with a native library: install y',
  ])
  t.equal(
    diagnosisLines(diagnose({ ...facts, backends: states, auto: { ...auto, advice: null } }))[10],
    'auto       wasm (SIMD)',
  )
})

t.test('doctor gives the reason where training cannot work', async t => {
  const poor = { ...machine, wasm: { simd: false, threads: false } }
  const diagnosis = diagnose({ ...facts, machine: poor, backends: [backends[1]], trials: [] })
  t.equal(diagnosis.ok, false)
  t.same(diagnosisLines(diagnosis).slice(-4), [
    'Training does not work here:',
    '  this Node.js has no WebAssembly SIMD',
    '  this Node.js has no shared WebAssembly memory',
    '  no backend works',
  ])
})

t.test('a training run that fails is a problem, and so is a folder for runs that cannot be written', async t => {
  const works = { reason: 'r', available: true }
  const both: BackendState[] = [
    { name: 'blas', ...works },
    { name: 'wasm', ...works },
  ]
  const auto = { name: 'blas', library: null, reason: 'r', advice: null } as const
  const failed: Trial = { backend: 'blas', precision: 'f32', problem: 'ended with SIGSEGV' }
  const one = diagnose({ ...facts, backends: both, auto, trials: [failed, ...trials] })
  t.equal(one.ok, false)
  t.same(one.problems, [
    'a training run with blas fails: ended with SIGSEGV',
    'compute.backend "auto" takes blas here; --backend wasm works',
  ])
  t.same(diagnosisLines(one).slice(7, 9), ['  blas    fails  r', '  wasm    works  r'])

  const refused = 'memory: refused; hint: h'
  const none = diagnose({
    ...facts,
    backends: both,
    trials: [
      { ...failed, problem: refused },
      { ...trials[0], problem: refused },
      { backend: 'onednn', precision: 'bf16', problem: null },
    ],
  })
  t.same(none.problems, ['no backend works', `a training run with blas, wasm fails: ${refused}`])

  const unwritable = diagnose({ ...facts, folders: [{ ...folders[0], problem: 'EROFS' }] })
  t.same(unwritable.problems, ['/w/runs cannot be written: EROFS; train --run-dir takes another folder'])
})

const MAIN = resolve('dist/src/cli/main.js')

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const LIMIT = 'ulimit -v 6000000;'

/** Runs the command line in a shell, without a time limit: doctor trains with every backend, and the machine may be busy. */
async function shell(before: string, cwd: string, ...args: string[]): Promise<Ended> {
  const { NODE_OPTIONS: _, ...env } = process.env
  const command = ['-c', `${before} exec "$0" "$@"`, process.execPath, MAIN, ...args]
  return promisify(execFile)('bash', command, { cwd, env })
    .then(({ stdout, stderr }) => ({ code: 0, stdout, stderr }))
    .catch((error: Ended) => error)
}

t.test(
  'under a limit on address space, doctor reports the same failure as train',
  { skip: process.platform !== 'linux' },
  async t => {
    const dir = t.testdir({
      'e.json': JSON.stringify({ data: { dataset: 'digits' }, model: { hidden: [8] }, train: { epochs: 1 } }),
      't.json': JSON.stringify({ data: { dataset: 'table', path: 't.csv' }, train: { epochs: 1 } }),
      't.csv': `x,class\n${Array.from({ length: 20 }, (_, i) => `${i},${i % 2 === 0 ? 'a' : 'b'}\n`).join('')}`,
    })
    const trained = await shell(LIMIT, dir, 'train', 'e.json', '--backend', 'wasm', '--quiet', '--json')
    const diagnosed = await shell(LIMIT, dir, 'doctor', '--json')
    const { ok, problems, trials } = JSON.parse(diagnosed.stdout)
    t.equal(trials.length >= 2, true, 'tried what there is')
    t.equal(ok, trained.code === 0, `train ended with ${trained.code}, doctor found ${JSON.stringify(problems)}`)
    t.equal(diagnosed.code, trained.code)
    if (trained.code !== 0) {
      t.match(
        trained.stderr,
        /^memory: the system refuses [^\n]* of shared memory; the address space of this process is limited to 6\.1 GB[^\n]*\nhint: ulimit -v unlimited[^\n]*\n$/,
      )
      const { stderr } = await shell(LIMIT, dir, 'train', 't.json', '--backend', 'wasm', '--quiet')
      t.match(
        stderr,
        /^memory: the system refuses [^\n]*; the address space [^\n]*\nhint: ulimit -v unlimited[^\n]*\n$/,
      )
      t.match(problems.join(), /memory: the system refuses .*; hint: ulimit -v unlimited/)
    }
  },
)

t.test('doctor reports a runs/ folder that cannot be created, as train does', async t => {
  const dir = t.testdir({ runs: 'a file' })
  const { code, stdout } = await shell('', dir, 'doctor', '--json')
  t.equal(code, 1)
  t.match(JSON.parse(stdout).problems, [/runs cannot be written: ENOTDIR/])
})

t.test('gradloom doctor --json: this machine, as one object, exit 0', async t => {
  const { code, stdout, stderr } = await shell('', '.', 'doctor', '--json')
  t.equal(stderr, '')
  t.equal(code, 0)
  t.match(JSON.parse(stdout), {
    ok: true,
    problems: [],
    machine: { node: process.versions.node },
    datasets: [{ name: 'digits', where: String }, { name: 'mnist' }, { name: 'fashion-mnist' }],
    trials: Array,
    folders: [{ name: 'runs', problem: null }, { name: 'cache' }, { name: 'temp' }],
  })
})
