/**
 * JPEG to RGBA, with jpeg-js, baseline and progressive, turned upright as cameras note it. Main thread.
 *
 * The frame's size, and the number of scans, which each cost a pass over all blocks, are checked before decoding.
 */
import jpeg from 'jpeg-js'
import { checkSize, MAX_JPEG_PIXELS, type Picture, PictureError, reasonOf } from './picture.js'

/** Of the decoder, by its own count. */
const MAX_MEMORY_MB = 1024
/** Progressive files have about 10. */
const MAX_SCANS = 64

interface Frame {
  readonly width: number
  readonly height: number
  /** 1 to 8, as in EXIF; 1 is upright. */
  readonly orientation: number
}

export function decodeJpeg(where: string, bytes: Uint8Array, mostPixels = MAX_JPEG_PIXELS): Picture {
  const frame = frameOf(where, bytes)
  checkSize(where, frame.width, frame.height, Math.min(mostPixels, MAX_JPEG_PIXELS))
  let decoded: { width: number; height: number; data: Uint8Array }
  try {
    decoded = jpeg.decode(bytes, {
      useTArray: true,
      formatAsRGBA: true,
      tolerantDecoding: false, // it would fill what is missing with grey
      maxResolutionInMP: MAX_JPEG_PIXELS / 1e6,
      maxMemoryUsageInMB: MAX_MEMORY_MB,
    })
  } catch (cause) {
    throw new PictureError(`${where}: the JPEG cannot be decoded: ${reasonOf(cause)}`, { cause })
  }
  return upright(decoded.width, decoded.height, decoded.data, frame.orientation)
}

/** Walks the segments up to the first scan, then counts scans up to the end of the image. */
function frameOf(where: string, bytes: Uint8Array): Frame {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const truncated = () =>
    new PictureError(`${where}: ends at byte ${bytes.length}, expected a whole JPEG; it is truncated`)
  let size: { width: number; height: number } | undefined
  let orientation = 1
  for (let at = 2; ; ) {
    while (at < bytes.length && bytes[at] === 0xff && bytes[at + 1] === 0xff) at++ // fill bytes
    if (at + 4 > bytes.length) throw truncated()
    const marker = view.readUInt16BE(at)
    const end = at + 2 + view.readUInt16BE(at + 2)
    if (marker < 0xffc0) {
      throw new PictureError(`${where}: marker at byte ${at} is 0x${marker.toString(16)}, expected one of JPEG's`)
    }
    if (end > bytes.length) throw truncated()
    const data = view.subarray(at + 4, end)
    if (isFrame(marker)) {
      if (marker > 0xffc2) {
        const what = 'baseline or progressive (0xffc0 to 0xffc2)'
        throw new PictureError(`${where}: JPEG frame is of kind 0x${marker.toString(16)}, expected ${what}`, {
          hint: 'save it as PNG',
        })
      }
      if (data.length < 6) throw truncated()
      size = { width: data.readUInt16BE(3), height: data.readUInt16BE(1) }
    }
    if (marker === 0xffe1) orientation = orientationOf(data) ?? orientation
    if (marker === 0xffda) {
      if (!size) throw new PictureError(`${where}: JPEG has a scan before its frame, expected the frame first`)
      checkScans(where, view.subarray(end), truncated)
      return { ...size, orientation }
    }
    at = end
  }
}

/** Start of frame: all of 0xffc0 to 0xffcf but tables (c4), extensions (c8) and arithmetic conditioning (cc). */
const isFrame = (marker: number): boolean =>
  marker >= 0xffc0 && marker <= 0xffcf && ![0xffc4, 0xffc8, 0xffcc].includes(marker)

function checkScans(where: string, scans: Buffer, truncated: () => PictureError): void {
  let count = 1
  for (let at = scans.indexOf(0xff); at >= 0; at = scans.indexOf(0xff, at + 1)) {
    if (scans[at + 1] === 0xd9) return
    if (scans[at + 1] === 0xda && ++count > MAX_SCANS) {
      throw new PictureError(`${where}: JPEG has more than ${MAX_SCANS} scans, expected at most that many`)
    }
  }
  throw truncated()
}

/** The orientation tag of an EXIF segment, if it has one that makes sense. */
function orientationOf(segment: Buffer): number | undefined {
  if (segment.toString('latin1', 0, 6) !== 'Exif\0\0') return undefined
  const tiff = segment.subarray(6)
  const order = tiff.toString('latin1', 0, 2)
  if (tiff.length < 8 || (order !== 'II' && order !== 'MM')) return undefined
  const read16 = (at: number) => (order === 'II' ? tiff.readUInt16LE(at) : tiff.readUInt16BE(at))
  const start = order === 'II' ? tiff.readUInt32LE(4) : tiff.readUInt32BE(4)
  if (start + 2 > tiff.length) return undefined
  for (let i = 0, at = start + 2; i < read16(start) && at + 12 <= tiff.length; i++, at += 12) {
    const value = read16(at + 8)
    if (read16(at) === 0x0112 && value >= 1 && value <= 8) return value
  }
  return undefined
}

function upright(width: number, height: number, from: Uint8Array, orientation: number): Picture {
  if (orientation === 1) return { format: 'JPEG', width, height, rgba: from }
  const turned = orientation > 4
  const [outWidth, outHeight] = turned ? [height, width] : [width, height]
  const rgba = new Uint8Array(from.length)
  for (let y = 0, to = 0; y < outHeight; y++) {
    for (let x = 0; x < outWidth; x++, to += 4) {
      // Where the pixel comes from: 2 to 4 mirror, 5 to 8 also swap rows and columns.
      const [across, down] = turned ? [y, x] : [x, y]
      const fromX = [2, 3, 7, 8].includes(orientation) ? width - 1 - across : across
      const fromY = [3, 4, 6, 7].includes(orientation) ? height - 1 - down : down
      const source = (fromY * width + fromX) * 4
      for (let c = 0; c < 4; c++) rgba[to + c] = from[source + c]
    }
  }
  return { format: 'JPEG', width: outWidth, height: outHeight, rgba }
}
