/**
 * File formats of pictures, detected by their first bytes and never by their names. A table; any thread. Formats that are not read are in
 * it so that messages can name them. libvips would read some more, such as SVG, which is a program rather than pixels: nothing reaches it
 * that is not in this table.
 */

export interface PictureKind {
  readonly name: string
  readonly isRead: boolean
}

interface Signature extends PictureKind {
  readonly offset: number
  /** Latin-1. */
  readonly bytes: string
}

const signature = (name: string, isRead: boolean, offset: number, bytes: string): Signature => ({
  ...{ name, isRead, offset, bytes },
})

const SIGNATURES: readonly Signature[] = [
  signature('PNG', true, 0, '\x89PNG'),
  signature('JPEG', true, 0, '\xff\xd8'),
  signature('GIF', true, 0, 'GIF8'),
  signature('WebP', true, 8, 'WEBPVP8'),
  signature('AVIF', true, 4, 'ftypavif'),
  signature('AVIF', true, 4, 'ftypavis'),
  signature('TIFF', true, 0, 'II*\0'),
  signature('TIFF', true, 0, 'MM\0*'),
  signature('HEIC', false, 4, 'ftyp'),
  signature('BMP', false, 0, 'BM'),
  signature('JPEG 2000', false, 4, 'jP  '),
  signature('JPEG XL', false, 0, '\xff\x0a'),
  signature('JPEG XL', false, 4, 'JXL '),
  signature('PDF', false, 0, '%PDF'),
  signature('SVG', false, 0, '<svg'),
  signature('Photoshop', false, 0, '8BPS'),
  signature('Windows icon', false, 0, '\0\0\x01\0'),
]

/** Bytes of a file that tell its kind. */
export const SIGNATURE_BYTES = 16

/** Names of the formats that are read, as messages list them. */
export const READ_FORMATS = [...new Set(SIGNATURES.filter(({ isRead }) => isRead).map(({ name }) => name))].join(', ')

/** Kind of picture by its first bytes; null if it is unknown. */
export function kindOf(start: Uint8Array): PictureKind | null {
  const text = Buffer.from(start.subarray(0, SIGNATURE_BYTES)).toString('latin1')
  return SIGNATURES.find(({ offset, bytes }) => text.startsWith(bytes, offset)) ?? null
}
