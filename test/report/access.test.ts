/** Everybody can read a report: axe-core in light and dark, wide and narrow, and the keyboard. In a real browser. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readReport, reportPage } from '../../src/index.js'
import { axeFindings, launchChromium, noChromium, openPage } from './chromium.js'
import { writeFixedRun } from './fixed-run.js'

t.test('in chromium', { skip: noChromium }, async t => {
  const dir = t.testdir()
  const browser = await launchChromium()
  t.teardown(() => browser.close())
  const troubled = writeFixedRun(join(dir, 'troubled'), {
    lossOf: epoch => [1.5, 'NaN', null][epoch - 1],
    epochs: 3,
    events: [{ type: 'restart', step: 60, from: 'memory', error: 'worker 1 died', restarts: 1 }],
  })
  const failed = writeFixedRun(join(dir, 'failed'), { without: ['scores', 'answers'], error: 'no more memory' })
  const files = { one: join(dir, 'one.html'), two: join(dir, 'two.html') }
  writeFileSync(files.one, reportPage(await readReport([troubled])))
  writeFileSync(files.two, reportPage(await readReport([failed, troubled])))

  for (const [name, scheme, width] of [['one', 'light', 1200] as const, ['two', 'dark', 400] as const]) {
    await t.test(`${name} of them, ${scheme}, ${width} px, everything unfolded: axe finds nothing`, async t => {
      const { page, complaints } = await openPage(browser, files[name], scheme, width)
      t.same(await axeFindings(page), [])
      t.same(complaints, [])
      await page.close()
    })
  }

  await t.test('by keyboard: the skip link first, then the sections; folded parts open', async t => {
    const { page } = await openPage(browser, files.one, 'light')
    const focused = () => page.evaluate('document.activeElement.textContent')
    await page.keyboard.press('Tab')
    t.equal(await focused(), 'To the content')
    await page.keyboard.press('Tab')
    t.equal(await focused(), 'Training')
    await page.focus('details summary')
    await page.keyboard.press('Enter')
    t.ok(await page.locator('details[open] table').first().isVisible())
  })

  await t.test('every chart and picture has a text alternative', async t => {
    const { page } = await openPage(browser, files.one, 'light')
    const silent = 'svg:not([aria-label]):not([aria-hidden]), img:not([alt])'
    t.equal(await page.locator(silent).count(), 0)
    const loss = await page.locator('.chart > svg').first().getAttribute('aria-label')
    t.equal(
      loss,
      'Loss. training: from 1.5000 to 1.5000 over 1 epochs, 2 not finite; validation: from 1.6000 to 1.6000 over 1 epochs, 2 not finite',
    )
    t.equal(await page.locator('table:not(:has(caption))').count(), 0)
  })
})
