/**
 * Safetensors files, written and read piece by piece, so that memory does not grow with the file. Main thread.
 * The format itself is in safetensors.ts.
 */
import { type FileHandle, open, stat } from 'node:fs/promises'
import { inspect } from 'node:util'
import { writeAtomically } from '../files/atomic.js'
import { DIRECT_BYTES, DIRECT_FROM_BYTES, FileStream } from '../files/stream.js'
import {
  CheckpointError,
  encodeHeader,
  LENGTH_BYTES,
  parseHeader,
  parseHeaderLength,
  type SafetensorsHeader,
  type TensorInfo,
  tensorBytes,
} from './safetensors.js'

/**
 * A tensor to write. `data` gives its bytes, little-endian and row-major, in pieces of any size. A piece may be overwritten when
 * the next is asked for, but not one of shared memory, which must stay as it is until the file is whole.
 */
export interface TensorSource extends TensorInfo {
  data(): Iterable<Uint8Array>
}

/** Reads and writes of this many bytes at most: large enough to be fast, small enough to share the disk. */
export const PIECE_BYTES = 4 * 2 ** 20

/** Writes `file` whole or not at all; a file of that name stays as it is until the new one is complete. */
export async function writeTensorFile(
  file: string,
  tensors: readonly TensorSource[],
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const size = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
  // The tensors of a large file begin at a place where they can be written past the page cache.
  const header = encodeHeader(tensors, metadata, size >= DIRECT_FROM_BYTES ? DIRECT_BYTES : undefined)
  await writeAtomically(file, async handle => {
    const stream = await FileStream.on(handle, size)
    try {
      await stream.append(header)
      for (const tensor of tensors) {
        let given = 0
        for (const bytes of tensor.data()) {
          await stream.append(bytes)
          given += bytes.byteLength
        }
        const want = tensorBytes(tensor)
        if (given !== want)
          throw new Error(`${file}: tensor ${inspect(tensor.name)} gave ${given} bytes, expected ${want}`)
      }
      await stream.end()
    } catch (error) {
      await stream.abandon()
      throw error
    }
  })
}

/** An open file whose header has been checked. Close it. */
export class TensorFile {
  private constructor(
    readonly file: string,
    readonly header: SafetensorsHeader,
    private readonly handle: FileHandle,
    private readonly dataStart: number,
  ) {}

  static async open(file: string): Promise<TensorFile> {
    // Asked first: opening a pipe would wait for its writer.
    const { size } = await stat(file).then(found => {
      if (!found.isFile()) throw new CheckpointError(`${file}: is no regular file, expected a safetensors file`)
      return found
    }, cannotRead(file))
    const handle = await open(file, 'r').catch(cannotRead(file))
    try {
      const prefix = new Uint8Array(Math.min(LENGTH_BYTES, size))
      await readFully(file, handle, prefix, 0)
      const headerBytes = new Uint8Array(parseHeaderLength(file, prefix, size))
      await readFully(file, handle, headerBytes, LENGTH_BYTES)
      const dataStart = LENGTH_BYTES + headerBytes.length
      return new TensorFile(file, parseHeader(file, headerBytes, size - dataStart), handle, dataStart)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** Overwrites `out`, whose length must be the tensor's, with the bytes of a tensor of this file. */
  async read(name: string, out: Uint8Array): Promise<void> {
    const entry = this.header.tensors.get(name)
    if (!entry) throw new CheckpointError(`${this.file}: tensor ${inspect(name)} is missing`)
    const bytes = entry.end - entry.begin
    if (out.byteLength !== bytes) {
      throw new CheckpointError(`${this.file}: tensor ${inspect(name)} is ${bytes} bytes, expected ${out.byteLength}`)
    }
    await readFully(this.file, this.handle, out, this.dataStart + entry.begin)
  }

  /** The bytes of a tensor, a piece at a time; each is overwritten by the next. Pieces hold whole elements. */
  async *pieces(name: string): AsyncGenerator<Uint8Array> {
    const entry = this.header.tensors.get(name)
    if (!entry) throw new CheckpointError(`${this.file}: tensor ${inspect(name)} is missing`)
    const piece = new Uint8Array(Math.min(PIECE_BYTES, entry.end - entry.begin))
    for (let at = entry.begin; at < entry.end; at += piece.byteLength) {
      const bytes = piece.subarray(0, Math.min(piece.byteLength, entry.end - at))
      await readFully(this.file, this.handle, bytes, this.dataStart + at)
      yield bytes
    }
  }

  async close(): Promise<void> {
    await this.handle.close()
  }
}

function cannotRead(file: string): (cause: unknown) => never {
  return cause => {
    throw new CheckpointError(`${file}: cannot be read: ${(cause as Error).message}`, { cause })
  }
}

async function readFully(file: string, handle: FileHandle, out: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < out.byteLength; ) {
    const length = Math.min(PIECE_BYTES, out.byteLength - at)
    const { bytesRead } = await handle.read(out, at, length, position + at).catch(cannotRead(file))
    if (bytesRead === 0) {
      throw new CheckpointError(
        `${file}: ends at byte ${position + at}, expected ${length} more; it shrank while it was read`,
      )
    }
    at += bytesRead
  }
}
