/**
 * Exports networks of every kind to ONNX and as a state dictionary of PyTorch, reads them in other programs, and compares their outputs with those of `predict`:
 * docs/weights.md has the table. Outside CI, because the programs are not dependencies.
 *
 *   apt-get install --no-install-recommends python3-opencv python3-onnx python3-torch
 *   npm install --prefix /tmp/readers --ignore-scripts onnxruntime-node @techstark/opencv-js@4.5.2
 *   PYTHON=/usr/bin/python3 node scripts/onnx-readers.mjs --packages /tmp/readers
 *
 * Needs `npm run build:ts`. Prints Markdown; programs that are missing are left out. Differences are in parts of the largest
 * output. Exit code 1 if a program that reads a network disagrees by more than 1e-4.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const { exportWeights, Predictor, resolveExperiment, train } = await import('../dist/src/index.js').catch(() => {
  process.stderr.write('onnx-readers: dist/ is missing; hint: npm run build\n')
  process.exit(1)
})

const ROWS = 40
const MOST = 1e-4
const PYTHON = process.env.PYTHON ?? 'python3'
const { values: options } = parseArgs({ options: { packages: { type: 'string' } } })
const ACTIVATIONS = ['relu', 'leaky-relu', 'elu', 'gelu', 'silu', 'tanh', 'scaled-tanh', 'sigmoid', 'identity']

/** Reads model.onnx and input.f32 of every folder, one row and all rows; writes the program's outputs beside them. */
const OPENCV = `
import sys, json, numpy, cv2
answers = {}
for folder in sys.argv[1:]:
    x = numpy.fromfile(folder + '/input.f32', '<f4').reshape(${ROWS}, -1)
    try:
        net = cv2.dnn.readNetFromONNX(folder + '/model.onnx')
        outputs = []
        for rows in [x[:1], x]:
            net.setInput(rows)
            outputs.append(net.forward().reshape(len(rows), -1).tolist())
        answers[folder] = outputs[0] + outputs[1]
    except cv2.error as error:
        answers[folder] = str(error)
print(json.dumps({'program': 'OpenCV (Python)', 'version': cv2.__version__, 'answers': answers}))
`
/** Reads torch.safetensors of every folder by hand, makes the module of its metadata, and answers as the network does. */
const TORCH = `
import sys, json, math, struct, numpy, torch
from torch import nn
answers = {}
for folder in sys.argv[1:]:
    try:
        raw = open(folder + '/torch.safetensors', 'rb').read()
    except FileNotFoundError:
        answers[folder] = 'has no form in PyTorch'
        continue
    size = struct.unpack('<Q', raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    notes = header.pop('__metadata__')
    state = {}
    for name, tensor in header.items():
        begin, end = tensor['data_offsets']
        values = numpy.frombuffer(raw[8 + size + begin:8 + size + end], '<f4').reshape(tensor['shape'])
        state[name] = torch.tensor(values)
    network = eval(notes['network'])
    network.load_state_dict(state)
    network.eval()
    facts = json.loads(notes['gradloom'])
    scaling = facts['input']['scaling']
    x = numpy.fromfile(folder + '/input.f32', '<f4').reshape(${ROWS}, -1)
    if scaling:
        x = (x - numpy.array(scaling['offset'], 'f4')) * numpy.array(scaling['factor'], 'f4')
    if notes['input'].count(',') > 2 and isinstance(network[0], (nn.Conv2d, nn.ZeroPad2d)):
        shape = facts['input']
        x = x.reshape(${ROWS}, shape['height'], shape['width'], shape['channels']).transpose(0, 3, 1, 2).copy()
    with torch.no_grad():
        y = [network(torch.tensor(x[:1])), network(torch.tensor(x))]
    if 'softmax' in notes['activation']:
        y = [torch.softmax(each, 1) for each in y]
    answers[folder] = y[0].tolist() + y[1].tolist()
print(json.dumps({'program': 'PyTorch (state dictionary)', 'version': torch.__version__, 'answers': answers}))
`
const CHECKER = `
import sys, json, onnx
answers = {}
for folder in sys.argv[1:]:
    try:
        onnx.checker.check_model(folder + '/model.onnx', full_check=True)
        answers[folder] = True
    except Exception as error:
        answers[folder] = str(error)
print(json.dumps({'program': 'onnx.checker (full check)', 'version': onnx.__version__, 'answers': answers}))
`

