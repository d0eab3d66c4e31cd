import t from 'tap'
import { pageOf } from '../../bench/markdown.js'
import type { Report } from '../../bench/report.js'
import { machineFacts } from '../../src/run/machine.js'

const report: Report = {
  name: 'step',
  title: 'a training step',
  method: ['"wait" < "work" | both.'],
  tables: [{ title: 'by workers', words: 1, head: ['form', 'ms'], rows: [['fused', '1010']] }],
  charts: [],
  bars: [
    { what: 'speed-up', got: 1.5, want: 1.85, at: 'least', unit: 'times' },
    { what: 'steps', got: null, want: 800, at: 'least', unit: 'perSecond' },
  ],
  skipped: ['tfjs: npm ci failed'],
  numbers: {},
}
const machine = { ...machineFacts(), loadBefore: 0.25 }
const page = pageOf(machine, [{ command: 'npm run bench -- step --steps 3', report }], {
  command: 'npm run bench -- all --markdown x.md',
  date: '2026-11-23',
  picture: 'x.svg',
})
const lines = page.split('\n')

t.test('a page names its command, date, machine and picture', async t => {
  for (const part of [
    'npm run bench -- all --markdown x.md',
    '2026-11-23',
    machine.cpu.model,
    'load before 0.25',
    '(x.svg)',
  ]) {
    t.ok(page.includes(part), part)
  }
})

t.test('bars of all reports stand on top, missed ones in bold', async t => {
  t.ok(lines.includes('| step | speed-up | 1.50x | >= 1.85x | **MISSED** |'))
  t.ok(lines.includes('| step | steps | - | >= 800 /s | not measured |'))
})

t.test('each report shows its command before its numbers; tables are aligned; text is escaped', async t => {
  const at = (line: string) => {
    const index = lines.indexOf(line)
    t.not(index, -1, line)
    return index
  }
  t.ok(at('npm run bench -- step --steps 3') < at('| fused | 1010 |'))
  t.equal(lines[at('| form | ms |') + 1], '|---|---:|')
  at('"wait" &lt; "work" \\| both.  ')
  at('- tfjs: npm ci failed')
})
