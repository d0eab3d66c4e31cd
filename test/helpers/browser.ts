/**
 * A real browser for tests: Debian's chromium, driven by playwright-core. Where it is missing, the test fails on CI and is
 * skipped with the reason elsewhere. The one place for that policy.
 */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import type { Test } from 'tap'
import { CEILING_MS } from './until.js'

const USUAL = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

const placesOf = (env: NodeJS.ProcessEnv) => (env.GRADLOOM_TEST_CHROMIUM ? [env.GRADLOOM_TEST_CHROMIUM] : USUAL)

/** Path of the browser; undefined if there is none. */
export const findChromium = (env: NodeJS.ProcessEnv = process.env): string | undefined =>
  placesOf(env).find(place => existsSync(place))

/** Chromium has no sandbox as root, as in a container; it opens only our own pages here. */
export const launchChromium = (executablePath: string): Promise<Browser> =>
  chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] })

/** null after having failed (CI) or skipped (elsewhere) the test. Closed at the test's end. */
export async function openBrowser(t: Test, env: NodeJS.ProcessEnv = process.env): Promise<Browser | null> {
  const executablePath = findChromium(env)
  if (executablePath === undefined) {
    const message = `no chromium in ${placesOf(env).join(', ')}; install it, or set GRADLOOM_TEST_CHROMIUM`
    if (env.CI) t.fail(message)
    else t.pass(message, { skip: message })
    return null
  }
  const browser = await launchChromium(executablePath)
  t.teardown(() => browser.close())
  return browser
}

export interface Visit {
  readonly page: Page
  /** Errors and warnings of the console, exceptions, and requests that failed. */
  readonly complaints: string[]
}

/** A page in a context of its own. */
export async function visit(
  t: Test,
  browser: Browser,
  address: string,
  options: BrowserContextOptions = {},
): Promise<Visit> {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(CEILING_MS)
  t.teardown(() => context.close())
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`console: ${message.text()}`)
  })
  page.on('pageerror', error => complaints.push(`exception: ${error.message}`))
  page.on('response', response => {
    if (response.status() >= 400) complaints.push(`${response.status()}: ${response.url()}`)
  })
  await page.goto(address)
  return { page, complaints }
}

interface AxeResults {
  readonly violations: readonly {
    readonly id: string
    readonly impact: string | null
    readonly help: string
    readonly nodes: readonly { readonly html: string }[]
  }[]
}

/** axe-core, to be evaluated in a page. */
export const AXE = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8')

/** Findings of axe-core that are serious or critical, one line each. */
export async function axeProblems(page: Page): Promise<string[]> {
  await page.evaluate(AXE) // not as a script of the page, which its policy would refuse
  const { violations } = await page.evaluate<AxeResults>('axe.run()')
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`)
}
