/** Small IDX files for tests. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

export const NAMES = {
  trainImages: 'train-images-idx3-ubyte',
  trainLabels: 'train-labels-idx1-ubyte',
  testImages: 't10k-images-idx3-ubyte',
  testLabels: 't10k-labels-idx1-ubyte',
} as const

export function header(magic: number, ...dims: number[]): Buffer {
  const bytes = Buffer.alloc(4 + 4 * dims.length)
  bytes.writeUInt32BE(magic, 0)
  dims.forEach((dim, i) => {
    bytes.writeUInt32BE(dim, 4 + 4 * i)
  })
  return bytes
}

export function imagesFile(
  rows: number,
  height: number,
  width: number,
  pixel = (i: number) => (i * 7 + 3) % 256,
): Buffer {
  const pixels = Uint8Array.from({ length: rows * height * width }, (_, i) => pixel(i))
  return Buffer.concat([header(0x0803, rows, height, width), pixels])
}

export function labelsFile(labels: readonly number[]): Buffer {
  return Buffer.concat([header(0x0801, labels.length), Uint8Array.from(labels)])
}

export type FourFiles = Readonly<Record<keyof typeof NAMES, Buffer>>

/** 6 + 3 images of 4 x 5, labels 0 to 2. */
export function smallSet(): FourFiles {
  return {
    trainImages: imagesFile(6, 4, 5),
    trainLabels: labelsFile([0, 1, 2, 2, 1, 0]),
    testImages: imagesFile(3, 4, 5, i => 255 - (i % 256)),
    testLabels: labelsFile([2, 0, 1]),
  }
}

/** Writes the files under their usual names and answers with the folder. */
export function writeSet(dir: string, files: Partial<FourFiles>, gzip = false): string {
  mkdirSync(dir, { recursive: true })
  for (const [role, content] of Object.entries(files) as [keyof typeof NAMES, Buffer][]) {
    writeFileSync(join(dir, gzip ? `${NAMES[role]}.gz` : NAMES[role]), gzip ? gzipSync(content) : content)
  }
  return dir
}
