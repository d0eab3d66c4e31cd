import t from 'tap'
import { alignColumns, type Bar, isMet, machineLine, type Report, reportJson, reportLines } from '../../bench/report.js'
import { machineFacts } from '../../src/run/machine.js'

const bar = (got: number | null, at: Bar['at'] = 'least'): Bar => ({
  what: 'speed-up',
  got,
  want: 1.85,
  at,
  unit: 'times',
})

const report: Report = {
  name: 'step',
  title: 'a training step',
  method: ['3 steps of warm-up.'],
  tables: [
    {
      title: 'by workers',
      words: 1,
      head: ['form', 'workers', 'ms'],
      rows: [
        ['fused', '1', '1010'],
        ['buffers', '2', '540'],
      ],
    },
  ],
  charts: [],
  bars: [bar(1.87), bar(1.5), bar(null)],
  skipped: ['tfjs: npm ci failed'],
  numbers: { results: [1, 2] },
}

t.test('bars: at least, at most, below; a bar without a measurement is neither met nor missed', async t => {
  t.equal(isMet(bar(1.85)), true)
  t.equal(isMet(bar(1.84)), false)
  t.equal(isMet(bar(1.85, 'most')), true)
  t.equal(isMet(bar(1.86, 'most')), false)
  t.equal(isMet(bar(1.85, 'below')), false)
  t.equal(isMet(bar(1.84, 'below')), true)
  t.equal(isMet(bar(null)), null)
  t.equal(isMet(bar(Number.NaN)), false)
})

t.test('columns: words to the left, numbers to the right, no trailing blanks', async t => {
  const rows = [
    ['a', 'long head', 'x'],
    ['word', '1', ''],
  ]
  t.strictSame(alignColumns(rows, 1), ['a     long head  x', 'word          1'])
  t.strictSame(alignColumns([['only']], 1), ['only'])
  t.strictSame(alignColumns([], 1), [])
})

t.test('a report as text', async t => {
  t.strictSame(reportLines(report), [
    'step: a training step',
    '  3 steps of warm-up.',
    '',
    'by workers',
    'form     workers    ms',
    '----------------------',
    'fused          1  1010',
    'buffers        2   540',
    '',
    'skipped: tfjs: npm ci failed',
    '',
    'bar                       got      want',
    'met           speed-up  1.87x  >= 1.85x',
    'MISSED        speed-up  1.50x  >= 1.85x',
    'not measured  speed-up      -  >= 1.85x',
    '',
  ])
})

t.test('a report as JSON: the numbers, every bar with its verdict, the machine', async t => {
  const machine = { ...machineFacts(), loadBefore: 0.5 }
  const read = JSON.parse(JSON.stringify(reportJson(machine, [{ command: 'npm run bench -- step', report }])))
  t.equal(read.machine.loadBefore, 0.5)
  t.equal(read.machine.node, process.versions.node)
  t.equal(read.benchmarks.length, 1)
  const [step] = read.benchmarks
  t.equal(step.command, 'npm run bench -- step')
  t.strictSame(step.results, [1, 2])
  t.strictSame(
    step.bars.map(({ met }: { met: boolean | null }) => met),
    [true, false, null],
  )
  t.strictSame(step.skipped, report.skipped)
  t.notOk('tables' in step, 'tables are for people')
})

t.test('the machine in one line', async t => {
  const machine = { ...machineFacts(), loadBefore: 0.5 }
  const line = machineLine(machine)
  for (const part of [machine.cpu.model, machine.node, machine.v8, machine.os, 'load before 0.50']) {
    t.ok(line.includes(part), part)
  }
})
