/** PNG files made chunk by chunk, as right or wrong as a test wants them. */
import { crc32, deflateSync } from 'node:zlib'

export type Chunk = readonly [type: string, data: Uint8Array]

export function pngOf(chunks: readonly Chunk[]): Buffer {
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    ...chunks.map(([type, data]) => {
      const chunk = Buffer.alloc(12 + data.length)
      chunk.writeUInt32BE(data.length)
      chunk.write(type, 4, 'latin1')
      chunk.set(data, 8)
      chunk.writeUInt32BE(crc32(chunk.subarray(4, -4)), chunk.length - 4)
      return chunk
    }),
  ])
}

export function header(width: number, height: number, depth: number, colourType: number, interlace = 0): Chunk {
  const data = Buffer.alloc(13)
  data.writeUInt32BE(width)
  data.writeUInt32BE(height, 4)
  data.set([depth, colourType, 0, 0, interlace], 8)
  return ['IHDR', data]
}

/** Rows of bytes, each behind a filter byte of 0. */
export const idat = (rows: readonly (readonly number[])[]): Chunk => [
  'IDAT',
  deflateSync(Uint8Array.from(rows.flatMap(row => [0, ...row]))),
]

export const END: Chunk = ['IEND', new Uint8Array(0)]