/** A number from 0 to 1, the same in every run. */
const noise = (i, j) => Math.abs(Math.sin(12.9898 * i + 78.233 * j) * 43758.5453) % 1

function table(targets) {
  const features = Array.from({ length: 200 }, (_, i) => [0, 1, 2, 3, 4].map(j => 10 ** (j - 2) * (noise(i, j) - 0.3)))
  const row = i => [0, 1, 2].map(j => noise(i, j))
  if (targets === 0) {
    return {
      features,
      labels: features.map((_, i) => ['low', 'middle', 'high'][Math.floor(row(i)[0] * 2 + row(i)[1])]),
    }
  }
  return { features, targets: features.map((_, i) => [800 * row(i)[0] - 300 * row(i)[1], row(i)[2]].slice(0, targets)) }
}

/** Pictures of three classes: a bright square at another place, or in another colour. */
function pictures(height, width, channels) {
  const labels = Array.from({ length: 200 }, (_, i) => i % 3)
  const data = Uint8Array.from({ length: 200 * height * width * channels }, (_, n) => {
    const [channel, x, y, i] = [
      n % channels,
      Math.floor(n / channels) % width,
      Math.floor(n / channels / width) % height,
      Math.floor(n / channels / width / height),
    ]
    const bright = channels === 3 ? channel === labels[i] : Math.floor((3 * x) / width) === labels[i]
    return 100 * noise(n, 7) + (bright && y > 2 ? 120 : 0)
  })
  return { features: { data, shape: [200, height, width, channels] }, labels: labels.map(label => `class ${label}`) }
}

const digits = { dataset: 'digits' }
const memory = { dataset: 'memory' }
const regression = { dataset: 'memory', task: 'regression' }
const networks = [
  ['images, quickstart', { data: digits, model: { hidden: [512, 256] } }],
  ['images, batch norm', { data: digits, model: { hidden: [64, 32], norm: 'batch' } }],
  ['images, layer norm', { data: digits, model: { hidden: [64, 32], norm: 'layer' } }],
  ['table, classes', { data: memory, samples: table(0), model: { hidden: [24, 12] } }],
  ['table, batch norm', { data: memory, samples: table(0), model: { hidden: [24, 12], norm: 'batch' } }],
  ['table, layer norm', { data: memory, samples: table(0), model: { hidden: [24, 12], norm: 'layer' } }],
  ['table, one layer', { data: memory, samples: table(0), model: { hidden: [] } }],
  ['one target', { data: regression, samples: table(1), model: { hidden: [24, 12] } }],
  ['two targets', { data: regression, samples: table(2), model: { hidden: [24, 12] } }],
  ...[
    [
      'batch norm',
      pictures(12, 10, 1),
      { convolutions: [{ filters: 6 }, { filters: 9, pool: { size: 2 } }], norm: 'batch' },
    ],
    [
      'strides, valid, average',
      pictures(13, 11, 1),
      {
        convolutions: [
          { filters: 5, size: 4, stride: 2 },
          { filters: 7, size: 2, padding: 'valid', pool: { size: 2, type: 'average' } },
        ],
      },
    ],
    [
      'stride 3, odd pool, gelu',
      pictures(17, 16, 1),
      {
        convolutions: [
          { filters: 4, size: 2, stride: 3 },
          { filters: 5, size: 5, norm: 'batch', pool: { size: 3 } },
        ],
        activation: 'gelu',
      },
    ],
    ['colour', pictures(9, 8, 3), { convolutions: [{ filters: 6, norm: 'batch', pool: { size: 2 } }, { filters: 8 }] }],
    [
      'colour, layer norm behind',
      pictures(9, 8, 3),
      { convolutions: [{ filters: 6, norm: 'none', pool: { size: 2 } }], norm: 'layer' },
    ],
    ['1 x 1', pictures(6, 5, 3), { convolutions: [{ filters: 6, size: 1, dropout: 0.2 }], hidden: [] }],
    ...ACTIVATIONS.map(activation => [activation, pictures(8, 7, 1), { convolutions: [{ filters: 4 }], activation }]),
  ].map(([name, samples, model]) => [`maps, ${name}`, { data: memory, samples, model: { hidden: [16], ...model } }]),
  [
    'maps, colour / 255',
    {
      data: { ...memory, normalise: 'unit' },
      samples: pictures(9, 8, 3),
      model: { convolutions: [{ filters: 6, pool: { size: 2, type: 'average' } }], hidden: [16] },
    },
  ],
  ...ACTIVATIONS.map(activation => [
    `table, ${activation}`,
    { data: memory, samples: table(0), model: { hidden: [24, 12], activation } },
  ]),
]

