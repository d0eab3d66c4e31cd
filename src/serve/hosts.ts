/**
 * Host and origin checks. A page of another site can make a browser send requests to 127.0.0.1 and, by changing what its own
 * name resolves to (DNS rebinding), read the responses; such a request names that site in `Host` and, where the browser sends
 * them, in `Origin` and `Sec-Fetch-Site`. All three must name this server. Any thread.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]']
const ANYWHERE = new Set(['0.0.0.0', '::', ''])
const HTTP_PORT = 80
const SCHEME = 'http://'

/** Names by which this server may be called, without ports. `host` is where it listens; `more` are names of the user's. */
export function allowedNames(host: string, more: readonly string[]): Set<string> {
  const here = ANYWHERE.has(host)
    ? [hostname(), ...Object.values(networkInterfaces()).flatMap(found => found?.map(({ address }) => address) ?? [])]
    : [host]
  return new Set([...LOOPBACK, ...[...here, ...more].map(bracketed)].map(name => name.toLowerCase()))
}

/** Formats a host for a URL: IPv6 in brackets. */
export const bracketed = (host: string): string => (isIP(host) === 6 ? `[${host}]` : host)

/** Addresses by which a server on a port may be called: what `Host` may be. */
export function addressesOf(names: ReadonlySet<string>, port: number): Set<string> {
  const withPort = [...names].map(name => `${name}:${port}`)
  return new Set(port === HTTP_PORT ? [...withPort, ...names] : withPort)
}

/** Reason why a request is refused; null where it is accepted. `addresses`: those of this server. */
export function refusalOf(headers: IncomingHttpHeaders, addresses: ReadonlySet<string>): string | null {
  const { host, origin, 'sec-fetch-site': site, 'sec-fetch-mode': mode } = headers
  const isOurs = (address: string) => addresses.has(address.toLowerCase())
  if (host === undefined || !isOurs(host)) {
    return `Host is '${host ?? ''}', expected ${[...addresses].join(' or ')}`
  }
  if (origin !== undefined && !(origin.startsWith(SCHEME) && isOurs(origin.slice(SCHEME.length)))) {
    return `Origin is '${origin}', expected that of this server's own pages`
  }
  // Navigation from another site to a page is fine; embedding and requests are not.
  if (site !== undefined && site !== 'same-origin' && site !== 'none' && mode !== 'navigate') {
    return `Sec-Fetch-Site is '${site}', expected a page of this server`
  }
  return null
}
