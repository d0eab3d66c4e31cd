/**
 * The end of an HTTP server with nothing lost: first it takes no more connections, and tells every client with its next
 * answer that the connection ends with it. Connections on which nothing happens are closed after a moment, not at once as
 * `server.close()` would: a request may be on its way. Server's thread.
 */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** Under load no connection is idle so long. */
const IDLE_MS = 300
/** Then whoever has not got his answer gets none. */
const LAST_MS = 10_000

interface Connection {
  /** Requests that are not answered yet. */
  pending: number
  /** At the last look. */
  bytesRead: number
}

/** Knows a server's connections, from before it listens on. Node counts one that has never asked as busy. */
export class Connections {
  readonly #server: HttpServer
  readonly #open = new Map<Socket, Connection>()
  #draining = false

  constructor(server: HttpServer) {
    this.#server = server
    server.on('connection', (socket: Socket) => {
      this.#open.set(socket, { pending: 0, bytesRead: -1 })
      socket.once('close', () => this.#open.delete(socket))
    })
    server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      if (this.#draining) response.setHeader('connection', 'close')
      const connection = this.#open.get(socket)
      if (!connection) return
      connection.pending++
      response.once('close', () => connection.pending--)
    })
  }

  /** Resolves when the last connection is closed. */
  async drain(): Promise<void> {
    if (!this.#server.listening) return
    this.#draining = true
    // The listener alone: http's `close` also drops connections that are idle at this moment.
    const closed = new Promise<void>(resolve => {
      NetServer.prototype.close.call(this.#server, () => resolve())
    })
    const idle = setInterval(() => this.#closeIdle(), IDLE_MS)
    const last = new AbortController()
    await Promise.race([closed, delay(LAST_MS, undefined, { signal: last.signal }).catch(() => undefined)])
    last.abort()
    clearInterval(idle)
    for (const socket of this.#open.keys()) socket.destroy()
    await closed
  }

  #closeIdle(): void {
    for (const [socket, connection] of this.#open) {
      if (connection.pending === 0 && socket.bytesRead === connection.bytesRead) socket.destroy()
      connection.bytesRead = socket.bytesRead
    }
  }
}
