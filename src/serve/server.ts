/**
 * Local web server: pages, JSON API, live events. It checks origin, rate and size of requests, and leaves arithmetic to the
 * threads of inference.ts. Main thread of `serve`, a thread of its own in `train --live`.
 */
import type { AddressInfo } from 'node:net'
import rateLimit from '@fastify/rate-limit'
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { ConfigError, GradloomError } from '../errors.js'
import type { BackendName } from '../inference/model.js'
import { loadAssets } from './assets.js'
import { NotFoundError, statusOfError } from './errors.js'
import { addEvents, type Streams } from './events.js'
import { addressesOf, allowedNames, bracketed, refusalOf } from './hosts.js'
import { Inference } from './inference.js'
import { Budget, LIMITS } from './limits.js'
import { openApi } from './openapi.js'
import { OPERATIONS } from './operations.js'
import { readPixelBody } from './pixel-body.js'
import { predictHandler } from './predict.js'
import { pagesOf, type Registry } from './registry.js'
import { addRunRoutes } from './run-routes.js'
import { Connections } from './stop.js'

export interface ServeOptions {
  readonly registry: Registry
  /** Address to listen on; default: this computer only. */
  readonly host?: string
  /** Port; 0: any free one. null: the default port, or any free one. */
  readonly port: number | null
  /** Further host names by which browsers may reach the server. */
  readonly allowHosts?: readonly string[]
  /** Requests per second that one address may send. */
  readonly rate?: number
  /** Length of the window in which `rate` requests are counted, in ms; default: 1000. */
  readonly rateWindowMs?: number
  /** Time for a client to send its headers, and a whole request. */
  readonly headersMs?: number
  readonly requestMs?: number
  /** Kernels of predictions; default: as `Predictor` chooses them. */
  readonly backend?: BackendName | undefined
  /** Called when a network is opened: what it computes with. */
  readonly onOpened?: (run: string, backend: string) => void
  /** Page that `/` redirects to; default: Form if the first run is of a table, else Draw. */
  readonly home?: '/draw' | '/form' | '/watch'
}

export interface RunningServer {
  readonly host: string
  readonly port: number
  /** URL such as `http://127.0.0.1:4747`. */
  readonly url: string
  /**
   * Accepts no more connections, answers pending requests, and resolves when all connections are closed, with the number of
   * connections that were closed without an answer because they took too long.
   */
  stop(): Promise<number>
}

export const USUAL_PORT = 4747
export const USUAL_HOST = '127.0.0.1'
/** Default rate limit; twice what `POST /predict` is made for. */
export const USUAL_RATE = 10_000

/** Content security policy: own scripts, styles and requests only; images are drawn, or embedded as data. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const HEADERS = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
} as const

/** Starts the server; rejects with ConfigError where it cannot listen. */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const { registry, host = USUAL_HOST, port, allowHosts = [] } = options
  const inference = new Inference(options.backend, options.onOpened)
  const app = fastify({
    bodyLimit: LIMITS.bodyBytes,
    // A column may have any name; bodies are read by own properties alone, and never merged into other objects.
    onProtoPoisoning: 'ignore',
    onConstructorPoisoning: 'ignore',
    connectionTimeout: LIMITS.idleMs,
    keepAliveTimeout: LIMITS.keepAliveMs,
    requestTimeout: options.requestMs ?? LIMITS.requestMs,
    // Requests that arrived before the end are answered; see stop.ts.
    return503OnClosing: false,
    http: { headersTimeout: options.headersMs ?? LIMITS.headersMs, connectionsCheckingInterval: LIMITS.checkMs },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, allowUnionTypes: true } },
    routerOptions: { maxParamLength: 120 },
  })
  app.server.maxConnections = LIMITS.connections
  const connections = new Connections(app.server)
  app.removeContentTypeParser('text/plain')
  app.setErrorHandler(answerError)
  const names = allowedNames(host, allowHosts)
  let taken = 0
  let addresses: ReadonlySet<string> = new Set()
  app.addHook('onListen', async () => {
    taken = (app.server.address() as AddressInfo).port
    addresses = addressesOf(names, taken)
  })
  // Hooks with a callback: a promise for each of them, of each request, costs as much as what they do.
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(HEADERS)
    const refusal = refusalOf(request.headers, addresses)
    if (refusal === null) done()
    else refuse(reply, 403, refusal, 'gradloom serve --allow-host NAME allows another name')
  })
  await app.register(rateLimit, { max: options.rate ?? USUAL_RATE, timeWindow: options.rateWindowMs ?? 1000, ...QUIET })
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, ({ method, url }) => {
    throw new NotFoundError(`${method} ${url.slice(0, 100)}: there is no such address`, 'GET /openapi.json lists them')
  })
  limitBodies(app)
  readPixels(app)
  numbersInQueries(app)

  app.route({ ...OPERATIONS.predict, handler: predictHandler(registry, inference) })
  addRunRoutes(app, registry, inference)
  const streams = addEvents(app, registry)
  await addPages(app, async () => options.home ?? (await pagesOf(registry))[0])
  try {
    await listen(app, host, port)
  } catch (cause) {
    await app.close()
    await inference.close()
    throw new ConfigError(`gradloom serve: ${host}, port ${port ?? USUAL_PORT}: ${(cause as Error).message}`, {
      hint: '--port 0 takes any port that is free',
      cause,
    })
  }
  return {
    host,
    port: taken,
    url: `http://${bracketed(host)}:${taken}`,
    stop: stopper(app, connections, streams, inference),
  }
}

