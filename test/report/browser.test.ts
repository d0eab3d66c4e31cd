/** Reports of runs of all kinds in a real browser: they render, nothing is injected. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { reportPage } from '../../src/report/page.js'
import { readReport } from '../../src/report/report.js'
import { launchChromium, noChromium, openPage } from './chromium.js'
import { type FixedRun, writeFixedRun } from './fixed-run.js'

const EVIL = '<img src=x onerror=alert(1)>'
const many = Array.from({ length: 300 }, (_, i) => `class ${i}`)

const kinds: Record<string, FixedRun> = {
  'of one epoch': { epochs: 1 },
  'with NaN, null and Infinity': {
    lossOf: epoch => [1.5, 'NaN', null, 'Infinity', 0.5][epoch - 1],
    epochs: 5,
    events: [
      {
        type: 'non-finite',
        step: 40,
        at: 41,
        action: 'skip',
        fault: 'the loss is not finite',
        count: 1,
        rateFactor: 1,
      },
      { type: 'restart', step: 60, from: 'memory', error: 'worker 1 died', restarts: 1 },
    ],
  },
  'of nothing but NaN': { lossOf: () => 'NaN', epochs: 3 },
  'killed before its first step': { without: ['summary', 'answers', 'metrics', 'manifest'] },
  'killed, with half a line': { without: ['summary'], tail: '{"type":"steps","st' },
  failed: { without: ['scores', 'answers'], error: `step 3: ${EVIL}` },
  'of 300 classes': { classNames: many },
  'without scores and answers': { without: ['scores', 'answers', 'times'] },
  'whose names are HTML': {
    manifest: { backend: { name: EVIL, reason: EVIL }, machine: { cpu: { model: EVIL } }, data: { files: [] } },
    classNames: [EVIL, '</style><script>alert(2)</script>', '"><svg onload=alert(3)>', "' onload='alert(4)"],
    events: [{ type: 'restart', step: 60, from: EVIL, error: '<script>alert(5)</script>', restarts: 1 }],
  },
}

/** Texts and places of drawings that a number went missing in. */
const BROKEN = `[
  ...[...document.body.innerText.matchAll(/.*(undefined|NaN %|\\[object).*/g)].map(([line]) => line),
  ...[...document.querySelectorAll('svg *')].flatMap(node => [...node.attributes]
    .filter(({ value }) => /NaN|undefined|Infinity/.test(value)).map(({ name, value }) => name + '=' + value)),
]`

t.test('in chromium', { skip: noChromium }, async t => {
  const dir = t.testdir()
  const browser = await launchChromium()
  t.teardown(() => browser.close())
  const runs: string[] = []

  async function judge(t: Test, file: string, width: number, scheme: 'light' | 'dark'): Promise<Page> {
    const { page, complaints } = await openPage(browser, file, scheme, width)
    t.equal(await page.evaluate('document.documentElement.scrollWidth'), width, `no wider than ${width} px`)
    t.equal(await page.locator('script, iframe, object, link, [onerror], [onload]').count(), 0, 'no scripts')
    t.equal(await page.locator('img:not([src^="data:image/png;base64,"])').count(), 0, 'no pictures from elsewhere')
    t.same(await page.evaluate(BROKEN), [], 'every number was put in')
    t.same(complaints, [], 'nothing to complain of')
    return page
  }

  for (const [name, kind] of Object.entries(kinds)) {
    await t.test(`a report ${name}`, async t => {
      const run = writeFixedRun(join(dir, name.includes('HTML') ? EVIL : name), kind)
      runs.push(run)
      const file = join(dir, `${runs.length}.html`)
      writeFileSync(file, reportPage(await readReport([run])))
      const page = await judge(t, file, 400, 'dark')
      await page.close()
    })
  }

  await t.test('a report of several runs side by side', async t => {
    const file = join(dir, 'all.html')
    writeFileSync(file, reportPage(await readReport(runs)))
    const page = await judge(t, file, 1200, 'light')
    t.equal(await page.locator('section.run').count(), runs.length)
  })

  await t.test('HTML in names is shown as text; 300 classes leave a matrix of those that matter', async t => {
    const evil = await judge(t, join(dir, `${runs.length}.html`), 1200, 'light')
    t.equal(await evil.innerText('.directory'), EVIL)
    for (const part of ['.matrix thead', '.classes', '.bare', '.trouble']) {
      t.ok((await evil.locator(part).allInnerTexts()).join().includes(EVIL), part)
    }
    const { page } = await openPage(browser, join(dir, '7.html'), 'light')
    t.equal(await page.locator('.matrix tbody tr').count(), 13)
    t.equal(await page.locator('img.large').getAttribute('width'), '300')
    t.equal(await page.locator('.classes tbody tr').count(), 302)
  })
})
