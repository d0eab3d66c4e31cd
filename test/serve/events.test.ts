import { appendFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import { readMetrics } from '../../src/serve/follow.js'
import { LIMITS } from '../../src/serve/limits.js'
import { until } from '../helpers/until.js'
import { served } from './served.js'

const { experiment } = resolveExperiment({ data: { dataset: 'digits' } })
const line = (step: number) => `${JSON.stringify({ type: 'steps', step })}\n`

function runDirectory(t: Test): { dir: string; metrics: string } {
  const dir = join(t.testdir(), 'run')
  mkdirSync(dir)
  writeFileSync(join(dir, 'resolved.json'), JSON.stringify(experiment))
  return { dir, metrics: join(dir, 'metrics.jsonl') }
}

interface Message {
  readonly id: string
  readonly event: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into what it turns out to be
  readonly data: any
}

/** Messages of a live stream, one after the other. */
async function* listen(t: Test, url: string, lastId?: string): AsyncGenerator<Message> {
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  const { body } = await fetch(`${url}/events`, {
    signal: stop.signal,
    headers: lastId === undefined ? {} : { 'last-event-id': lastId },
  })
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of body!) {
    text += decoder.decode(chunk, { stream: true })
    const blocks = text.split('\n\n')
    text = blocks.pop()!
    for (const block of blocks) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
      const data = field('data')
      if (data !== undefined) yield { id: field('id') ?? '', event: field('event') ?? '', data: JSON.parse(data) }
    }
  }
}

async function next(messages: AsyncGenerator<Message>, event: string): Promise<Message> {
  for (;;) {
    const { value, done } = await messages.next()
    if (done) throw new Error(`stream: ended, expected ${event}`)
    if (value.event === event) return value
  }
}

const stepsOf = ({ data }: Message): number[] => data.events.map(({ step }: { step: number }) => step)

t.test('lines are sent as they are written; a client that reconnects gets the missed lines, none twice', async t => {
  const { dir, metrics } = runDirectory(t)
  writeFileSync(metrics, line(1) + line(2))
  const { url } = await served(t, [dir])
  const live = listen(t, url)
  t.match((await next(live, 'status')).data, { id: 'run', status: 'stopped', checkpoint: null })
  const first = await next(live, 'metrics')
  t.same(stepsOf(first), [1, 2])
  appendFileSync(metrics, `${line(3)}{"type":"st`)
  const second = await next(live, 'metrics')
  t.same(stepsOf(second), [3], 'half a line waits')
  appendFileSync(metrics, `eps","step":4}\n`)
  t.same(stepsOf(await next(live, 'metrics')), [4])
  t.same(stepsOf(await next(listen(t, url, second.id), 'metrics')), [4], 'from where it was')
  t.same(stepsOf(await next(listen(t, url), 'metrics')), [1, 2, 3, 4], 'a reload: all of it')
  for (const foolish of ['x', 'run:1.1', 'run:99999999999999999999.1', `run:${'9'.repeat(15)}.${'9'.repeat(15)}`]) {
    t.same(stepsOf(await next(listen(t, url, foolish), 'metrics')), [1, 2, 3, 4], foolish)
  }
})

t.test('a resumed run whose metrics were truncated is sent from the beginning', async t => {
  const { dir, metrics } = runDirectory(t)
  writeFileSync(metrics, line(1) + line(2) + line(3))
  const { url } = await served(t, [dir])
  const live = listen(t, url)
  const { id } = await next(live, 'metrics')
  writeFileSync(`${metrics}.new`, line(1))
  renameSync(`${metrics}.new`, metrics)
  t.same((await next(live, 'reset')).data, { run: 'run' })
  t.same(stepsOf(await next(live, 'metrics')), [1])
  const later = listen(t, url, id)
  await next(later, 'reset')
  t.same(stepsOf(await next(later, 'metrics')), [1])
})

t.test('damaged lines are skipped, long files are sent in pieces', async t => {
  const { dir, metrics } = runDirectory(t)
  const many = Array.from({ length: 20_000 }, (_, i) => line(i))
  writeFileSync(metrics, `${many.join('')}{"type": "steps", "st\u0000\n5\n${line(20_000)}`)
  let place = null
  const steps: number[] = []
  let pieces = 0
  for (;;) {
    const read = await readMetrics(dir, place)
    if (read.lines.length === 0) break
    pieces++
    steps.push(...read.lines.map(text => JSON.parse(text).step))
    place = read.place
  }
  t.same(
    steps,
    Array.from({ length: 20_001 }, (_, i) => i),
  )
  t.ok(pieces > 1, `${pieces} pieces`)
  t.same(await readMetrics(join(dir, 'none'), null), { lines: [], place: null, restarted: false }, 'none yet')
})

t.test('the number of live pages is limited; further ones are refused with 429', async t => {
  const { dir } = runDirectory(t)
  const { url } = await served(t, [dir])
  const open = Array.from({ length: LIMITS.streams }, () => listen(t, url))
  await Promise.all(open.map(live => next(live, 'status')))
  t.equal((await fetch(`${url}/events`)).status, 429)
  await open[0].return(undefined)
  await until('one that goes makes room', async () => {
    const { status, body } = await fetch(`${url}/events`)
    await body?.cancel()
    return status === 200
  })
})

t.test('a server sends the last events before it stops', async t => {
  const { dir, metrics } = runDirectory(t)
  writeFileSync(metrics, line(1))
  const server = await served(t, [dir])
  const live = listen(t, server.url)
  await next(live, 'metrics')
  appendFileSync(metrics, line(2))
  const stopped = server.stop()
  t.same(stepsOf(await next(live, 'metrics')), [2])
  await stopped
  await t.rejects(next(live, 'metrics'), /ended/)
})

t.test(
  'what a run has written is sent after the run itself, also where its directory was not complete at first',
  async t => {
    const { dir, metrics } = runDirectory(t)
    const { url } = await served(t, [dir])
    renameSync(join(dir, 'resolved.json'), join(dir, 'later.json'))
    writeFileSync(metrics, line(1))
    const live = listen(t, url)
    const first = live.next()
    // The server looks at the files twice a second; on a slow machine it may look only later, which the test passes too.
    appendFileSync(metrics, line(2))
    await new Promise(resolve => setTimeout(resolve, 700))
    renameSync(join(dir, 'later.json'), join(dir, 'resolved.json'))
    t.equal((await first).value?.event, 'status', 'a page has a place for what follows')
    t.same(stepsOf(await next(live, 'metrics')), [1, 2])
  },
)
