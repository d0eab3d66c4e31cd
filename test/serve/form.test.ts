/** Page `Form`: fields for the columns of a table, and the prediction while they change. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import t from 'tap'
import type { ExperimentInput } from '../../src/config/schema.js'
import type { NumberEncoding } from '../../src/data/table/encoding.js'
import { Predictor, resolveExperiment, train } from '../../src/index.js'
import { sliderOf, toStep } from '../../src/serve/pages/slider.js'
import { axeProblems, openBrowser, visit } from '../helpers/browser.js'
import { ask, served } from './served.js'

const dir = t.testdir()

async function trained(
  name: string,
  names: readonly string[],
  rows: number,
  fields: (row: number) => readonly unknown[],
  data: Partial<ExperimentInput['data']> = {},
): Promise<string> {
  const file = join(dir, `${name}.csv`)
  const lines = Array.from({ length: rows }, (_, row) => fields(row).join(','))
  writeFileSync(file, `${names.join(',')}\n${lines.join('\n')}\n`)
  const experiment = resolveExperiment({
    data: { ...data, dataset: 'table', path: file },
    model: { hidden: [16], dropout: 0 },
    train: { epochs: 12, batchSize: 16, l2: 0 },
    optimizer: { learningRate: 0.01 },
    compute: { backend: 'wasm', workers: 1 },
  })
  const runDir = join(dir, name)
  await train(experiment, { runDir })
  return runDir
}

/** Every kind of column under names that HTML, JavaScript and JSON could misread. */
const ODD = ['<b>x</b>', '__proto__', 'a b.c', 'day', 'start', 'member', 'plan', 'constructor', 'y']
const plans = ['basic', '<i>pro</i>', 'max & co']
const odd = await trained('odd', ODD, 300, row => [
  ...[(row % 50) / 4, 1e15 + (row % 60), row % 7 === 0 ? '' : row % 5, `20${10 + (row % 14)}-0${1 + (row % 9)}-11`],
  ...[
    `${String(8 + (row % 10)).padStart(2, '0')}:${row % 2 ? '30' : '15'}`,
    row % 3 ? 'true' : 'false',
    plans[row % 3],
  ],
  ...[row % 4, row % 3 === 0 ? 'early' : 'late'],
])
const prices = await trained(
  'prices',
  ['area', 'age', 'price', 'rent'],
  200,
  row => [30 + ((7 * row) % 100), (13 * row) % 60, 2000 * (30 + ((7 * row) % 100)), 500 + ((7 * row) % 100)],
  { task: 'regression', target: ['price', 'rent'] },
)
const { url } = await served(t, [odd, prices])
const browser = await openBrowser(t)

t.test('rows by name: columns may be called __proto__ and constructor', async t => {
  const row = Object.fromEntries([
    ...[
      ['<b>x</b>', 3],
      ['__proto__', 1e15 + 7],
      ['a b.c', null],
      ['day', '2015-03-11'],
      ['start', '08:15'],
    ],
    ...[
      ['member', true],
      ['plan', 'basic'],
      ['constructor', 2],
    ],
  ] as const)
  const { status, json } = await ask(url, '/predict', { run: 'odd', row })
  t.equal(status, 200, json.message)
  const predictor = await Predictor.open(odd)
  t.same(json.predictions[0].probabilities, [...predictor.predict([row]).data])
  const other = { ...row, plan: 'max & co' }
  Object.defineProperty(other, '__proto__', { value: 1e15 + 59, enumerable: true })
  const { json: changed } = await ask(url, '/predict', { run: 'odd', row: other })
  t.notSame(changed.predictions[0].probabilities, json.predictions[0].probabilities)
  const { status: refused, json: why } = await ask(url, '/predict', '{"run": "odd", "__proto__": {"row": [1]}}')
  t.same([refused, /must NOT have additional properties/.test(why.message)], [400, true])
})

