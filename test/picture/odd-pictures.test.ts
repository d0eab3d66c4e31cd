/** Odd PNG and JPEG files have the pixels that ImageMagick gives (scripts/odd-pictures.mjs wrote them), in colour and in grey. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { preparePicture } from '../../src/picture/prepare.js'

interface OddPicture {
  readonly name: string
  readonly size: readonly [width: number, height: number]
  readonly file: string
  /** (height, width, 3), upright, over white. */
  readonly rgb: string
}

const BOUND = 2
const pictures: readonly OddPicture[] = JSON.parse(readFileSync('test/picture/odd-pictures.json', 'utf8'))
const input = { preparation: 'plain', background: [255, 255, 255] } as const

t.test(`${pictures.length} kinds of PNG and JPEG: within ${BOUND} of 255 of ImageMagick's pixels`, async t => {
  t.equal(pictures.length, 44)
  for (const { name, size, file, rgb } of pictures) {
    const [width, height] = size
    const bytes = Buffer.from(file, 'base64')
    const want = Buffer.from(rgb, 'base64')
    const { pixels } = await preparePicture(name, bytes, { ...input, width, height, channels: 3 })
    t.equal(pixels.length, want.length, name)
    const apart = pixels.reduce((most, value, i) => Math.max(most, Math.abs(value - want[i])), 0)
    t.ok(apart <= BOUND, `${name}: ${apart}`)
    const grey = await preparePicture(name, bytes, { ...input, width, height, channels: 1 })
    const greyApart = grey.pixels.reduce((most, value, i) => {
      const luma = 0.299 * want[3 * i] + 0.587 * want[3 * i + 1] + 0.114 * want[3 * i + 2]
      return Math.max(most, Math.abs(value - luma))
    }, 0)
    t.ok(greyApart <= BOUND + 0.5, `${name}, made grey: ${greyApart}`)
  }
})
