/** A small data set as IDX files, made anew for a test: classes are bright rows of the image in noise, easily learned. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { philox } from '../../src/tensor/random.js'

export interface TinySizes {
  readonly train: number
  readonly test: number
  readonly height: number
  readonly width: number
  readonly classes: number
}

/** 530 training rows: with a batch of 200 the last one has 130, with shards of 32 the last of those has 2. */
export const TINY: TinySizes = { train: 530, test: 90, height: 7, width: 5, classes: 4 }

/** Writes the four files to `dir` and returns it. */
export function writeTinyData(dir: string, sizes: TinySizes = TINY): string {
  mkdirSync(dir, { recursive: true })
  for (const [prefix, rows, key] of [
    ['train', sizes.train, 1],
    ['t10k', sizes.test, 2],
  ] as const) {
    const { height, width, classes } = sizes
    const images = new Uint8Array(rows * height * width)
    const labels = new Uint8Array(rows)
    const words = new Uint32Array(4)
    for (let i = 0; i < rows; i++) {
      labels[i] = i % classes
      for (let p = 0; p < height * width; p++) {
        philox(words, p, i, 0, 0, key, 0)
        const bright = Math.floor(p / width) % classes === labels[i]
        images[i * height * width + p] = (words[0] % 120) + (bright ? 130 : 0)
      }
    }
    writeFileSync(join(dir, `${prefix}-images-idx3-ubyte`), idx(0x803, [rows, height, width], images))
    writeFileSync(join(dir, `${prefix}-labels-idx1-ubyte`), idx(0x801, [rows], labels))
  }
  return dir
}

function idx(magic: number, dims: readonly number[], data: Uint8Array): Buffer {
  const header = Buffer.alloc(4 + 4 * dims.length)
  for (const [i, word] of [magic, ...dims].entries()) header.writeUInt32BE(word, 4 * i)
  return Buffer.concat([header, data])
}