t.test('a slider has the range and step of the training rows; in older files, of bins or deviations', async t => {
  const encoding = {
    column: 'x',
    kind: 'number',
    offset: 10,
    factor: 0.5,
    knots: [],
    fill: 11,
    indicator: false,
  } as const
  const of = (more: Partial<NumberEncoding>) => {
    const { min, max, step } = sliderOf({ ...encoding, ...more })
    return [min, max, step]
  }
  t.same(of({ seen: { min: 0.1, max: 0.83, step: null } }), [0.1, 0.83, 0.002])
  t.same(of({ seen: { min: -3, max: 1e15 + 3, step: 1 } }), [-3, 1e15 + 3, 1])
  t.same(of({ seen: { min: 4, max: 4, step: 1 } }), [3, 5, 1])
  t.same(of({ knots: [1, 5, 9] }), [1, 9, 0.02])
  t.same(of({}), [6, 14, 0.02])
  t.same(of({ factor: 0 }), [8, 12, 0.02])
  t.equal(toStep(1_700_000_000.256, { min: 0, max: 1, step: 0.05 }), 1_700_000_000.25)
})

if (browser) {
  /** Probabilities in percent that the page shows, once they are those of the fields. */
  const shown = async (page: Page): Promise<string[]> => {
    await page.waitForSelector('#verdict[aria-busy="false"]')
    return page.locator('#bars td:last-child').allTextContents()
  }
  /** Probabilities that the server has for the request that the page shows. */
  const asked = async (page: Page): Promise<string[]> => {
    const { json } = await ask(url, '/predict', await page.inputValue('#body'))
    return json.predictions[0].probabilities.map((p: number) => `${(100 * p).toFixed(1)} %`)
  }
  const field = (page: Page, name: string) => page.locator('.field', { has: page.getByText(name, { exact: true }) })

  t.test('the form of a table is the first page; every column has a field; names are escaped', async t => {
    const { page, complaints } = await visit(t, browser, url)
    t.match(page.url(), /\/form$/)
    await page.waitForSelector('#verdict[aria-busy="false"] strong')
    t.same(await page.locator('.field .name').allTextContents(), ODD.slice(0, -1))
    t.same(await page.locator('.field b, .field i, #bars i').count(), 0)
    t.equal(await page.textContent('#title'), 'Predict y')
    t.same(await page.locator('#bars th').allTextContents(), ['early', 'late'])
    t.same(
      await page.locator('.field').evaluateAll(all => all.map(each => each.className)),
      ['number', 'number', 'number', 'date', 'date', 'boolean', 'category', 'number'].map(kind => `field ${kind}`),
    )
    t.same(
      await page
        .locator('.field input:not([type=checkbox]):not([type=range])')
        .evaluateAll(all => all.map(each => (each as HTMLInputElement).type)),
      ['number', 'number', 'number', 'date', 'time', 'text', 'number'],
    )
    t.same(await shown(page), await asked(page))
    t.same(complaints, [])
  })

  t.test('every kind of field changes the prediction, which is that of POST /predict', async t => {
    const { page, complaints } = await visit(t, browser, `${url}/form`)
    await page.waitForSelector('#verdict[aria-busy="false"] strong')
    const row = async () => JSON.parse(await page.inputValue('#body')).row
    const agrees = async (name: string) => t.same(await shown(page), await asked(page), name)
    const before = await shown(page)

    const slider = field(page, '__proto__').locator('input[type=range]')
    await slider.focus()
    await page.keyboard.press('End')
    await agrees('slider, by its keys')
    t.equal((await page.inputValue('#body')).includes(`"__proto__": ${1e15 + 59}`), true)
    await field(page, '<b>x</b>').locator('input[type=number]').fill('-2.5')
    await agrees('a number beyond the range')
    t.equal((await row())['<b>x</b>'], -2.5)
    await field(page, 'a b.c').getByLabel('a b.c is missing').check()
    await agrees('missing')
    t.equal((await row())['a b.c'], null)
    await field(page, 'a b.c').getByLabel('a b.c is missing').uncheck()
    await shown(page)
    t.equal((await row())['a b.c'], 2, 'as before')
    await field(page, 'day').locator('input[type=date]').fill('2031-12-24')
    await agrees('a date')
    t.match(await row(), { day: '2031-12-24', start: /^\d\d:\d\d/ })
    await field(page, 'start').locator('input[type=time]').fill('')
    await agrees('no time')
    t.equal(await field(page, 'start').getByLabel('start is missing').isChecked(), true)
    await field(page, 'member').locator('.tick input').uncheck()
    await agrees('unchecked')
    t.match(await row(), { start: null, member: false })
    await field(page, 'member').getByLabel('member is missing').check()
    await agrees('a missing yes or no')
    t.equal((await row()).member, null)

    const plan = field(page, 'plan').locator('select')
    t.same(await plan.locator('option').allTextContents(), [...[...plans].sort(), 'another value …', 'missing'])
    await plan.selectOption('missing')
    await agrees('a missing category')
    t.equal((await row()).plan, null)
    await plan.selectOption('another value …')
    await agrees('another value')
    t.notOk(plans.includes((await row()).plan))
    await field(page, 'plan').locator('input').fill('basic')
    await agrees('a typed value')
    t.equal((await row()).plan, 'basic')

    await page.click('#usual')
    t.same(await shown(page), before, 'usual values again')
    t.same(complaints, [])
  })

  t.test('an invalid number is reported, and the next one is sent again', async t => {
    const { page } = await visit(t, browser, `${url}/form`)
    await page.waitForSelector('#verdict[aria-busy="false"] strong')
    await field(page, '<b>x</b>').locator('input[type=number]').fill('1e300')
    await page.waitForSelector('#trouble:not([hidden])')
    t.match(
      await page.textContent('#trouble'),
      /column '<b>x<\/b>' in row 1 is 1e\+300, expected a number that f32 can hold/,
    )
    t.same(await page.locator('#bars td:last-child').allTextContents(), ['–', '–'], 'no answer of other values is left')
    await field(page, '<b>x</b>').locator('input[type=number]').fill('2')
    await page.waitForSelector('#trouble', { state: 'hidden' })
    t.same(await shown(page), await asked(page))
  })

  t.test('the last change wins in any order of responses', async t => {
    const { page } = await visit(t, browser, `${url}/form`)
    await page.waitForSelector('#verdict[aria-busy="false"] strong')
    let held = 0
    let release = () => {}
    const released = new Promise<void>(resolve => {
      release = resolve
    })
    await page.route('**/predict', async route => {
      if (++held === 1) await released
      await route.continue()
    })
    const number = field(page, '<b>x</b>').locator('input[type=number]')
    for (const value of ['1', '2', '3', '12']) await number.fill(value)
    t.equal(await page.getAttribute('#verdict', 'aria-busy'), 'true')
    release()
    t.same(await shown(page), await asked(page))
    t.equal(JSON.parse(await page.inputValue('#body')).row['<b>x</b>'], 12)
    t.ok(held < 4, `${held} requests for four changes`)
  })

  t.test('a regression has its targets by name; another network has its own fields', async t => {
    const { page, complaints } = await visit(t, browser, `${url}/form`)
    await page.waitForSelector('#verdict[aria-busy="false"] strong')
    await page.selectOption('#run', 'prices')
    await page.waitForSelector('#verdict .target')
    t.same(await page.locator('#verdict .target').allTextContents(), ['price', 'rent'])
    t.same(await page.locator('.field .name').allTextContents(), ['area', 'age'])
    t.equal(await page.locator('#bars tr').count(), 0)
    const price = Number((await page.locator('#verdict strong').first().textContent())!.replaceAll(',', ''))
    t.ok(price > 50_000 && price < 300_000, `price ${price}`)
    t.same(complaints, [])
  })

  t.test('hundreds of categories are a text field with suggestions; an empty text is a missing value', async t => {
    const many = await trained(
      'many',
      ['street', '', 'y'],
      1300,
      row => [`street ${row % 260}`, row % 7, row % 260 < 130 ? 'near' : 'far'],
      { target: 'y', columns: { street: 'category' }, categories: { max: 10, above: 'embed' } },
    )
    const { url: own } = await served(t, [many])
    const { page, complaints } = await visit(t, browser, `${own}/form`)
    await page.waitForSelector('#verdict[aria-busy="false"] strong')
    const row = async () => JSON.parse(await page.inputValue('#body')).row
    const street = field(page, 'street').locator('input[type=text]')
    t.match((await row()).street, /^street \d+$/)
    t.ok((await field(page, 'street').locator('option').count()) > 200)
    await street.fill(' street 7 ')
    await page.waitForSelector('#verdict[aria-busy="false"] strong')
    t.equal((await row()).street, 'street 7')
    await street.fill('')
    await page.waitForSelector('#verdict[aria-busy="false"] strong')
    t.equal((await row()).street, null)
    t.equal(await field(page, 'street').getByLabel('street is missing').isChecked(), true)
    await field(page, 'street').getByLabel('street is missing').uncheck()
    await page.waitForSelector('#verdict[aria-busy="false"] strong')
    t.equal((await row()).street, ' street 7 '.trim())
    t.same(complaints, [])
  })

  t.test('yes/no labels have one bar each', async t => {
    const labels = await trained(
      'labels',
      ['area', 'large', 'old'],
      200,
      row => [(7 * row) % 100, (7 * row) % 100 > 50, (7 * row) % 100 > 20],
      { task: 'multi-label', target: ['large', 'old'] },
    )
    const { url } = await served(t, [labels])
    const { page, complaints } = await visit(t, browser, `${url}/form`)
    await page.locator('.field input[type=number]').fill('95')
    await page.waitForSelector('#verdict[aria-busy="false"] strong')
    t.same(await page.locator('#bars .best th').allTextContents(), ['large', 'old'])
    t.equal(await page.textContent('#verdict'), 'large, old')
    await page.locator('.field input[type=number]').fill('2')
    await page.waitForFunction(() => document.getElementById('verdict')?.textContent === 'none')
    t.same(await page.locator('#bars tr').count(), 2)
    t.same(complaints, [])
  })

  t.test(
    '100 columns can be searched by name; axe-core finds nothing serious, in light and dark, and on a phone',
    async t => {
      const names = Array.from({ length: 100 }, (_, i) => (i % 10 === 0 ? `group ${i}` : `column ${i}`))
      const wide = await trained('wide', [...names, 'y'], 120, row => [
        ...names.map((_, i) => (i % 10 === 0 ? ['a', 'b', 'c'][(row + i) % 3] : ((row * ((i % 36) + 1)) % 37) / 4)),
        row % 2 ? 'odd' : 'even',
      ])
      const { url } = await served(t, [wide])
      for (const colorScheme of ['light', 'dark'] as const) {
        const { page, complaints } = await visit(t, browser, `${url}/form`, { colorScheme })
        await page.waitForSelector('#verdict[aria-busy="false"] strong')
        t.equal(await page.locator('.field').count(), 100)
        t.same(await axeProblems(page), [], colorScheme)
        await page.fill('#find', 'GROUP 9')
        t.same(await page.locator('.field:visible .name').allTextContents(), ['group 90'])
        t.equal(await page.textContent('#found'), '1 of 100 columns')
        await page.keyboard.press('Tab')
        await page.keyboard.press('Tab')
        t.equal(
          await page.evaluate(() => document.activeElement?.tagName),
          'SELECT',
          'the next but one stop of the keyboard',
        )
        t.same(complaints, [])
      }
      const { page } = await visit(t, browser, `${url}/form`, { viewport: { width: 390, height: 844 }, isMobile: true })
      await page.waitForSelector('#verdict[aria-busy="false"] strong')
      t.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390)
      t.same(await axeProblems(page), [])
    },
  )
}
