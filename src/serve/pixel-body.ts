/**
 * Reads the usual bodies of `POST /predict`, images as whole numbers, straight into bytes: JSON.parse and the check of each number took
 * longer than the network. Any other body is left to JSON.parse and the schema, whose messages say what is wrong. Pure; any thread.
 */
import { LIMITS } from './limits.js'

/** Content of a body that this reader takes: as JSON.parse gives it, but images are bytes (F). */
export interface PixelContent {
  readonly run?: string
  readonly image?: Uint8Array
  readonly images?: readonly Uint8Array[]
  readonly layers?: boolean
}

/** A body that was read and checked here. It shows no properties, so that the schema has nothing left to check. */
export class PixelBody {
  readonly #content: PixelContent

  constructor(content: PixelContent) {
    this.#content = content
  }

  get content(): PixelContent {
    return this.#content
  }
}

const [SPACE, TAB, LINE_FEED, RETURN] = [0x20, 0x09, 0x0a, 0x0d]
const [QUOTE, BACKSLASH, COMMA, COLON, ZERO, DELETE] = [0x22, 0x5c, 0x2c, 0x3a, 0x30, 0x7f]
const [OPEN_LIST, CLOSE_LIST, OPEN, CLOSE, T, F] = [0x5b, 0x5d, 0x7b, 0x7d, 0x74, 0x66]
const BRIGHTEST = 255

const isSpace = (code: number): boolean => code === SPACE || code === LINE_FEED || code === RETURN || code === TAB
const isDigit = (code: number): boolean => code >= ZERO && code <= ZERO + 9

/** Pixels of the image that is being read. */
const scratch = Buffer.alloc(LIMITS.features)

/** A body of images as whole numbers from 0 to 255, and of `run` and `layers`, within the limits of the schema; null: another one. */
export function readPixelBody(text: Buffer): PixelBody | null {
  let end = text.length
  while (end > 0 && isSpace(text[end - 1])) end--
  // The last brace also ends every loop of the reader: it is no part of a number, a list or a text.
  if (end < 2 || text[end - 1] !== CLOSE) return null
  const reader = new Reader(text)
  const content = reader.content()
  return content !== null && reader.at === end ? new PixelBody(content) : null
}

/** Reads values from `at` on, each with the white space before and after it; null where they are not of the usual form. */
class Reader {
  at = 0
  readonly #text: Buffer

  constructor(text: Buffer) {
    this.#text = text
  }

  content(): PixelContent | null {
    const found: { -readonly [Key in keyof PixelContent]: PixelContent[Key] } = {}
    if (!this.#take(OPEN)) return null
    do {
      const key = this.#word()
      if (!this.#take(COLON)) return null
      if (key !== 'image' && key !== 'images' && key !== 'run' && key !== 'layers') return null
      if (found[key] !== undefined) return null
      const value = this.#valueOf(key)
      if (value === null) return null
      found[key] = value as never
    } while (this.#take(COMMA))
    if (this.#text[this.at++] !== CLOSE) return null
    return (found.image === undefined) === (found.images === undefined) ? null : found
  }

  #valueOf(key: keyof PixelContent): string | Uint8Array | Uint8Array[] | boolean | null {
    switch (key) {
      case 'image':
        return this.#pixels()
      case 'images':
        return this.#images()
      case 'run': {
        const id = this.#word()
        return id !== null && id.length <= LIMITS.runId ? id : null
      }
      case 'layers':
        return this.#truth()
    }
  }

  #skipSpace(): void {
    while (isSpace(this.#text[this.at])) this.at++
  }

  /** Passes over a character that separates values, if it is the next one. */
  #take(code: number): boolean {
    this.#skipSpace()
    if (this.#text[this.at] !== code) return false
    this.at++
    return true
  }

  /** A text of printable ASCII without escapes. */
  #word(): string | null {
    if (!this.#take(QUOTE)) return null
    const text = this.#text
    const start = this.at
    let at = start
    while (text[at] >= SPACE && text[at] < DELETE && text[at] !== QUOTE && text[at] !== BACKSLASH) at++
    if (text[at] !== QUOTE) return null
    this.at = at + 1
    this.#skipSpace()
    return text.toString('latin1', start, at)
  }

  #truth(): boolean | null {
    this.#skipSpace()
    const first = this.#text[this.at]
    const word = first === T ? 'true' : first === F ? 'false' : null
    if (word === null || this.#text.toString('latin1', this.at, this.at + word.length) !== word) return null
    this.at += word.length
    this.#skipSpace()
    return word === 'true'
  }

  #images(): Uint8Array[] | null {
    if (!this.#take(OPEN_LIST)) return null
    const images: Uint8Array[] = []
    do {
      const image = images.length < LIMITS.images ? this.#pixels() : null
      if (image === null) return null
      images.push(image)
    } while (this.#take(COMMA))
    if (!this.#take(CLOSE_LIST)) return null
    this.#skipSpace()
    return images
  }

  #pixels(): Uint8Array | null {
    if (!this.#take(OPEN_LIST)) return null
    const text = this.#text
    let at = this.at
    let code = text[at++]
    let count = 0
    // White space is looked for only where no other character is: a body has thousands of them, and seldom white space.
    for (;;) {
      if (count === LIMITS.features) return null
      while (code <= SPACE && isSpace(code)) code = text[at++]
      if (!isDigit(code)) return null
      let value = code - ZERO
      code = text[at++]
      // JSON has no number that begins with 0 and goes on. A fourth digit is no comma.
      if (value > 0 && isDigit(code)) {
        value = 10 * value + code - ZERO
        code = text[at++]
        if (isDigit(code)) {
          value = 10 * value + code - ZERO
          code = text[at++]
        }
        if (value > BRIGHTEST) return null
      }
      scratch[count++] = value
      if (code !== COMMA) {
        while (code <= SPACE && isSpace(code)) code = text[at++]
        if (code === CLOSE_LIST) break
        if (code !== COMMA) return null
      }
      code = text[at++]
    }
    this.at = at
    this.#skipSpace()
    const pixels = Buffer.allocUnsafe(count)
    scratch.copy(pixels, 0, 0, count)
    return pixels
  }
}