/** Rate limit without headers; clients learn of it when they reach it. */
const QUIET = {
  addHeadersOnExceeding: { 'x-ratelimit-limit': false, 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false },
}

async function listen(app: FastifyInstance, host: string, port: number | null): Promise<void> {
  try {
    await app.listen({ host, port: port ?? USUAL_PORT })
  } catch (error) {
    if (port !== null || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    await app.listen({ host, port: 0 })
  }
}

function stopper(
  app: FastifyInstance,
  connections: Connections,
  streams: Streams,
  inference: Inference,
): () => Promise<number> {
  let stopping: Promise<number> | undefined
  const stop = async () => {
    await streams.finish()
    const unanswered = await connections.drain()
    await app.close()
    await inference.close()
    return unanswered
  }
  return () => {
    stopping ??= stop()
    return stopping
  }
}

async function addPages(app: FastifyInstance, home: () => Promise<string>): Promise<void> {
  for (const [url, { type, body, etag }] of await loadAssets()) {
    app.get(url, (request, reply) => {
      reply.headers({ etag, 'cache-control': 'no-cache' })
      if (request.headers['if-none-match'] === etag) return reply.code(304).send()
      return reply.type(type).send(body)
    })
  }
  app.get('/', async (_request, reply) => reply.redirect(await home()))
  app.get('/favicon.ico', (_request, reply) => reply.redirect('/assets/icon.svg'))
  const document = openApi()
  app.get('/openapi.json', () => document)
}

/** Checks a body's length before it is read; all bodies together stay within a budget. */
function limitBodies(app: FastifyInstance): void {
  const budget = new Budget(LIMITS.bodiesBytes)
  app.addHook('onRequest', ({ method, headers }, reply, done) => {
    const length = headers['content-length']
    if (reply.sent || (method !== 'POST' && length === undefined && !headers['transfer-encoding'])) return done()
    if (length === undefined) return refuse(reply, 411, 'Content-Length is missing, expected the bytes of the body')
    if (Number(length) > LIMITS.bodyBytes) {
      return refuse(reply, 413, `Content-Length is ${length}, expected at most ${LIMITS.bodyBytes}`)
    }
    const giveBack = budget.take(Number(length))
    if (!giveBack) return refuse(reply, 429, 'too many bodies are being received', 'ask again in a moment')
    reply.raw.on('close', giveBack)
    done()
  })
}

/** Reads bodies of images as numbers without JSON.parse, and all others with it. */
function readPixels(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('ignore', 'ignore')
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    const pixels = readPixelBody(body)
    if (pixels !== null) done(null, pixels)
    else void parseJson(request, body.toString(), done)
  })
}

/** Converts query values, which are strings, to integers where the schema wants integers; for routes that take any. */
function numbersInQueries(app: FastifyInstance): void {
  app.addHook('onRoute', route => {
    const schema = route.schema?.querystring as { properties?: Record<string, { type?: string }> } | undefined
    const integers = Object.entries(schema?.properties ?? {}).filter(([, { type }]) => type === 'integer')
    if (integers.length === 0) return
    route.preValidation = ({ query }, _reply, done) => {
      const values = query as Record<string, unknown>
      for (const [name] of integers) {
        const value = values[name]
        if (typeof value === 'string' && /^-?\d{1,15}$/.test(value)) values[name] = Number(value)
      }
      done()
    }
  })
}

/** Answers in place of the handler; a hook that refuses goes no further. */
function refuse(reply: FastifyReply, status: number, message: string, hint?: string): void {
  // A refused client may continue to send a body that nobody reads.
  reply.header('connection', 'close')
  reply.code(status).send(failure(status, message, hint))
}

const failure = (statusCode: number, message: string, hint?: string) => ({
  ...{ statusCode, error: NAMES[statusCode] ?? 'Error', message, ...(hint !== undefined && { hint }) },
})

const NAMES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  408: 'Request Timeout',
  409: 'Conflict',
  411: 'Length Required',
  413: 'Payload Too Large',
  415: 'Unsupported Media Type',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
}

const IMAGE_FORM =
  'an image is one list of numbers from 0 to 255, row by row and the channels of a pixel side by side, or a picture file in base64'

/** Sends a GradloomError's message to the client; any other error is a defect, which is logged and not disclosed. */
function answerError(error: FastifyError | GradloomError, _request: FastifyRequest, reply: FastifyReply) {
  if (error instanceof GradloomError) {
    const status = statusOfError(error)
    return reply.code(status).send(failure(status, error.message, error.hint))
  }
  const status = error.statusCode ?? 500
  if (status < 500) {
    const ofImage = error.validation?.some(({ instancePath }) => /^\/images?\b/.test(instancePath)) ?? false
    return reply.code(status).send(failure(status, error.message, ofImage ? IMAGE_FORM : undefined))
  }
  process.stderr.write(`gradloom serve: ${error.stack ?? error.message}\n`)
  return reply.code(500).send(failure(500, 'internal error; see the terminal of the server'))
}
