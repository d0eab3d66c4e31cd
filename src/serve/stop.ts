/**
 * Graceful shutdown of an HTTP server: it accepts no more connections, and every client's next response closes its connection.
 * Idle connections are closed after a moment, not at once as `server.close()` would: a request may be on its way. Server's
 * thread.
 */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** Idle time after which a connection is closed; under load no connection is idle this long. */
const IDLE_MS = 300
/** Time after which remaining connections are closed without a response. */
const LAST_MS = 10_000

interface Connection {
  /** Pending requests. */
  pending: number
  /** Bytes read at the last check. */
  bytesRead: number
}

/** Tracks a server's connections from before it listens; Node counts one without a request as busy. */
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
      response.on('close', () => connection.pending--)
    })
  }

  /**
   * Resolves when the last connection is closed, with the number of connections that had to be closed before their requests
   * were answered, because they took longer than {@link LAST_MS}.
   */
  async drain(): Promise<number> {
    if (!this.#server.listening) return 0
    this.#draining = true
    // Closes the listener alone: http's `close` also drops connections that are idle at this moment.
    const closed = new Promise<void>(resolve => {
      NetServer.prototype.close.call(this.#server, () => resolve())
    })
    const idle = setInterval(() => this.#closeIdle(), IDLE_MS)
    const last = new AbortController()
    const late = await Promise.race([
      closed.then(() => false),
      delay(LAST_MS, true, { signal: last.signal }).catch(() => false),
    ])
    last.abort()
    clearInterval(idle)
    const unanswered = late ? this.#open.size : 0
    for (const socket of this.#open.keys()) socket.destroy()
    await closed
    return unanswered
  }

  #closeIdle(): void {
    for (const [socket, connection] of this.#open) {
      if (connection.pending === 0 && socket.bytesRead === connection.bytesRead) socket.destroy()
      connection.bytesRead = socket.bytesRead
    }
  }
}
