/** Limits over all clients together, so that the server's memory stays bounded whatever they send. Any thread. */

export const LIMITS = {
  /** Maximum request body size: about 1,300 images of 28 x 28 as JSON numbers, or a picture of 3 MB in base64. */
  bodyBytes: 4 * 2 ** 20,
  /** Maximum size of all bodies being received or processed. */
  bodiesBytes: 64 * 2 ** 20,
  connections: 1024,
  /** Connections that may be live pages. */
  streams: 32,
  /** Images per request. */
  images: 1024,
  /** Images per request that may be picture files, which have to be decoded. */
  pictures: 16,
  /** Numbers of an image or a row: 256 x 256 pixels of three channels. */
  features: 196_608,
  /** Characters of a run's identifier. */
  runId: 100,
  /** Time for headers, and for a whole request; slower clients are disconnected. */
  headersMs: 10_000,
  requestMs: 20_000,
  /** Interval of checking these times. */
  checkMs: 1000,
  /** Time for a client to read the response. */
  idleMs: 60_000,
  keepAliveMs: 10_000,
} as const

/** Budget that is taken from and released to. */
export class Budget {
  #used = 0

  constructor(readonly total: number) {}

  /** Takes an amount; returns a function that releases it once, or null where too little is left. */
  take(amount: number): (() => void) | null {
    if (this.#used + amount > this.total) return null
    this.#used += amount
    let given = false
    return () => {
      if (given) return
      given = true
      this.#used -= amount
    }
  }
}
