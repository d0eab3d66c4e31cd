import t from 'tap'
import { diagnose, diagnosisLines } from '../../src/cli/doctor.js'
import type { MachineFacts } from '../../src/run/machine.js'
import { gradloom } from './run-cli.js'

const machine: MachineFacts = {
  gradloom: '0.1.0',
  node: '20.19.0',
  v8: '11.3',
  os: 'linux 6.1 x64',
  cpu: { model: 'Some CPU', cores: 4, available: 2 },
  memory: { totalBytes: 16e9, freeBytes: 8e9, limitBytes: 4e9 },
  wasm: { simd: true, threads: true },
}
const backends = [
  { name: 'wasm', available: true, reason: 'SIMD' },
  { name: 'blas', available: false, reason: 'not built' },
]
const datasets = [
  { name: 'digits', where: '/d', detail: '8,004 training rows' },
  { name: 'mnist', where: null, detail: 'was not found' },
]

t.test('a healthy machine, data sets missing or not', async t => {
  const diagnosis = diagnose(machine, backends, datasets)
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
    '',
    'Training works here.',
  ])
})

t.test('native libraries, and what auto takes', async t => {
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
  t.same(diagnosisLines(diagnose(machine, states, datasets, auto)).slice(6, 11), [
    'backends',
    '  blas    works  X 1 (d); /lib/x.so; auto passes over it: only 2.0 times as fast',
    '  wasm    works  SIMD',
    '  onednn  works  Y; /lib/x.so; bf16 by brg:k',
    'auto       wasm (SIMD); faster with a native library: install y',
  ])
  t.equal(diagnosisLines(diagnose(machine, states, datasets, { ...auto, advice: null }))[10], 'auto       wasm (SIMD)')
})

t.test('a machine where training cannot work says why', async t => {
  const poor = { ...machine, wasm: { simd: false, threads: false } }
  const diagnosis = diagnose(poor, [backends[1]], datasets)
  t.equal(diagnosis.ok, false)
  t.same(diagnosisLines(diagnosis).slice(-4), [
    'Training does not work here:',
    '  this Node has no WebAssembly SIMD',
    '  this Node has no shared WebAssembly memory',
    '  no backend works',
  ])
})

t.test('gradloom doctor --json: this machine, as one object, exit 0', async t => {
  const { code, stdout, stderr } = await gradloom(['doctor', '--json'])
  t.equal(stderr, '')
  t.equal(code, 0)
  t.match(JSON.parse(stdout), {
    ok: true,
    problems: [],
    machine: { node: process.versions.node },
    datasets: [{ name: 'digits', where: String }, { name: 'mnist' }, { name: 'fashion-mnist' }],
  })
})
