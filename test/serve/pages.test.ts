import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join, resolve } from 'node:path'
import type { Page } from 'playwright-core'
import t from 'tap'
import { loadExperiment } from '../../src/config/load.js'
import { train } from '../../src/coordinator/new-run.js'
import { axeProblems, openBrowser, visit } from '../helpers/browser.js'
import { served, trainForDrawings } from './served.js'

const dir = t.testdir()
/** The prediction of the whole drawing: on a busy machine a page also says what it makes of a part. */
const SAID = '#verdict[aria-busy="false"] strong'
const browser = await openBrowser(t)
if (browser) {
  const run = await trainForDrawings(join(dir, 'drawings'))
  const { url } = await served(t, [run])

  t.test('digits drawn with the mouse are recognised: a 1, a 0 and a 7', async t => {
    const { page, complaints } = await visit(t, browser, `${url}/draw`)
    await page.waitForSelector('.examples button')
    const ring = Array.from({ length: 25 }, (_, i) => {
      const angle = (2 * Math.PI * i) / 24
      return [0.5 + 0.2 * Math.sin(angle), 0.5 - 0.3 * Math.cos(angle)] as const
    })
    const digits = {
      '1': [
        [0.54, 0.18],
        [0.5, 0.5],
        [0.47, 0.82],
      ],
      '0': ring,
      '7': [
        [0.3, 0.22],
        [0.68, 0.22],
        [0.46, 0.82],
      ],
    } as const
    for (const [digit, points] of Object.entries(digits)) {
      await page.click('#clear')
      await page.waitForFunction(() => document.getElementById('verdict')?.textContent === 'Draw something.')
      await stroke(page, points)
      await page.waitForSelector(SAID)
      t.match(await page.textContent('#verdict'), new RegExp(`^${digit}with \\d+\\.\\d %`), digit)
      t.equal(await page.textContent('#bars .best th'), digit)
    }
    t.ok((await page.locator('#steps li').allTextContents()).includes('inverted: dark on light'))
    t.same(await page.locator('#layers figcaption').count(), 2)
    t.same(complaints, [])
  })

  t.test('a digit is drawn with keys and undone; a chosen test image shows whether it is correct', async t => {
    const { page, complaints } = await visit(t, browser, `${url}/draw`)
    await page.waitForSelector('.examples button')
    await page.focus('#board')
    await page.keyboard.press('Space')
    for (let i = 0; i < 18; i++) await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Space')
    await page.waitForSelector(SAID)
    t.match(await page.textContent('#verdict'), /^1with/)
    await page.keyboard.press('Backspace')
    await page.waitForFunction(() => document.getElementById('verdict')?.textContent === 'Draw something.')

    const example = page.locator('.examples button').first()
    t.match(await example.getAttribute('aria-label'), /^Test image \d+: 0$/)
    await example.focus()
    await page.keyboard.press('Enter')
    await page.waitForSelector('#verdict .right')
    t.match(await page.textContent('#verdict'), /^0with \d+\.\d %.*right$/)
    t.same(complaints, [])
  })

  t.test('touch draws too; on a phone nothing is wider than the screen', async t => {
    const { page, complaints } = await visit(t, browser, `${url}/draw`, {
      ...{ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
    })
    await page.waitForSelector('.examples button')
    await page.tap('#board')
    await page.waitForSelector(SAID)
    t.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390)
    t.same(complaints, [])
  })

  t.test('axe-core finds nothing serious, in light and dark', async t => {
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const [path, ready] of [
        ['/draw', '.examples button'],
        ['/watch', '.uplot'],
      ] as const) {
        const { page, complaints } = await visit(t, browser, url + path, { colorScheme })
        await page.waitForSelector(ready)
        if (path === '/watch') await page.click('.run button')
        t.same(await axeProblems(page), [], `${path}, ${colorScheme}`)
        t.same(complaints, [])
      }
    }
  })

  t.test('the curves of a run of one epoch are visible points', async t => {
    const short = join(dir, 'short')
    await train(await loadExperiment('configs/smoke.json'), { runDir: short })
    const { url } = await served(t, [short])
    const { page } = await visit(t, browser, `${url}/watch`)
    await page.waitForSelector('.uplot canvas')
    const coloured = await page.evaluate(() =>
      [...document.querySelectorAll<HTMLCanvasElement>('.uplot canvas')].map(canvas => {
        const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height)
        let count = 0
        for (let i = 0; i < data.length; i += 4) {
          const rgb = [data[i], data[i + 1], data[i + 2]]
          // Axes and grid are grey.
          if (data[i + 3] === 255 && Math.max(...rgb) - Math.min(...rgb) > 80) count++
        }
        return count
      }),
    )
    t.equal(coloured.length, 4)
    t.ok(
      coloured.every(count => count >= 10),
      `pixels of a curve's colour: ${coloured.join(', ')}`,
    )
  })

  t.test(
    'train --live: epochs and accuracy rise on the page, a reload restores them, and the end is shown',
    async t => {
      // The run goes on until it is stopped, however late the browser comes.
      const child = spawn(
        process.execPath,
        [
          ...[resolve('dist/src/cli/main.js'), 'train', resolve('configs/quickstart.json'), '--live', '--port', '0'],
          ...['--run-dir', join(dir, 'live'), '--epochs', '1000000', '--workers', '1'],
        ],
        { stdio: ['ignore', 'ignore', 'pipe'] },
      )
      t.teardown(() => child.kill('SIGKILL'))
      const exit = once(child, 'exit')
      let said = ''
      child.stderr.setEncoding('utf8').on('data', chunk => {
        said += chunk
      })
      while (!/^live +http:\S+$/m.test(said)) await once(child.stderr, 'data')
      const address = /http:\S+/.exec(said)![0]

      const { page, complaints } = await visit(t, browser, address)
      /** Waits until the n-th number of the card is larger, and returns it. */
      const above = async (n: number, least: number) => {
        const handle = await page.waitForFunction(
          ([n, least]) => {
            const text = document.querySelector(`.numbers div:nth-child(${n}) dd`)?.textContent ?? ''
            return Number.parseFloat(text) > least ? Number.parseFloat(text) : null
          },
          [n, least] as const,
        )
        return (await handle.jsonValue())!
      }
      const first = await above(1, 0)
      t.equal(await page.textContent('.badge'), 'running')
      const second = await above(1, first + 1)
      await page.reload()
      t.ok((await above(1, second)) > second, 'epochs')
      t.ok((await above(3, 90)) > 90, 'accuracy')
      child.kill('SIGINT')
      await page.waitForFunction(() => document.querySelector('.badge')?.textContent === 'interrupted')
      t.match(await page.textContent('.chart:nth-child(2) .plot'), /training/)
      t.match(await page.getAttribute('.chart:nth-child(2) .plot', 'aria-label'), /Chart of accuracy .* 9\d\.\d\d %/)
      t.same(await exit, [130, null])
      await page.waitForSelector('.connection.lost')
      t.equal(await page.textContent('.connection'), 'the server has ended')
      // The page tries to reconnect: the browser logs that the server is not there.
      t.same(
        complaints.filter(line => !line.includes('ERR_CONNECTION_REFUSED') && !line.includes('ERR_INCOMPLETE')),
        [],
      )
    },
  )
}

async function stroke(page: Page, points: readonly (readonly [number, number])[]): Promise<void> {
  const { x, y, width, height } = (await page.locator('#board').boundingBox())!
  const [first, ...rest] = points.map(([across, down]) => [x + across * width, y + down * height] as const)
  await page.mouse.move(...first)
  await page.mouse.down()
  for (const point of rest) await page.mouse.move(...point, { steps: 5 })
  await page.mouse.up()
}
