/** Places that cannot be written: every command ends with a line that says so, never with a stack. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { gradloom } from './run-cli.js'

const dir = t.testdir({})
const at = (name: string) => join(dir, name)
const rows = Array.from({ length: 40 }, (_, i) => `${i},${i % 7},${i % 2 ? 'odd' : 'even'}`)
writeFileSync(at('data.csv'), ['a,b,class', ...rows, ''].join('\n'))
writeFileSync(
  at('experiment.json'),
  JSON.stringify({
    data: { dataset: 'table', path: 'data.csv' },
    model: { hidden: [3] },
    train: { epochs: 1, batchSize: 8 },
    compute: { workers: 1, backend: 'wasm' },
  }),
)
writeFileSync(at('sweep.json'), JSON.stringify({ experiment: 'experiment.json', grid: { seed: [1, 2] } }))
writeFileSync(at('file'), 'a file in the place of a folder')
mkdirSync(at('folder.html'))
const [experiment, run] = [at('experiment.json'), at('run')]
const trained = await gradloom(['train', experiment, '--run-dir', run, '--quiet'])
t.equal(trained.code, 0, trained.stderr)

/** Commands without the place, and the name of what they write. */
const WRITERS: readonly (readonly [args: readonly string[], name: string])[] = [
  ...['npz', 'safetensors', 'onnx'].map(end => [['export', run, '--out'], `w.${end}`] as const),
  [['predict', run, '--index', '1', '--out'], 'p.png'],
  [['activations', run, '--out'], 'p.png'],
  [['report', run, '--out'], 'r.html'],
  [['report', run, run, '--out'], 'r.html'],
  [['init', at('data.csv'), '--out'], 'e.json'],
  [['sweep', at('sweep.json'), '--run-dir'], 'sweep'],
  [['train', experiment, '--quiet', '--run-dir'], 'run'],
]
/** A folder that refuses new files even to root, for one command of each way of writing; all meet a file in the place of a folder. */
const IN_PROC = existsSync('/proc/self') ? WRITERS.filter(([args]) => /export|report|init|train/.test(args[0])) : []
const PLACES = [
  [at('file'), WRITERS],
  ['/proc', IN_PROC.filter(([args], i, all) => all.findIndex(([other]) => other[0] === args[0]) === i)],
] as const

for (const [place, writers] of PLACES) {
  for (const [args, name] of writers) {
    t.test(`${args[0]} ${args.at(-1)} ${place}/${name}`, async t => {
      const { code, stderr } = await gradloom([...args, join(place, name)])
      t.ok(code === 1 || code === 2, `exit code ${code}`)
      t.match(stderr, /cannot be (written|created)/)
      t.notMatch(stderr, /^ +at /m, 'no stack')
    })
  }
}

t.test('a file in the place of a run, and a folder in the place of a file', async t => {
  for (const args of [
    ['resume', at('file')],
    ['evaluate', at('file')],
    ['predict', at('file')],
    ['list', at('file')],
    ['compare', at('file')],
    ['checkpoint', 'prune', at('file')],
    ['report', run, '--out', at('folder.html')],
  ]) {
    const { code, stderr } = await gradloom(args)
    t.ok(code === 1 || code === 2, `${args[0]}: exit code ${code}`)
    t.notMatch(stderr, /^ +at /m, `${args[0]}: no stack`)
  }
})

t.test('a pipe is written to, never replaced by a file', { skip: process.platform === 'win32' }, async t => {
  const pipe = at('pipe')
  execFileSync('mkfifo', [pipe])
  const reader = spawn('cat', [pipe], { stdio: ['ignore', 'pipe', 'ignore'] })
  t.teardown(() => reader.kill())
  let text = ''
  reader.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  const ended = once(reader.stdout, 'end')
  const { code } = await gradloom(['report', run, '--format', 'md', '--out', pipe])
  t.equal(code, 0)
  t.ok(statSync(pipe).isFIFO(), 'it is a pipe still')
  if (!statSync(pipe).isFIFO()) return
  await ended
  t.match(text, /^# /m)
})
