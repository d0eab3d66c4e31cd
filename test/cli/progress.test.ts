import { Writable } from 'node:stream'
import t from 'tap'
import { ProgressView } from '../../src/cli/progress.js'
import type { TrainEvent } from '../../src/run/events.js'
import { CWD, epoch, progress, start, summary } from './events.js'

/** A stream that keeps what it is given, and a terminal or not. */
function fakeStream(isTTY: boolean) {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk
      done()
    },
  })
  return { stream: Object.assign(stream, { isTTY, columns: 100 }) as unknown as NodeJS.WriteStream, text: () => text }
}

const ESC = '\x1b'
/** A control sequence, or a character. */
const TOKEN = new RegExp(`${ESC}(?:\\[[?\\d;]*[a-zA-Z]|[78])|[^]`, 'g')

/** Content of an endless screen after the text: one line at a time, as far as our bar uses a terminal. */
function screen(text: string): string[] {
  const lines = ['']
  let column = 0
  for (const [token] of text.matchAll(TOKEN)) {
    const row = lines.length - 1
    if (token === '\n') {
      lines.push('')
      column = 0
    } else if (token === '\x1b[1G') column = 0
    else if (token === '\x1b[0K') lines[row] = lines[row].slice(0, column)
    else if (token === '\x1b[2K') lines[row] = ''
    else if (!token.startsWith(ESC)) {
      lines[row] = lines[row].slice(0, column).padEnd(column) + token + lines[row].slice(column + 1)
      column++
    }
  }
  return lines
}

const events: TrainEvent[] = [
  start,
  progress,
  epoch,
  { ...progress, epoch: 4, step: 200 },
  { type: 'finishing', what: 'evaluate' },
  { type: 'end', summary },
]

t.test('without a terminal, progress is a few plain lines', async t => {
  const { stream, text } = fakeStream(false)
  let nowMs = 0
  const view = new ProgressView({ stream, cwd: CWD, now: () => nowMs })
  view.show(start)
  for (let i = 0; i < 600; i++) {
    nowMs += 20 // 12 seconds in all
    view.show(progress)
  }
  view.show(epoch)
  nowMs += 4999
  view.show(progress)
  view.show({ type: 'steps', from: 0, step: 1, epoch: 1, loss: 1, accuracy: 1, learningRate: 1, samplesPerSecond: 1 })
  view.show({ type: 'end', summary })
  view.close()
  const lines = text().trimEnd().split('\n')
  t.equal(lines.length, 5 + 2 + 1, text())
  t.match(lines[0], /^data/)
  t.match(lines[5], /^epoch {2}3\/10 {2}step 31\/63/)
  t.match(lines[7], /^epoch {2}3\/10 {2}loss/)
  t.notOk(text().includes(ESC) || text().includes('\r'), 'no control characters')
})

t.test('on a terminal, progress is a bar with permanent lines above it, and the bar is cleared at the end', async t => {
  const { stream, text } = fakeStream(true)
  const view = new ProgressView({ stream, cwd: CWD })
  const seen = events.map(event => {
    view.show(event)
    return screen(text())
  })
  t.match(seen[1].at(-1), /^epoch {2}3\/10 {2}█+░+ {2}step 31\/63/, 'the bar is drawn')
  t.match(seen[2].slice(-2), [/^epoch {2}3\/10 {2}loss 0.2100/, /^$/], 'the epoch takes its place')
  t.match(seen[3].slice(-2), [/^epoch {2}3\/10 {2}loss/, /^epoch {2}4\/10 {2}█/], 'and the bar goes on below')
  t.same(seen.at(-1)?.slice(-2), ['scoring the test samples', ''])
  t.equal(text().split('\x1b[?25l').length, text().split('\x1b[?25h').length, 'the cursor is given back')
})

t.test('a note or an abrupt end clears the bar; no timer is left', async t => {
  const { stream, text } = fakeStream(true)
  const view = new ProgressView({ stream, cwd: CWD })
  view.show(progress)
  view.note('SIGINT: stopping')
  t.same(screen(text()).slice(-2), ['SIGINT: stopping', ''])
  view.show(progress)
  view.close()
  view.close()
  t.same(screen(text()).slice(-2), ['SIGINT: stopping', ''])
  t.equal(process.getActiveResourcesInfo().filter(name => name === 'Timeout').length, 0)
})
