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

/** Samples of a pixel, by colour type. */
const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }
/** Adam7: first column and row, and the steps between them, of each pass. */
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const

export interface PngKind {
  readonly width: number
  readonly height: number
  readonly depth: number
  readonly colourType: number
  readonly interlaced: boolean
}

/** Image data of any kind, interlaced or not: `sample(x, y, c)` is a whole number of `depth` bits. */
export function idatOf(kind: PngKind, sample: (x: number, y: number, c: number) => number): Chunk {
  const { width, height, depth, colourType, interlaced } = kind
  const channels = CHANNELS[colourType]
  const rows: number[][] = []
  for (const [left, top, stepX, stepY] of interlaced ? PASSES : ([[0, 0, 1, 1]] as const)) {
    for (let y = top; y < height && left < width; y += stepY) {
      let bits = ''
      for (let x = left; x < width; x += stepX) {
        for (let c = 0; c < channels; c++) bits += sample(x, y, c).toString(2).padStart(depth, '0')
      }
      const bytes = bits.padEnd(Math.ceil(bits.length / 8) * 8, '0').match(/.{8}/g) ?? []
      rows.push(bytes.map(byte => Number.parseInt(byte, 2)))
    }
  }
  return idat(rows)
}