const folder = mkdtempSync(join(tmpdir(), 'gradloom-readers-'))
let differs = false
try {
  const exported = []
  for (const [i, [name, { samples, ...experiment }]] of networks.entries()) {
    const run = join(folder, String(i))
    const settings = { ...experiment, train: { epochs: 2 }, compute: { backend: 'wasm', workers: 1 } }
    await train(resolveExperiment(settings), { runDir: run, ...(samples && { data: samples }) })
    const predictor = await Predictor.open(run)
    const size = predictor.widths[0]
    const inputs = samples?.features.data
      ? samples.features.data.slice(0, ROWS * size)
      : samples
        ? Float32Array.from(samples.features.slice(0, ROWS).flat())
        : Uint8Array.from({ length: ROWS * size }, (_, n) => (noise(n, 3) > 0.8 ? 255 * noise(n, 4) : 0))
    await exportWeights(run, join(run, 'model.onnx'))
    await exportWeights(run, join(run, 'torch.safetensors'), { format: 'pytorch' }).catch(error => {
      if (!error.message.includes('torch.nn')) throw error
    })
    const isUnit = predictor.source.input.scaling === null
    const given = Float32Array.from(inputs, value => (isUnit ? value / 255 : value))
    writeFileSync(join(run, 'input.f32'), new Uint8Array(given.buffer))
    exported.push({
      name,
      run,
      given,
      want: [...predictor.predict(inputs).data],
      outputs: predictor.outputNames.length,
    })
  }
  const runs = exported.map(({ run }) => run)
  const rows = [
    ...python(OPENCV, runs),
    ...python(CHECKER, runs),
    ...python(TORCH, runs),
    ...(await runtimes(exported)),
    ...(await opencvJs(exported)),
  ]
  print('| program | version | reads | refuses | largest difference |')
  print('|---|---|---|---|---|')
  for (const { program, version, answers } of rows) print(line(program, version, answers, exported))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
if (differs) process.exitCode = 1

function line(program, version, answers, exported) {
  const refused = exported.filter(({ run }) => typeof answers[run] === 'string')
  const read = exported.filter(({ run }) => typeof answers[run] !== 'string')
  for (const { name, run } of refused) {
    process.stderr.write(`${program} ${version}: ${name}: ${answers[run].trim().split('\n')[0].slice(0, 200)}\n`)
  }
  const worst = read.map(one => ({ name: one.name, difference: differenceOf(answers[one.run], one) }))
  const most = worst.reduce((a, b) => (b.difference > a.difference ? b : a), { name: '', difference: 0 })
  differs ||= most.difference > MOST
  for (const { name, difference } of worst) {
    if (difference > MOST) process.stderr.write(`${program} ${version}: ${name}: differs by ${difference}\n`)
  }
  const checked = read.every(({ run }) => answers[run] === true)
  const cells = [
    program,
    version,
    `${read.length} of ${exported.length}`,
    refused.map(({ name }) => name).join('; ') || 'none',
  ]
  return `| ${[...cells, checked ? 'no outputs' : most.difference.toExponential(1)].join(' | ')} |`
}

/** Answers are the outputs of the first row by itself, then those of all rows. */
function differenceOf(answer, { want, outputs }) {
  if (answer === true) return 0
  const expected = [...want.slice(0, outputs), ...want]
  const got = answer.flat()
  if (got.length !== expected.length) return Number.POSITIVE_INFINITY
  const largest = Math.max(...want.map(Math.abs))
  return expected.reduce((most, value, i) => Math.max(most, Math.abs(value - got[i]) / largest), 0)
}

function python(program, runs) {
  try {
    const stdio = ['ignore', 'pipe', 'pipe']
    return [JSON.parse(execFileSync(PYTHON, ['-c', program, ...runs], { encoding: 'utf8', stdio, maxBuffer: 2 ** 26 }))]
  } catch (error) {
    process.stderr.write(
      `left out: ${String(error.stderr ?? error)
        .trim()
        .split('\n')
        .at(-1)}\n`,
    )
    return []
  }
}

/** A package of --packages, or of this project. */
function load(name) {
  try {
    const require = createRequire(options.packages ? join(resolve(options.packages), 'x.js') : import.meta.url)
    const file = require.resolve(name)
    const root = file.slice(0, file.lastIndexOf(`${join('node_modules', name)}`) + join('node_modules', name).length)
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    return { version, module: require(name) }
  } catch (error) {
    process.stderr.write(`left out: ${error.message.split('\n')[0]}\n`)
    return null
  }
}

async function runtimes(exported) {
  const found = [
    ['ONNX Runtime Web', await ownRuntime()],
    ['ONNX Runtime (Node.js)', load('onnxruntime-node')],
  ]
  const results = []
  for (const [program, runtime] of found) {
    if (runtime === null) continue
    const { InferenceSession, Tensor } = runtime.module
    const answers = {}
    for (const { run, given } of exported) {
      try {
        const session = await InferenceSession.create(readFileSync(join(run, 'model.onnx')))
        const size = given.length / ROWS
        const ask = async rows => {
          const tensor = new Tensor('float32', given.slice(0, rows * size), [rows, size])
          return [...(await session.run({ [session.inputNames[0]]: tensor }))[session.outputNames[0]].data]
        }
        answers[run] = [...(await ask(1)), ...(await ask(ROWS))]
        await session.release()
      } catch (error) {
        answers[run] = error.message
      }
    }
    results.push({ program, version: runtime.version, answers })
  }
  return results
}

async function ownRuntime() {
  const module = await import('onnxruntime-web')
  module.env.wasm.numThreads = 1
  return { version: JSON.parse(readFileSync('node_modules/onnxruntime-web/package.json', 'utf8')).version, module }
}

async function opencvJs(exported) {
  const found = load('@techstark/opencv-js')
  if (found === null) return []
  const { cv } = await ready(found.module)
  const answers = {}
  for (const { run, given: input } of exported) {
    try {
      cv.FS_createDataFile('/', 'model.onnx', new Uint8Array(readFileSync(join(run, 'model.onnx'))), true, false, false)
      const net = cv.readNetFromONNX('/model.onnx')
      const size = input.length / ROWS
      const ask = rows => {
        net.setInput(cv.matFromArray(rows, size, cv.CV_32F, [...input.slice(0, rows * size)]))
        return [...net.forward().data32F]
      }
      answers[run] = [...ask(1), ...ask(ROWS)]
    } catch (error) {
      answers[run] = typeof error === 'number' ? cv.exceptionFromPtr(error).msg : error.message
    } finally {
      cv.FS_unlink('/model.onnx')
    }
  }
  const version = /Version control:\s*(\S+)|OpenCV (\d\S+)/.exec(cv.getBuildInformation())
  return [{ program: 'OpenCV (JavaScript)', version: version?.[1] ?? version?.[2] ?? found.version, answers }]
}

/** The module, once it has started; in an object, because it has a `then` of its own that `await` would follow for ever. */
function ready(cv) {
  if (cv.Mat) return { cv }
  return new Promise(done => {
    cv.onRuntimeInitialized = () => done({ cv })
  })
}

function print(text) {
  process.stdout.write(`${text}\n`)
}
