/** Debian's chromium, and what a report must be in it. */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type Browser, chromium, type Page } from 'playwright-core'

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium'

/** Why tests that need it are left out; false where they run, and where they must. */
export const noChromium = !existsSync(EXECUTABLE) && !process.env.CI && `needs ${EXECUTABLE}, or CHROMIUM`

export const launchChromium = (): Promise<Browser> =>
  // Without a sandbox: containers run it as root.
  chromium.launch({ executablePath: EXECUTABLE, args: ['--no-sandbox'] })

export interface Opened {
  readonly page: Page
  /** Whatever the page or the browser complained of, asked for, or opened. */
  readonly complaints: string[]
}

export async function openPage(
  browser: Browser,
  file: string,
  colorScheme: 'light' | 'dark',
  width = 1200,
): Promise<Opened> {
  const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } })
  page.setDefaultTimeout(5000)
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

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** What axe-core finds, with everything unfolded. */
export async function axeFindings(page: Page): Promise<string[]> {
  await page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
  await page.evaluate(AXE)
  const { violations } = (await page.evaluate('axe.run({ resultTypes: ["violations"] })')) as {
    violations: { id: string; impact: string; nodes: { html: string }[] }[]
  }
  return violations.map(({ id, impact, nodes }) => `${impact}: ${id}: ${nodes[0].html.slice(0, 120)}`)
}
