import t from 'tap'
import { paintFor } from '../../src/cli/paint.js'
import { barLine, endLines, epochLine, progressLine, shown, startLines } from '../../src/cli/train-lines.js'
import { CWD, epoch, progress, RUN_DIR, start, summary } from './events.js'

const paint = paintFor({ isTTY: false })

t.test('the first lines name data, model and machine', async t => {
  t.same(startLines(start, CWD), [
    'data     digits: 8,004 training and 1,996 test samples',
    'model    784-512-256-10, 535,818 parameters',
    'compute  wasm (the fastest that works here), 2 workers, 45.2 MB shared memory',
    'run      runs/quick-2026-01-31T12-00-05',
  ])
  const rows = { train: 7204, validation: 800, test: 1996 }
  t.match(startLines({ ...start, rows, workers: 1, runDir: null }, CWD), [
    /7,204 training, 800 validation and 1,996 test samples$/,
    /784/,
    /1 worker,/,
  ])
  t.equal(startLines({ ...start, runDir: null }, CWD).length, 3, 'no line about a run that is not saved')
})

t.test('an epoch and a score within an epoch are one line each', async t => {
  t.equal(epochLine(epoch), 'epoch  3/10  loss 0.2100  accuracy 94.00 %  9,857 samples/s  0.81 s')
  t.equal(
    epochLine({ ...epoch, validation: { loss: 0.3, accuracy: 0.91 } }),
    'epoch  3/10  loss 0.2100  accuracy 94.00 %  validation loss 0.3000  accuracy 91.00 %  9,857 samples/s  0.81 s',
  )
  t.equal(progressLine(progress), 'epoch  3/10  step 31/63  loss 0.2346  accuracy 93.12 %  9,870 samples/s  ETA 12 s')
  t.match(progressLine({ ...progress, loss: Number.NaN }), /loss NaN/, 'what is wrong is seen')
})

t.test('the bar fills over the run and fits every terminal', async t => {
  t.equal(
    barLine({ ...progress, step: 63 * 5 }, 200),
    `epoch  3/10  ${'█'.repeat(15)}${'░'.repeat(15)}  step 31/63  loss 0.2346  accuracy 93.12 %  9,870 samples/s  ETA 12 s`,
  )
  t.match(barLine({ ...progress, step: 630 }, 200), /█{30} /, 'full at the end')
  t.match(barLine({ ...progress, step: 0 }, 200), / ░{30} /, 'empty at the start')
  t.notMatch(barLine(progress, 80), /[█░]/, 'no bar where there is no room')
  for (let columns = 1; columns <= 200; columns++) {
    const { length } = barLine(progress, columns)
    if (length > columns - 1) t.fail(`${length} characters in ${columns} columns`)
  }
  t.match(barLine({ ...progress, epochs: 0, step: 0 }, 200), /█{30}/, 'nothing to do is done')
})

t.test('the last lines have the result, its files, and next commands', async t => {
  const context = { runDir: RUN_DIR, experimentPath: 'configs/quick start.json', cwd: CWD, paint, ofImages: true }
  t.same(endLines(summary, context), [
    'result   test accuracy 96.10 %, loss 0.1345; training loss 0.0500',
    'time     8.12 s of training, 9,857 samples/s, 10 epochs, 630 steps',
    'weights  runs/quick-2026-01-31T12-00-05/checkpoints/step-630.safetensors',
    '',
    'What to try next:',
    '  npx gradloom serve runs/quick-2026-01-31T12-00-05',
    '      try the network in the browser: draw or drop images, see every layer',
    '  npx gradloom report runs/quick-2026-01-31T12-00-05',
    '      a page about this run: curves, mistakes, workers',
    "  cp 'configs/quick start.json' configs/mine.json",
    '      edit it, then: npx gradloom train configs/mine.json',
    '  npx gradloom train --help',
    '      all options',
  ])
  const table = endLines(summary, { ...context, ofImages: false })
  t.ok(table.includes('  npx gradloom predict runs/quick-2026-01-31T12-00-05 --wrong'), 'rows of numbers are not drawn')
  const mine = endLines(summary, { ...context, experimentPath: './configs/mine.json' })
  t.ok(mine.includes('  npx gradloom train ./configs/mine.json --set model.dropout=0.1'), 'not copied onto itself')
  const validation = { loss: 0.2, accuracy: 0.95 }
  const stopped = endLines(
    { ...summary, status: 'interrupted', epochs: 1, validation, train: { loss: 0.05, accuracy: 0.99 } },
    { ...context, runDir: null },
  )
  t.same(stopped, [
    'status   interrupted',
    'result   test accuracy 96.10 %, loss 0.1345; validation accuracy 95.00 %, loss 0.2000; training accuracy 99.00 %, loss 0.0500',
    'time     8.12 s of training, 9,857 samples/s, 1 epoch, 630 steps',
  ])
  const failed = {
    ...summary,
    status: 'failed',
    error: 'worker 1: gone',
    test: null,
    train: null,
    checkpoint: null,
  } as const
  t.match(endLines(failed, context), ['status   worker 1: gone', 'result   none', /^time/])
})

t.test('paths are shortened where they stay unambiguous', async t => {
  t.equal(shown(RUN_DIR, CWD), 'runs/quick-2026-01-31T12-00-05')
  t.equal(shown('/tmp/run', CWD), '/tmp/run')
  t.equal(shown(CWD, CWD), CWD)
})

t.test('colour is used only on terminals that support and allow it', async t => {
  const terminal = { isTTY: true }
  t.equal(paintFor(terminal, {}).strong('x'), '\x1b[1mx\x1b[22m')
  t.equal(paintFor(terminal, { NO_COLOR: '' }).strong('x'), '\x1b[1mx\x1b[22m', 'an empty NO_COLOR does not count')
  t.equal(paintFor(terminal, { NO_COLOR: '1' }).strong('x'), 'x')
  t.equal(paintFor(terminal, { TERM: 'dumb' }).faint('x'), 'x')
  t.equal(paintFor({}, {}).faint('x'), 'x')
})
