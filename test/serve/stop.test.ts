import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { trainDigits } from '../inference/trained.js'
import { served } from './served.js'

const run = await trainDigits(join(t.testdir(), 'run'))
const BODY = JSON.stringify({ image: Array.from({ length: 784 }, (_, i) => i % 256) })

interface Tally {
  readonly answered: number
  /** Not taken any more, before anything was sent: the client knows, and nothing is lost. */
  readonly refused: number
  readonly lost: readonly string[]
}

/** `connections` clients that ask again and again, over connections that they keep, until they are refused. */
async function load(port: number, connections: number, onAnswer: (count: number) => void): Promise<Tally> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  let answered = 0
  let refused = 0
  const lost: string[] = []
  const one = () =>
    new Promise<boolean>(resolve => {
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(BODY) }
      const sent = request(
        { ...{ host: '127.0.0.1', port, agent, headers, method: 'POST', path: '/predict' } },
        answer => {
          answer.resume().on('end', () => {
            if (answer.statusCode === 200) onAnswer(++answered)
            else lost.push(`status ${answer.statusCode}`)
            resolve(true)
          })
          answer.on('error', error => {
            lost.push(`answer: ${error.message}`)
            resolve(false)
          })
        },
      )
      sent.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ECONNREFUSED') refused++
        else lost.push(`request: ${error.message}`)
        resolve(false)
      })
      sent.end(BODY)
    })
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (await one());
    }),
  )
  agent.destroy()
  return { answered, refused, lost }
}

async function served64(t: Test, signal: NodeJS.Signals) {
  const child = spawn(process.execPath, [resolve('dist/src/cli/main.js'), 'serve', run, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const exit = once(child, 'exit')
  const [said] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string]
  const port = Number(/:(\d+)\/draw/.exec(said)?.[1])
  const tally = await load(port, 64, count => {
    if (count === 1500) child.kill(signal)
  })
  return { tally, exit: await exit }
}

t.test('stopped under the load of 64 connections, every request that was sent is answered', async t => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const { tally, exit } = await served64(t, signal)
    t.same(tally.lost, [], signal)
    t.ok(tally.answered >= 1500, `${tally.answered} answers`)
    t.equal(tally.refused, 64, 'each client was refused once, at the end')
    t.same(exit, [0, null])
  }
})

t.test('slow clients are cut off with 408: headers that do not end, a body byte by byte', async t => {
  const { port } = await served(t, [run], { headersMs: 1500, requestMs: 2500 })
  const slow = (start: string) =>
    new Promise<{ answer: string; ms: number }>(resolve => {
      const began = performance.now()
      let answer = ''
      const socket = connect(port, '127.0.0.1', () => socket.write(start))
      const drip = setInterval(() => socket.write('x'), 500)
      socket.setEncoding('utf8').on('data', chunk => {
        answer += chunk
      })
      socket.on('error', () => undefined) // the test continues to write into a socket that the server has closed
      socket.on('close', () => {
        clearInterval(drip)
        resolve({ answer, ms: performance.now() - began })
      })
    })
  const host = `Host: 127.0.0.1:${port}\r\n`
  const [headers, body] = await Promise.all([
    slow(`GET /runs HTTP/1.1\r\n${host}X-Slow: `),
    slow(`POST /predict HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n`),
  ])
  t.match(headers.answer, /^HTTP\/1\.1 408 /)
  t.match(body.answer, /^HTTP\/1\.1 408 /)
  t.ok(headers.ms >= 1500 && body.ms >= 2500, `after ${headers.ms} and ${body.ms} ms, not before`)
})

t.test('neither an idle client nor a live page keeps the server from stopping', async t => {
  const server = await served(t, [run])
  const idle = connect(server.port, '127.0.0.1')
  await once(idle, 'connect')
  const live = await fetch(`${server.url}/events`)
  await live.body!.getReader().read()
  idle.on('error', () => undefined)
  const closed = once(idle, 'close')
  t.equal(await server.stop(), 0, 'no connection had to be closed because it took too long')
  await closed
  await t.rejects(fetch(`${server.url}/runs`), 'nobody listens any more')
})
