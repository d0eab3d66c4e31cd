/**
 * `GET /events`: new content of the run directories, as server-sent events. Every metrics message has an id that encodes how far
 * each run has been read; a browser that reconnects sends it and continues from there. Memory holds only that position and one
 * message. Server's thread.
 */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { ProgressEvent } from '../run/events.js'
import { TooBusyError } from './errors.js'
import { type Place, readMetrics } from './follow.js'
import { Budget, LIMITS } from './limits.js'
import { EVENTS } from './operations.js'
import type { LiveMessages } from './protocol.js'
import { entryOf, type Registry, type ServedRun } from './registry.js'

/** Interval of reading the files. */
const POLL_MS = 500
/** Interval of reading the status, which needs three more files. */
const STATUS_POLLS = 3
/** Interval of keep-alive comments, well before a connection counts as idle. */
const BEAT_POLLS = 30
/** Delay after which browsers reconnect. */
const RETRY_MS = 1000

export interface Streams {
  /** Sends what is left, above all the end of a run, and ends all streams. */
  finish(): Promise<void>
}

export function addEvents(app: FastifyInstance, registry: Registry): Streams {
  const budget = new Budget(LIMITS.streams)
  const open = new Set<Stream>()
  app.get(EVENTS.url, async (request, reply) => {
    const giveBack = budget.take(1)
    if (!giveBack) throw new TooBusyError(`live pages: there are ${LIMITS.streams}, expected fewer`)
    reply.hijack()
    const { raw } = reply
    for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value)
    raw.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' })
    raw.write(`retry: ${RETRY_MS}\n\n`)
    const stream = new Stream(registry, raw, placesOf(request.headers['last-event-id']))
    open.add(stream)
    try {
      await stream.run()
    } finally {
      open.delete(stream)
      giveBack()
    }
  })
  return { finish: async () => void (await Promise.all([...open].map(stream => stream.finish()))) }
}

class Stream {
  readonly #registry: Registry
  readonly #response: ServerResponse
  readonly #places: Map<string, Place | null>
  readonly #status = new Map<string, string>()
  readonly #progress = new Map<string, ProgressEvent>()
  readonly #wake = new AbortController()
  #finishing: (() => void) | undefined

  constructor(registry: Registry, response: ServerResponse, places: Map<string, Place | null>) {
    this.#registry = registry
    this.#response = response
    this.#places = places
    response.once('close', () => this.#wake.abort())
  }

  /** Streams until the client disconnects, or `finish`. */
  async run(): Promise<void> {
    const response = this.#response
    for (let poll = 0; !response.destroyed; poll++) {
      const last = this.#finishing !== undefined
      if (poll % BEAT_POLLS === BEAT_POLLS - 1) await this.#write(':\n\n')
      for (const run of this.#registry.list()) {
        const isNew = !this.#status.has(run.id)
        if (isNew || poll % STATUS_POLLS === 0 || last) await this.#sendStatus(run)
        // A page has no place yet for what belongs to a run that it does not know, as one whose directory is being written.
        if (!this.#status.has(run.id)) continue
        await this.#sendMetrics(run)
        await this.#sendProgress(run)
      }
      if (last) break
      await delay(POLL_MS, undefined, { signal: this.#wake.signal }).catch(() => undefined)
    }
    response.end()
    this.#finishing?.()
  }

  finish(): Promise<void> {
    return new Promise(resolve => {
      this.#finishing = resolve
      this.#wake.abort()
      // A client that does not read would keep the server from stopping.
      const timer = setTimeout(() => this.#response.destroy(), LIMITS.checkMs)
      this.#response.once('close', () => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  async #sendStatus(run: ServedRun): Promise<void> {
    const entry = await entryOf(run).catch(() => null) // a run whose directory is gone stays as it was shown last
    const text = JSON.stringify(entry)
    if (entry === null || this.#status.get(run.id) === text) return
    this.#status.set(run.id, text)
    await this.#send('status', entry)
  }

  async #sendMetrics({ id, dir }: ServedRun): Promise<void> {
    if (dir === null) return
    for (;;) {
      const before = this.#places.get(id) ?? null
      const { lines, place, restarted } = await readMetrics(dir, before)
      this.#places.set(id, place)
      if (restarted) await this.#send('reset', { run: id })
      if (lines.length === 0 && place?.offset === before?.offset) return
      // Lines are already JSON.
      if (lines.length > 0) {
        await this.#write(
          `id: ${placesText(this.#places)}\nevent: metrics\ndata: {"run":${JSON.stringify(id)},"events":[${lines.join(',')}]}\n\n`,
        )
      }
      if (this.#response.destroyed) return
    }
  }

  async #sendProgress({ id }: ServedRun): Promise<void> {
    const event = this.#registry.progressOf(id)
    if (event === undefined || this.#progress.get(id) === event) return
    this.#progress.set(id, event)
    await this.#send('progress', { run: id, event })
  }

  async #send<Name extends keyof LiveMessages>(name: Name, message: LiveMessages[Name]): Promise<void> {
    await this.#write(`event: ${name}\ndata: ${JSON.stringify(message)}\n\n`)
  }

  /** Waits for a slow client; files are not read ahead of it. */
  async #write(text: string): Promise<void> {
    const response = this.#response
    if (response.destroyed || response.write(text)) return
    const gone = new AbortController()
    const onClose = () => gone.abort()
    response.once('close', onClose)
    await once(response, 'drain', { signal: gone.signal }).catch(() => undefined)
    response.off('close', onClose)
  }
}

/** Encodes `<id>:<inode>.<offset>` of every run, separated by commas; ids need no quoting. */
function placesText(places: ReadonlyMap<string, Place | null>): string {
  return [...places].flatMap(([id, place]) => (place ? `${id}:${place.inode}.${place.offset}` : [])).join(',')
}

/** Decodes an id; one that this server did not write counts as none. */
function placesOf(text: string | string[] | undefined): Map<string, Place | null> {
  const places = new Map<string, Place | null>()
  if (typeof text !== 'string') return places
  for (const [, id, inode, offset] of text.matchAll(/([\w.-]+):(\d{1,15})\.(\d{1,15})(?:,|$)/g)) {
    places.set(id, { inode: Number(inode), offset: Number(offset) })
  }
  return places
}
