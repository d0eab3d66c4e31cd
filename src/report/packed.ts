/** Typed arrays as text: little-endian, in base64. Pure; any thread. */
import * as z from 'zod'

export const packed = z.base64()

export function packedOf({ buffer, byteOffset, byteLength }: Uint8Array | Int32Array | Float32Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64')
}

/** Decodes base64 into a buffer of its own, so that elements are aligned. Throws where the length is no multiple of the element size. */
export function unpacked(text: string, elementBytes: number): ArrayBuffer {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'))
  if (bytes.length % elementBytes !== 0)
    throw new Error(`${bytes.length} bytes, expected a multiple of ${elementBytes}`)
  return bytes.buffer
}
