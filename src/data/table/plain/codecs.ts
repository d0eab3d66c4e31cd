/**
 * Decompression of the pages of Parquet files, of those codecs that this Node.js has: zstd from 22.15 on. LZ4's old form, and others,
 * are left to DuckDB. Any thread.
 */
import * as zlib from 'node:zlib'
import { NotPlain } from './not-plain.js'
import { Snappy } from './snappy.js'

export type Codec = 'UNCOMPRESSED' | 'SNAPPY' | 'GZIP' | 'BROTLI' | 'ZSTD' | 'LZ4_RAW'

type Unpack = (packed: Uint8Array, options: { readonly maxOutputLength: number }) => Uint8Array

/** Absent from Node.js before 22.15. */
const { zstdDecompressSync } = zlib as { zstdDecompressSync?: Unpack }

const BY_ZLIB: Partial<Record<Codec, Unpack | undefined>> = {
  ...{ GZIP: zlib.gunzipSync, BROTLI: zlib.brotliDecompressSync, ZSTD: zstdDecompressSync },
}

/** Null for a codec that is not read here. */
export function codecOf(name: string): Codec | null {
  const isKnown = ['UNCOMPRESSED', 'SNAPPY', 'LZ4_RAW'].includes(name) || BY_ZLIB[name as Codec] !== undefined
  return isKnown ? (name as Codec) : null
}

export class Unpacker {
  readonly #snappy = new Snappy()
  #bytes = new Uint8Array(0)

  /** Content of a page of `size` bytes, valid until the next call. Throws NotPlain for damaged data, and for another size. */
  unpack(packed: Uint8Array, size: number, codec: Codec): Uint8Array {
    if (codec === 'UNCOMPRESSED') {
      if (packed.length !== size) throw new NotPlain()
      return packed
    }
    if (codec === 'SNAPPY') return this.#unsnap(packed, size)
    if (codec === 'LZ4_RAW') {
      if (this.#bytes.length < size) this.#bytes = new Uint8Array(size)
      const bytes = this.#bytes.subarray(0, size)
      unpackLz4(packed, bytes)
      return bytes
    }
    try {
      const bytes = BY_ZLIB[codec]!(packed, { maxOutputLength: Math.max(size, 1) })
      if (bytes.length === size) return bytes
    } catch {
      // damaged, or longer than stated
    }
    throw new NotPlain()
  }

  #unsnap(packed: Uint8Array, size: number): Uint8Array {
    let [length, at, shift] = [0, 0, 0]
    for (; at < packed.length && shift < 32; shift += 7) {
      length += (packed[at] & 0x7f) * 2 ** shift
      if (packed[at++] < 0x80) break
    }
    if (length !== size) throw new NotPlain()
    return this.#snappy.unpack(packed.subarray(at), size)
  }
}

/** Shortest copy of LZ4. */
const LEAST_COPY = 4
/** Bytes below which a loop copies them faster than a call. */
const FEW = 64

/** Length in a token that is continued in the bytes after it. */
const MOST_IN_TOKEN = 15

/** Sum of the bytes that continue a length, from `at` on: all that are 255, and the one after them. Throws NotPlain at the end of the block. */
function restOfLength(packed: Uint8Array, at: number): number {
  let rest = 0
  let byte = 255
  while (byte === 255) {
    if (at >= packed.length) throw new NotPlain()
    byte = packed[at++]
    rest += byte
  }
  return rest
}

/** Number of bytes that continue a length by `rest`. */
const bytesOfRest = (rest: number): number => Math.floor(rest / 255) + 1

/**
 * Decompresses a block of LZ4: a token has the lengths of literals and of a copy, which more bytes follow for 15 or more.
 * https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md. Overwrites `to`, which it fills. Throws NotPlain for damaged data.
 */
function unpackLz4(packed: Uint8Array, to: Uint8Array): void {
  const { length } = packed
  const size = to.length
  let at = 0
  let end = 0
  while (at < length) {
    const token = packed[at++]
    let literals = token >> 4
    if (literals === MOST_IN_TOKEN) {
      const more = restOfLength(packed, at)
      literals += more
      at += bytesOfRest(more)
    }
    if (literals > length - at || literals > size - end) throw new NotPlain()
    if (literals < FEW) for (let i = 0; i < literals; i++) to[end + i] = packed[at + i]
    else to.set(packed.subarray(at, at + literals), end)
    at += literals
    end += literals
    if (at === length) break // the last sequence has no copy
    if (at + 2 > length) throw new NotPlain()
    const distance = packed[at] | (packed[at + 1] << 8)
    at += 2
    let copied = token & 15
    if (copied === MOST_IN_TOKEN) {
      const more = restOfLength(packed, at)
      copied += more
      at += bytesOfRest(more)
    }
    copied += LEAST_COPY
    if (distance === 0 || distance > end || copied > size - end) throw new NotPlain()
    // A copy may overlap what it writes.
    if (copied >= FEW && distance >= copied) to.copyWithin(end, end - distance, end - distance + copied)
    else for (let i = end; i < end + copied; i++) to[i] = to[i - distance]
    end += copied
  }
  if (end !== size) throw new NotPlain()
}
