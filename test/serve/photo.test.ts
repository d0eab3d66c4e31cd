/** The page `Draw` with photos, chosen or dropped, for a network of pictures in colour. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import sharp from 'sharp'
import t from 'tap'
import { resolveExperiment, train } from '../../src/index.js'
import { encodePng } from '../../src/picture/png.js'
import { axeProblems, openBrowser, visit } from '../helpers/browser.js'
import { served } from './served.js'

const dir = t.testdir()
const SAID = '#verdict[aria-busy="false"] strong'
const INKS = { blue: [60, 80, 225], red: [205, 35, 72] } as const
const flat = (ink: readonly number[], side: number, more = 0): Uint8Array =>
  encodePng(
    side,
    side,
    Uint8Array.from({ length: side * side * 3 }, (_, i) => Math.min(255, ink[i % 3] + more)),
  )

/** Colour of the middle of a canvas. */
const middleOf = (page: Page, id: string): Promise<number[]> =>
  page.evaluate(id => {
    const canvas = document.getElementById(id) as HTMLCanvasElement
    const { data } = canvas.getContext('2d')!.getImageData(canvas.width / 2, canvas.height / 2, 1, 1)
    return [...data.slice(0, 3)]
  }, id)

const browser = await openBrowser(t)
if (browser) {
  for (const [name, ink] of Object.entries(INKS)) {
    for (const part of ['train', 'test']) {
      mkdirSync(join(dir, 'data', part, name), { recursive: true })
      for (let i = 0; i < 8; i++) writeFileSync(join(dir, 'data', part, name, `${i}.png`), flat(ink, 6, 3 * i))
    }
  }
  const run = join(dir, 'run')
  const experiment = resolveExperiment({
    data: { dataset: 'images', path: join(dir, 'data') },
    model: { hidden: [8], dropout: 0 },
    train: { epochs: 30, batchSize: 4 },
    optimizer: { learningRate: 0.01 },
    compute: { workers: 1, backend: 'wasm' },
  })
  await train(experiment, { runDir: run })
  const { url } = await served(t, [run])

  t.test('a photo is chosen, dropped, made smaller where it is large, and shown in its colours', async t => {
    const { page, complaints } = await visit(t, browser, `${url}/draw`)
    await page.waitForSelector('.examples button')
    t.match(await page.textContent('#seen-size'), /^6 × 6 pixels, in colour$/)
    const near = (found: number[], ink: readonly number[]) => found.every((value, c) => Math.abs(value - ink[c]) <= 3)

    await page.setInputFiles('#photo', {
      name: 'sea.png',
      mimeType: 'image/png',
      buffer: Buffer.from(flat(INKS.blue, 40)),
    })
    await page.waitForSelector(SAID)
    t.match(await page.textContent('#verdict'), /^bluewith/)
    t.equal(await page.textContent('#photo-name'), 'sea.png')
    t.ok(near(await middleOf(page, 'seen'), INKS.blue), 'as the network sees it')
    t.ok(near(await middleOf(page, 'board'), INKS.blue), 'on the paper')
    t.ok((await page.locator('#steps li').allTextContents()).includes('resized from 40 x 40 to 6 x 6'))

    // Larger than the server decodes: 6 megapixels.
    const large = await sharp({ create: { width: 3000, height: 2000, channels: 3, background: '#cd2348' } })
      .jpeg()
      .toBuffer()
    const content = large.toString('base64')
    await page.evaluate(content => {
      const file = new File([Uint8Array.from(atob(content), letter => letter.charCodeAt(0))], 'rose.jpg')
      const dataTransfer = new DataTransfer()
      dataTransfer.items.add(file)
      document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }))
    }, content)
    await page.waitForFunction(() => document.getElementById('verdict')?.textContent?.startsWith('red'))
    t.equal(await page.textContent('#photo-name'), 'rose.jpg')
    t.ok((await page.locator('#steps li').allTextContents()).includes('resized from 1024 x 683 to 6 x 6'))
    t.same(await axeProblems(page), [])

    await page.click('#clear')
    await page.waitForFunction(() => document.getElementById('verdict')?.textContent === 'Draw something.')
    t.equal(await page.textContent('#photo-name'), '')
    await page.setInputFiles('#photo', { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no picture') })
    await page.waitForFunction(() => document.getElementById('trouble')?.hidden === false)
    t.match(await page.textContent('#trouble'), /expected a picture: PNG, JPEG/)
    t.equal(complaints.filter(text => !text.includes('400')).length, 0)
  })

  t.test('POST /predict takes numbers (height, width, channels), and the wrong number of them is refused', async t => {
    const ask = async (image: readonly number[]) => {
      const body = JSON.stringify({ image, layers: true })
      const response = await fetch(`${url}/predict`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      })
      return { status: response.status, answer: await response.json() }
    }
    const image = Array.from({ length: 108 }, (_, i) => INKS.red[i % 3])
    const { answer } = await ask(image)
    t.match(answer.predictions[0], {
      className: 'red',
      preprocessing: ['taken as given: 6 x 6 x 3 numbers from 0 to 255'],
    })
    t.same(answer.predictions[0].pixels, image)
    const wrong = await ask(image.slice(0, 36))
    t.match(wrong, { status: 400, answer: { message: /has 36 numbers, expected 108; an image is 6 x 6 x 3/ } })
  })
}
