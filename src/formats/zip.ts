/**
 * Zip archives, as NumPy writes its .npz: entries by name, stored or deflated, each checked by its CRC-32. Pure; any
 * thread. Trusts nothing that an archive says of its sizes.
 * https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */
import { crc32, inflateRawSync } from 'node:zlib'
import { DataError } from '../errors.js'

export interface ZipEntry {
  readonly name: string
  /** Bytes in the archive, and after inflation. */
  readonly size: number
  readonly originalSize: number
  /** The content. Throws DataError where it is damaged. */
  read(): Uint8Array
}

const END = { signature: 0x06054b50, bytes: 22, commentBytes: 0xffff }
const END_64 = { signature: 0x06064b50, locator: 0x07064b50, locatorBytes: 20, bytes: 56 }
const CENTRAL = { signature: 0x02014b50, bytes: 46 }
const LOCAL = { signature: 0x04034b50, bytes: 30 }
/** A field that has its value in the extra field of zip64. */
const IN_EXTRA = 0xffffffff
const EXTRA_64 = 0x0001
const ENCRYPTED = 1
const STORED = 0
const DEFLATED = 8

/** Entries of the archive, in its order. `where` begins messages. Throws DataError for an archive that is not whole. */
export function zipEntries(where: string, archive: Uint8Array): ZipEntry[] {
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.length)
  try {
    const { count, at } = directoryOf(bytes)
    const entries: ZipEntry[] = []
    for (let i = 0, next = at; i < count; i++) {
      expectSignature(bytes, next, CENTRAL.signature, 'entry of the directory')
      const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map(field => bytes.readUInt16LE(next + field))
      entries.push(entryAt(where, bytes, next, nameBytes, extraBytes))
      next += CENTRAL.bytes + nameBytes + extraBytes + commentBytes
    }
    return entries
  } catch (cause) {
    throw damaged(where, cause)
  }
}

/** Place of the central directory, and how many entries it has. */
function directoryOf(bytes: Buffer): { count: number; at: number } {
  const first = Math.max(0, bytes.length - END.bytes - END.commentBytes)
  for (let end = bytes.length - END.bytes; end >= first; end--) {
    if (bytes.readUInt32LE(end) !== END.signature) continue
    const locator = end - END_64.locatorBytes
    if (locator >= 0 && bytes.readUInt32LE(locator) === END_64.locator) {
      const end64 = Number(bytes.readBigUInt64LE(locator + 8))
      expectSignature(bytes, end64, END_64.signature, 'end of a zip64 archive')
      return { count: Number(bytes.readBigUInt64LE(end64 + 32)), at: Number(bytes.readBigUInt64LE(end64 + 48)) }
    }
    return { count: bytes.readUInt16LE(end + 10), at: bytes.readUInt32LE(end + 16) }
  }
  throw new Error('it has no directory at its end')
}

function entryAt(where: string, bytes: Buffer, at: number, nameBytes: number, extraBytes: number): ZipEntry {
  const [flags, method] = [8, 10].map(field => bytes.readUInt16LE(at + field))
  const checksum = bytes.readUInt32LE(at + 16)
  const nameAt = at + CENTRAL.bytes
  const name = bytes.toString('utf8', nameAt, nameAt + nameBytes)
  const extra = bytes.subarray(nameAt + nameBytes, nameAt + nameBytes + extraBytes)
  const short = {
    originalSize: bytes.readUInt32LE(at + 24),
    size: bytes.readUInt32LE(at + 20),
    local: bytes.readUInt32LE(at + 42),
  }
  const { originalSize, size, local } = wideFields(short, extra)
  const read = (): Uint8Array => {
    try {
      if ((flags & ENCRYPTED) !== 0) throw new Error(`${name} is encrypted`)
      expectSignature(bytes, local, LOCAL.signature, `head of ${name}`)
      const begin = local + LOCAL.bytes + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28)
      if (begin + size > bytes.length) throw new Error(`${name} ends behind the end of the file`)
      const content = contentOf(name, method, bytes.subarray(begin, begin + size), originalSize)
      if (content.length !== originalSize) {
        throw new Error(`${name} has ${content.length} bytes, expected ${originalSize}`)
      }
      const found = crc32(content)
      if (found !== checksum) throw new Error(`CRC-32 of ${name} is ${hex(found)}, expected ${hex(checksum)}`)
      return content
    } catch (cause) {
      throw damaged(where, cause)
    }
  }
  return { name, size, originalSize, read }
}

/** Sizes and place of an entry; those too large for 32 bits are in the extra field, in this order. */
function wideFields<Fields extends Record<string, number>>(fields: Fields, extra: Buffer): Fields {
  let block = 0
  while (block + 4 <= extra.length && extra.readUInt16LE(block) !== EXTRA_64) block += 4 + extra.readUInt16LE(block + 2)
  let at = block + 4
  const wide = Object.entries(fields).map(([name, value]) => {
    if (value !== IN_EXTRA) return [name, value] as const
    at += 8
    return [name, Number(extra.readBigUInt64LE(at - 8))] as const
  })
  return Object.fromEntries(wide) as Fields
}

/** Bytes of an array of its own, so that views of any element size can begin at its start. */
function contentOf(name: string, method: number, stored: Buffer, originalSize: number): Uint8Array {
  if (method === STORED) return Uint8Array.from(stored)
  if (method !== DEFLATED) throw new Error(`${name} is compressed by method ${method}, expected 8 (deflate)`)
  const inflated = inflateRawSync(stored, { maxOutputLength: Math.max(1, originalSize) })
  return new Uint8Array(inflated.buffer, inflated.byteOffset, inflated.length)
}

function expectSignature(bytes: Buffer, at: number, signature: number, what: string): void {
  if (bytes.readUInt32LE(at) !== signature) throw new Error(`at ${at} is no ${what}`)
}

const hex = (value: number): string => value.toString(16).padStart(8, '0')

function damaged(where: string, cause: unknown): DataError {
  const because = cause instanceof RangeError ? 'its directory leads beyond the file' : (cause as Error).message
  return new DataError(`${where}: is not a whole .npz archive: ${because}`, { cause })
}
