/**
 * Content of a data file, gzipped or not, as a stream of chunks: no file is ever held whole. Main thread; reads
 * only the file it is given. zlib inflates on Node's thread pool.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream'
import { inspect } from 'node:util'
import { createGunzip } from 'node:zlib'
import { DataError } from '../errors.js'

const CHUNK_BYTES = 128 * 1024
/** Chunk size for files that are only read through: few calls, and the chunk is still in the cache when it is used. */
const RAW_CHUNK_BYTES = 512 * 1024
/** Largest compression ratio of Deflate is 1032; the rest is room for its smallest blocks. */
const MAX_RATIO = 1040

export interface ContentInfo {
  readonly fileBytes: number
  readonly gzipped: boolean
  /** Upper bound of the uncompressed length, from the size of the file alone. */
  readonly maxBytes: number
}

export interface ContentDigest {
  readonly bytes: number
  readonly md5: string
}

/** Error `file: what`, with the system's reason. */
export function fileError(file: string, what: string, cause: unknown): DataError {
  const reason = cause instanceof Error ? cause.message : inspect(cause)
  return new DataError(`${file}: ${what}; ${reason}`, { cause })
}

async function openFile(file: string): Promise<{ handle: FileHandle; info: ContentInfo }> {
  let handle: FileHandle | undefined
  try {
    // Asked first: opening a pipe would wait for its writer.
    const status = await stat(file)
    if (!status.isFile()) throw new DataError(`${file}: is not a regular file, expected an IDX file, gzipped or not`)
    handle = await open(file, 'r')
    // Detect gzip by content, not by name: browsers and servers unpack files and keep the name. IDX begins with 0 0.
    const start = Buffer.alloc(2)
    const { bytesRead } = await handle.read(start, 0, 2, 0)
    const gzipped = bytesRead === 2 && start[0] === 0x1f && start[1] === 0x8b
    const maxBytes = gzipped ? status.size * MAX_RATIO : status.size
    return { handle, info: { fileBytes: status.size, gzipped, maxBytes } }
  } catch (error) {
    await handle?.close()
    throw error instanceof DataError ? error : fileError(file, 'cannot be read', error)
  }
}

/**
 * The uncompressed content, chunk by chunk. A chunk is only valid until the next one is asked for. Leaving the loop
 * early closes the file: the rest is neither read nor inflated.
 */
export async function* contentOf(file: string): AsyncGenerator<Buffer, void, undefined> {
  const { handle, info } = await openFile(file)
  if (!info.gzipped) {
    try {
      yield* plainChunks(handle)
    } catch (error) {
      throw fileError(file, 'cannot be read', error)
    } finally {
      await handle.close()
    }
    return
  }
  const compressed = handle.createReadStream({ start: 0, highWaterMark: CHUNK_BYTES }) // closes the handle
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES })
  // The loop below throws any error of the pipeline: pipeline passes it on by destroying `gunzip` with it.
  pipeline(compressed, gunzip, () => undefined)
  let got = 0
  try {
    for await (const chunk of gunzip) {
      got += chunk.length
      yield chunk
    }
  } catch (error) {
    // zlib reports the end of the last good chunk, not the damaged byte.
    const where = `after offset ${gunzip.bytesWritten} of ${info.fileBytes} (${got} uncompressed bytes)`
    throw fileError(file, `the gzip data is damaged somewhere ${where}, expected a whole gzip file`, error)
  }
  // Node ignores zeros after the last member, and what follows them.
  if (gunzip.bytesWritten !== info.fileBytes) {
    const extra = info.fileBytes - gunzip.bytesWritten
    throw new DataError(
      `${file}: the gzip data ends at offset ${gunzip.bytesWritten}, expected the file to end there; ${extra} more bytes follow`,
    )
  }
}

/** Bytes of a file as they are, compressed or not. A chunk is only valid until the next one is asked for. */
export async function* rawContentOf(file: string): AsyncGenerator<Buffer, void, undefined> {
  const { handle } = await openFile(file)
  try {
    yield* plainChunks(handle, RAW_CHUNK_BYTES)
  } catch (error) {
    throw fileError(file, 'cannot be read', error)
  } finally {
    await handle.close()
  }
}

async function* plainChunks(handle: FileHandle, bytes = CHUNK_BYTES): AsyncGenerator<Buffer, void, undefined> {
  const buffer = Buffer.alloc(bytes)
  for (let at = 0; ; ) {
    const { bytesRead } = await handle.read(buffer, 0, bytes, at)
    if (bytesRead === 0) return
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

export async function contentInfo(file: string): Promise<ContentInfo> {
  const { handle, info } = await openFile(file)
  await handle.close()
  return info
}

/** Reads all of a file, but never more than `maxBytes` and a chunk of content. */
export async function digestContent(file: string, maxBytes: number): Promise<ContentDigest> {
  const md5 = createHash('md5')
  let bytes = 0
  for await (const chunk of contentOf(file)) {
    bytes += chunk.length
    if (bytes > maxBytes)
      throw new DataError(`${file}: content continues after offset ${maxBytes}, expected its end there`)
    md5.update(chunk)
  }
  return { bytes, md5: md5.digest('hex') }
}
