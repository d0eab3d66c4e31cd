/**
 * PNG to RGBA and back, with fast-png. Main thread.
 *
 * The chunks are checked before fast-png sees them: digests, the size in the header, and that the image data inflate to
 * just the bytes that this size needs. fast-png inflates whatever it is given, profiles and texts too; so it is handed
 * a file with nothing but the chunks that make the image. https://www.w3.org/TR/png-3/
 */
import { crc32, inflateSync } from 'node:zlib'
import { type DecodedPng, decode, encode } from 'fast-png'
import { checkSize, MAX_PIXELS, type Picture, PictureError, reasonOf } from './picture.js'

interface Header {
  readonly width: number
  readonly height: number
  readonly depth: number
  readonly colourType: number
  readonly interlaced: boolean
}

interface Chunk {
  readonly type: string
  readonly data: Uint8Array
  /** Length, type, data, digest. */
  readonly whole: Uint8Array
}

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)
const FRAME_BYTES = 12
const KEPT = new Set(['IHDR', 'PLTE', 'tRNS', 'IDAT', 'IEND'])
/** By colour type: samples of a pixel, and the bits that one may have. */
const COLOURS: Readonly<Record<number, { readonly channels: number; readonly depths: readonly number[] }>> = {
  0: { channels: 1, depths: [1, 2, 4, 8, 16] },
  2: { channels: 3, depths: [8, 16] },
  3: { channels: 1, depths: [1, 2, 4, 8] },
  4: { channels: 2, depths: [8, 16] },
  6: { channels: 4, depths: [8, 16] },
}
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

export function decodePng(where: string, bytes: Uint8Array, mostPixels = MAX_PIXELS): Picture {
  const chunks = chunksOf(where, bytes)
  const header = headerOf(where, chunks[0])
  const { width, height, colourType } = header
  checkSize(where, width, height, mostPixels)
  checkData(where, header, chunks)
  const kept = chunks.filter(({ type }) => KEPT.has(type) && !(type === 'tRNS' && colourType > 3))
  let decoded: DecodedPng
  try {
    decoded = decode(Buffer.concat([SIGNATURE, ...kept.map(({ whole }) => whole)]))
  } catch (cause) {
    throw new PictureError(`${where}: the PNG cannot be decoded: ${reasonOf(cause)}`, { cause })
  }
  return { format: 'PNG', width, height, rgba: toRgba(where, header, decoded) }
}

/** `rgb` (height, width, 3). */
export function encodePng(width: number, height: number, rgb: Uint8Array): Uint8Array {
  return encode({ width, height, data: rgb, channels: 3, depth: 8 })
}

function chunksOf(where: string, bytes: Uint8Array): Chunk[] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (!SIGNATURE.every((byte, i) => bytes[i] === byte)) {
    throw new PictureError(`${where}: begins with ${view.subarray(0, 8).toString('hex')}, expected a PNG signature`)
  }
  const chunks: Chunk[] = []
  for (let at: number = SIGNATURE.length; ; ) {
    const left = bytes.length - at
    const length = left >= FRAME_BYTES ? view.readUInt32BE(at) : 0
    if (left < FRAME_BYTES + length) {
      throw new PictureError(`${where}: ends at byte ${bytes.length}, expected a whole PNG; it is truncated`)
    }
    const end = at + FRAME_BYTES + length
    const type = view.toString('latin1', at + 4, at + 8)
    const [got, want] = [crc32(view.subarray(at + 4, end - 4)), view.readUInt32BE(end - 4)]
    if (got !== want) {
      throw new PictureError(
        `${where}: CRC of chunk ${JSON.stringify(type)} at byte ${at} is ${hex(got)}, expected ${hex(want)}; the file is damaged`,
      )
    }
    chunks.push({ type, data: bytes.subarray(at + 8, end - 4), whole: bytes.subarray(at, end) })
    at = end
    if (type === 'IEND') return chunks
  }
}

const hex = (word: number): string => `0x${word.toString(16).padStart(8, '0')}`

