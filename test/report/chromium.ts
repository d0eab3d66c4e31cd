/** Debian's chromium, and what a report must be in it. */
import type { Browser, Page } from 'playwright-core'
import { AXE, findChromium, launchChromium as launch } from '../helpers/browser.js'
import { CEILING_MS } from '../helpers/until.js'

const executable = findChromium()

/** Reason why tests that need chromium are skipped; false where they run, or must run. */
export const noChromium = executable === undefined && !process.env.CI && 'needs chromium, or GRADLOOM_TEST_CHROMIUM'

export const launchChromium = (): Promise<Browser> => launch(executable ?? '/usr/bin/chromium')

export interface Opened {
  readonly page: Page
  /** Errors, requests and windows of the page or the browser. */
  readonly complaints: string[]
}

export async function openPage(
  browser: Browser,
  file: string,
  colorScheme: 'light' | 'dark',
  width = 1200,
): Promise<Opened> {
  const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } })
  page.setDefaultTimeout(CEILING_MS)
  const complaints: string[] = []
  page.on('console', message => complaints.push(`console: ${message.text()}`))
  page.on('pageerror', error => complaints.push(`error: ${error.message}`))
  page.on('dialog', dialog => {
    complaints.push(`dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  page.on('request', request => {
    if (!/^(file|data):/.test(request.url())) complaints.push(`request: ${request.url()}`)
  })
  await page.goto(`file://${file}`)
  return { page, complaints }
}

/** Findings of axe-core, with everything unfolded. */
export async function axeFindings(page: Page): Promise<string[]> {
  await page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
  await page.evaluate(AXE)
  const { violations } = (await page.evaluate('axe.run({ resultTypes: ["violations"] })')) as {
    violations: { id: string; impact: string; nodes: { html: string }[] }[]
  }
  return violations.map(({ id, impact, nodes }) => `${impact}: ${id}: ${nodes[0].html.slice(0, 120)}`)
}
