/**
 * The end of an HTTP server with nothing lost: first it takes no more connections, and tells every client with its next
 * answer that the connection ends with it. Connections on which nobody asks are closed after a moment, not at once as
 * `server.close()` would: a request may be on its way. Server's thread.
 */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http'
import { Server as NetServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** Under load no connection is idle so long. */
const IDLE_MS = 300
/** Then whoever has not got his answer gets none. */
const LAST_MS = 10_000

export async function drain(server: HttpServer): Promise<void> {
  if (!server.listening) return
  server.prependListener('request', (_request: IncomingMessage, response: ServerResponse) => {
    response.setHeader('connection', 'close')
  })
  // The listener alone: http's `close` also drops connections that are idle at this moment.
  const closed = new Promise<void>(resolve => {
    NetServer.prototype.close.call(server, () => resolve())
  })
  // Requests whose answer is under way already keep their connection, which is idle after it.
  const idle = setInterval(() => server.closeIdleConnections(), IDLE_MS)
  const last = new AbortController()
  await Promise.race([closed, delay(LAST_MS, undefined, { signal: last.signal }).catch(() => undefined)])
  last.abort()
  clearInterval(idle)
  server.closeAllConnections()
  await closed
}