function headerOf(where: string, { type, data }: Chunk): Header {
  if (type !== 'IHDR' || data.length !== 13) {
    throw new PictureError(`${where}: first chunk is ${type} of ${data.length} bytes, expected IHDR of 13`)
  }
  const view = Buffer.from(data.buffer, data.byteOffset, data.length)
  const [depth, colourType, compression, filter, interlace] = data.subarray(8)
  if (!COLOURS[colourType]?.depths.includes(depth) || compression !== 0 || filter !== 0 || interlace > 1) {
    throw new PictureError(
      `${where}: bit depth, colour type, compression, filter, interlace are ${data.subarray(8).join(', ')}, expected ` +
        'a combination that PNG knows',
    )
  }
  if (interlace === 1 && depth < 8) {
    throw new PictureError(`${where}: is interlaced with ${depth} bits a sample, expected 8 or 16 where interlaced`, {
      hint: 'save it without interlacing',
    })
  }
  const [width, height] = [view.readUInt32BE(0), view.readUInt32BE(4)]
  return { width, height, depth, colourType, interlaced: interlace === 1 }
}

/** The image data must inflate to what the size needs, no more and no less. Inflated twice, here and by fast-png. */
function checkData(where: string, header: Header, chunks: readonly Chunk[]): void {
  const want = dataBytes(header)
  const compressed = Buffer.concat(chunks.filter(({ type }) => type === 'IDAT').map(({ data }) => data))
  let got: number
  try {
    got = inflateSync(compressed, { maxOutputLength: want + 1 }).length
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') {
      throw new PictureError(`${where}: the image data are damaged: ${reasonOf(cause)}`, { cause })
    }
    got = want + 1
  }
  if (got === want) return
  const amount = got > want ? `more than ${want}` : String(got)
  throw new PictureError(
    `${where}: image data are ${amount} bytes, expected ${want} for ${header.width} x ${header.height} pixels`,
  )
}

/** Uncompressed, with the filter byte of each row. */
function dataBytes({ width, height, depth, colourType, interlaced }: Header): number {
  const bits = depth * COLOURS[colourType].channels
  const passes = interlaced ? PASSES : ([[0, 0, 1, 1]] as const)
  return passes.reduce((bytes, [x, y, stepX, stepY]) => {
    const columns = Math.max(0, Math.ceil((width - x) / stepX))
    const rows = Math.max(0, Math.ceil((height - y) / stepY))
    return bytes + (columns === 0 ? 0 : rows * (1 + Math.ceil((columns * bits) / 8)))
  }, 0)
}

function toRgba(where: string, { width, height, depth, colourType }: Header, decoded: DecodedPng): Uint8Array {
  const { channels, palette, transparency } = decoded
  const rgba = new Uint8Array(width * height * 4)
  const sample = sampler(decoded, width * channels)
  const scale = 255 / (2 ** depth - 1)
  const at = new Uint16Array(4)
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 4) {
      for (let c = 0; c < channels; c++) at[c] = sample(y, x * channels + c)
      if (colourType === 3) {
        const colour = palette?.[at[0]]
        if (!colour) {
          throw new PictureError(
            `${where}: pixel (${x}, ${y}) has colour ${at[0]}, expected one of ${palette?.length ?? 0} in the palette`,
          )
        }
        for (let c = 0; c < 4; c++) rgba[to + c] = colour[c] ?? 255
        continue
      }
      const coloured = colourType === 2 || colourType === 6
      for (let c = 0; c < 3; c++) rgba[to + c] = Math.round(at[coloured ? c : 0] * scale)
      const hasAlpha = colourType === 4 || colourType === 6
      // One colour that is transparent, in pictures without an alpha channel.
      const keyed = !hasAlpha && transparency?.every((value, c) => value === at[c])
      rgba[to + 3] = hasAlpha ? Math.round(at[channels - 1] * scale) : keyed ? 0 : 255
    }
  }
  return rgba
}

/** Sample `i` of row `y`: fast-png leaves samples of fewer than 8 bits packed. */
function sampler({ data, depth }: DecodedPng, samplesOfRow: number): (y: number, i: number) => number {
  if (depth >= 8) return (y, i) => data[y * samplesOfRow + i]
  const rowBytes = Math.ceil((samplesOfRow * depth) / 8)
  const perByte = 8 / depth
  const mask = 2 ** depth - 1
  return (y, i) => (data[y * rowBytes + Math.floor(i / perByte)] >> (8 - depth * ((i % perByte) + 1))) & mask
}
