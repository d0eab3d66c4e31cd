/** What a server gives to all clients together, so that its memory stays bounded whatever they send. Any thread. */

export const LIMITS = {
  /** Of one request's body: about 1,300 images of 28 x 28 as numbers, or a picture of 3 MB in base64. */
  bodyBytes: 4 * 2 ** 20,
  /** Of all bodies being received or answered. */
  bodiesBytes: 64 * 2 ** 20,
  connections: 1024,
  /** Live pages among them. */
  streams: 32,
  /** Images in a request. */
  images: 1024,
  /** Pictures among them, which have to be decoded. */
  pictures: 16,
  /** For headers, and for a whole request: who sends more slowly is cut off. */
  headersMs: 10_000,
  requestMs: 20_000,
  /** How often those are looked at. */
  checkMs: 1000,
  /** For a client that takes no answer. */
  idleMs: 60_000,
  keepAliveMs: 10_000,
} as const

/** An amount that is handed out and given back. */
export class Budget {
  #used = 0

  constructor(readonly total: number) {}

  /** What gives it back, once; null where there is not so much left. */
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
