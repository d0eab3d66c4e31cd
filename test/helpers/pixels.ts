/** Pixels of the PNG files that gradloom draws (RGB, 8 bits), read apart from the reader of pictures. */
import { decode } from 'fast-png'

export function decodePng(name: string, bytes: Uint8Array): { width: number; height: number; rgba: Uint8Array } {
  const { width, height, data, channels, depth } = decode(bytes)
  if (channels !== 3 || depth !== 8) throw new Error(`${name}: ${channels} channels of ${depth} bits, expected 3 of 8`)
  const rgba = Uint8Array.from({ length: width * height * 4 }, (_, i) =>
    i % 4 === 3 ? 255 : data[Math.floor(i / 4) * 3 + (i % 4)],
  )
  return { width, height, rgba }
}
