/** A mirror on loopback that serves a data set, and misbehaves on request. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

export interface Mirror {
  readonly url: string
  /** Path and Range header of each request, in order. */
  readonly requests: readonly { readonly path: string; readonly range: string | undefined }[]
}

export type Answer = (request: IncomingMessage, response: ServerResponse, count: number) => void

/** `count` counts the requests for the same path, from 1. The server ends with the test. */
export async function startMirror(t: Test, answer: Answer): Promise<Mirror> {
  const requests: { path: string; range: string | undefined }[] = []
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    requests.push({ path, range: request.headers.range })
    answer(request, response, requests.filter(earlier => earlier.path === path).length)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, requests }
}

/** Sends `content` from where the Range header asks, as a good server does; at most `limit` bytes, then it hangs up. */
export function serveRange(
  request: IncomingMessage,
  response: ServerResponse,
  content: Buffer,
  limit = Infinity,
): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  if (from >= content.length) {
    response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end()
    return
  }
  const part = content.subarray(from)
  const range = { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }
  response.writeHead(from > 0 ? 206 : 200, { 'content-length': part.length, ...(from > 0 && range) })
  sendOrCut(response, part, limit)
}

/** Sends everything from the beginning, whatever Range says; at most `limit` bytes, then it hangs up. */
export function serveWhole(response: ServerResponse, content: Buffer, limit = Infinity): void {
  response.writeHead(200, { 'content-length': content.length })
  sendOrCut(response, content, limit)
}

/** Waits before it hangs up, so that the client has read what was sent: an error on its side discards what it has not read. */
function sendOrCut(response: ServerResponse, part: Buffer, limit: number): void {
  if (part.length <= limit) response.end(part)
  else response.write(part.subarray(0, limit), () => setTimeout(() => response.destroy(), 150))
}
