/**
 * `npm run bench -- serve`: requests a second of `gradloom serve` with the small model that comes along, and their latency, beside
 * another build of gradloom in turns. Main thread; servers and clients are processes of their own.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Bar, chartBar, type Report, type Say } from './report.js'
import type { ServeSample } from './serve-client.js'
import { type Summary, spread, summarise } from './stats.js'

export interface ServeBenchOptions {
  /** Folder of another build; null: this one alone. */
  readonly against: string | null
  readonly model: string
  readonly turns: number
  readonly seconds: number
  readonly connections: number
}
export const SERVE_DEFAULTS: ServeBenchOptions = {
  against: null,
  model: 'mnist',
  turns: 5,
  seconds: 3,
  connections: 32,
}

const WARMUP_SECONDS = 3
const TIMES_BAR = 1.3

interface Side {
  readonly name: string
  /** Sends requests for some seconds. */
  turn(seconds: number): Promise<ServeSample>
  close(): Promise<void>
}

export async function benchServe(options: ServeBenchOptions, say: Say): Promise<Report> {
  const { against, model, turns, seconds, connections } = options
  const folders = [
    { name: 'this build', folder: fileURLToPath(new URL('../..', import.meta.url)) },
    ...(against === null ? [] : [{ name: against, folder: resolve(against) }]),
  ]
  const samples: ServeSample[][] = folders.map(() => [])
  for (let turn = 0; turn < turns; turn++) {
    say(`serve: turn ${turn + 1} of ${turns}`)
    // Processes of their own for each turn: one keeps the pace at which it starts, 10 or 13 thousand requests per second.
    const sides: Side[] = []
    try {
      for (const { name, folder } of folders) sides.push(await openSide(name, folder, model, connections))
      for (const side of sides) await side.turn(WARMUP_SECONDS)
      const order = sides.map((_, i) => i)
      for (const i of turn % 2 === 0 ? order : order.reverse()) samples[i].push(await sides[i].turn(seconds))
    } finally {
      for (const side of sides) await side.close()
    }
  }
  return reportOf(options, folders, samples)
}

async function openSide(name: string, folder: string, model: string, connections: number): Promise<Side> {
  const cli = resolve(folder, 'dist/src/cli/main.js')
  const server = spawn(process.execPath, [cli, 'serve', model, '--port', '0', '--rate', '1000000'], { cwd: folder })
  const url = await urlOf(server, name)
  const client = spawn(process.execPath, [
    fileURLToPath(new URL('./serve-client.js', import.meta.url)),
    `${url}/predict`,
    String(connections),
  ])
  const lines = createInterface({ input: client.stdout })[Symbol.asyncIterator]()
  return {
    name,
    async turn(seconds) {
      client.stdin.write(`${seconds}\n`)
      const { value } = await lines.next()
      if (value === undefined) throw new Error(`serve: the clients of ${name} have ended, expected an answer`)
      return JSON.parse(value)
    },
    async close() {
      client.kill()
      const ended = once(server, 'exit')
      server.kill('SIGINT')
      await ended
    },
  }
}

/** Waits until a server says where it listens; rejects with what it says where it ends before. */
async function urlOf(server: ChildProcessWithoutNullStreams, name: string): Promise<string> {
  let complaint = ''
  server.stderr.on('data', (text: Buffer) => {
    complaint += text
  })
  for await (const line of createInterface({ input: server.stdout })) {
    const found = /http:\/\/[\d.:]+/.exec(line)
    if (found) return found[0]
  }
  throw new Error(`serve: ${name} does not listen: ${complaint.trim()}`)
}

function reportOf(
  options: ServeBenchOptions,
  folders: readonly { readonly name: string }[],
  samples: readonly (readonly ServeSample[])[],
): Report {
  const { model, turns, seconds, connections, against } = options
  const of = (side: number, key: keyof ServeSample): Summary => summarise(samples[side].map(sample => sample[key]))
  const rates = folders.map((_, i) => of(i, 'requestsPerSecond'))
  const p99s = folders.map((_, i) => of(i, 'p99Ms'))
  const failed = samples.flat().reduce((all, sample) => all + sample.failed, 0)
  const bars: Bar[] =
    against === null
      ? []
      : [
          {
            what: `requests per second, relative to ${against}`,
            got: rates[0].median / rates[1].median,
            want: TIMES_BAR,
            ...({ at: 'least', unit: 'times' } as const),
          },
          {
            what: `p99, relative to ${against}`,
            got: p99s[0].median / p99s[1].median,
            want: 1,
            at: 'most',
            unit: 'times',
          },
        ]
  return {
    name: 'serve',
    title: `POST /predict with one image, model ${model}`,
    method: [
      `Clients in a separate process use ${connections} keep-alive connections, each with one request at a time; ${turns} turns of ${seconds} s; medians of turns.`,
      ...(against === null
        ? []
        : [
            'Both builds are measured in turns, while the other one is idle; each turn starts servers and clients anew.',
          ]),
      ...(failed > 0 ? [`${failed} requests were not answered with 200: the figures are not valid.`] : []),
    ],
    tables: [
      {
        title: 'Requests per second, and latency in ms',
        words: 1,
        head: ['build', 'requests/s', 'spread', 'p50', 'p99'],
        rows: folders.map(({ name }, i) => [
          name,
          rates[i].median.toFixed(0),
          `${(100 * spread(rates[i])).toFixed(0)} %`,
          of(i, 'p50Ms').median.toFixed(1),
          p99s[i].median.toFixed(1),
        ]),
      },
    ],
    charts: [
      {
        title: 'Requests per second',
        axis: 'requests/s',
        better: 'higher',
        groups: ['POST /predict'],
        series: folders.map(({ name }, i) => ({ name, bars: [chartBar(rates[i])] })),
      },
    ],
    bars,
    skipped: [],
    numbers: { options, samples },
  }
}
