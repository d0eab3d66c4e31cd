/** PNG files of what gradloom draws, written by fast-png: the same pixels are the same bytes everywhere. Any thread. */
import { encode } from 'fast-png'

/** `rgb` (height, width, 3). */
export function encodePng(width: number, height: number, rgb: Uint8Array): Uint8Array {
  return encode({ width, height, data: rgb, channels: 3, depth: 8 })
}
