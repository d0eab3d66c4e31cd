/** A server of networks that take rows of numbers, or predict numbers: answers and refusals. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Task } from '../../src/config/tasks.js'
import { Predictor, resolveExperiment, train } from '../../src/index.js'
import { openBrowser, visit } from '../helpers/browser.js'
import { trainDigits } from '../inference/trained.js'
import { ask, served } from './served.js'

const dir = t.testdir()
const table = join(dir, 'houses.csv')
const rows = Array.from({ length: 100 }, (_, i) => {
  const [area, age] = [30 + ((7 * i) % 100), (13 * i) % 60]
  return [
    area,
    age,
    2000 * area - 900 * age,
    area / 10,
    area > 80 ? 'large' : 'small',
    age > 30,
    Number(area > 90),
  ].join(',')
})
writeFileSync(table, `area,age,price,rooms,size,old,wide\n${rows.join('\n')}\n`)

/** All columns but area, age and the targets. */
const ignored = (label: string | string[]) =>
  Object.fromEntries(
    ['price', 'rooms', 'size', 'old', 'wide']
      .filter(name => ![label].flat().includes(name))
      .map(name => [name, 'ignore' as const]),
  )

async function trained(name: string, label: string | string[], task: Task): Promise<string> {
  const runDir = join(dir, name)
  const experiment = resolveExperiment({
    data: { dataset: 'table', path: table, task, target: label, columns: ignored(label) },
    model: { hidden: [16], dropout: 0 },
    train: { epochs: 10, batchSize: 8, l2: 0, ...(task === 'regression' && { loss: 'mean-squared-error' }) },
    optimizer: { learningRate: 0.01 },
    compute: { backend: 'wasm', workers: 1 },
  })
  await train(experiment, { runDir })
  return runDir
}

const houses = await trained('houses', ['price', 'rooms'], 'regression')
const sizes = await trained('sizes', 'size', 'classification')
const flags = await trained('flags', ['old', 'wide'], 'multi-label')
const digits = await trainDigits(join(dir, 'digits'))
const { url } = await served(t, [houses, sizes, digits, flags])
const browser = await openBrowser(t)

t.test('a row is given by feature names in any order; unknown names are refused by name', async t => {
  const { json: plain } = await ask(url, '/predict', { row: [100, 20] })
  const { status, json } = await ask(url, '/predict', { row: { age: 20, area: 100 } })
  t.strictSame([status, json], [200, plain])
  const { json: both } = await ask(url, '/predict', { rows: [{ area: 100, age: 20 }, [100, 20]] })
  t.strictSame(both.predictions[0], both.predictions[1])
  for (const [row, message] of [
    [{ area: 100 }, /row: row 1 has no 'age', expected every column that the model takes/],
    [{ area: 100, toString: 1 }, /row: row 1 has no 'age'/],
    [{ area: 100, age: 'old' }, /row: column 'age' in row 1 is 'old', expected a number/],
  ] as const) {
    const refused = await ask(url, '/predict', { row })
    t.equal(refused.status, 400)
    t.match(refused.json.message, message)
  }
})

t.test('row and rows: every target by name, in the units of the data, bit for bit as Predictor', async t => {
  const { data } = (await Predictor.open(houses)).predict([
    [100, 20],
    [50.5, 3],
  ])
  const { status, json } = await ask(url, '/predict', { row: [100, 20] })
  t.equal(status, 200)
  const values = [
    { name: 'price', value: data[0] },
    { name: 'rooms', value: data[1] },
  ]
  t.same(json.predictions, [{ values, preprocessing: [] }], 'and no class')
  t.ok(json.predictions[0].values[0].value > 100_000)
  const { json: both } = await ask(url, '/predict', {
    run: 'houses',
    rows: [
      [50.5, 3],
      [100, 20],
    ],
  })
  t.same(
    both.predictions.map((one: { values: { value: number }[] }) => one.values.map(({ value }) => value)),
    [
      [data[2], data[3]],
      [data[0], data[1]],
    ],
  )
  const { json: deep } = await ask(url, '/predict', { row: [100, 20], layers: true })
  const [{ layers, values: same, pixels }] = deep.predictions
  t.same([same, pixels], [values, undefined])
  t.same(layers.at(-1).values, [data[0], data[1]])
})

t.test('a table with classes is requested in the same way', async t => {
  const { json } = await ask(url, '/predict', { run: 'sizes', row: [120, 10] })
  t.match(json.predictions, [{ className: 'large', top: [{ className: 'large' }, { className: 'small' }] }])
  t.notOk('values' in json.predictions[0])
})

t.test('yes/no labels: each by name with its probability, bit for bit as Predictor', async t => {
  const { data } = (await Predictor.open(flags)).predict([[120, 50]])
  const { json } = await ask(url, '/predict', { run: 'flags', row: { age: 50, area: 120 } })
  const labels = [
    { name: 'old', isSet: data[0] > 0.5, probability: data[0] },
    { name: 'wide', isSet: data[1] > 0.5, probability: data[1] },
  ]
  t.same(json.predictions, [{ labels, preprocessing: [] }])
  t.ok(data[0] > 0.5 && data[1] > 0.5, 'both are learned')
  t.match((await ask(url, '/runs/flags')).json.model, { task: 'multi-label', classNames: ['old', 'wide'] })
})

t.test('a request without a run goes to the first run that accepts its input', async t => {
  const image = Array.from({ length: 784 }, () => 0)
  t.equal((await ask(url, '/predict', { image })).json.run, 'digits')
  t.equal((await ask(url, '/predict', { row: [100, 20] })).json.run, 'houses')
})

t.test('GET /runs/:id describes inputs and outputs of a network', async t => {
  const model = async (id: string) => (await ask(url, `/runs/${id}`)).json.model
  t.match(await model('houses'), { input: 'row', task: 'regression', classNames: ['price', 'rooms'], width: 2 })
  t.match(await model('sizes'), { input: 'row', task: 'classification', classNames: ['large', 'small'] })
  t.match(await model('digits'), { input: 'image', task: 'classification' })
})

t.test('invalid rows get a 400 with the problem', async t => {
  const cases: [body: unknown, message: RegExp][] = [
    [{ row: [1] }, /^row: has 1 values, expected 2: 'area', 'age'$/],
    [{ rows: [[1, 2], [1]] }, /^rows\[1\]: has 1 values/],
    ['{"row": [1, 1e300]}', /^row: column 'age' in row 1 is 1e\+300, expected a number that f32 can hold/],
    ['{"row": [1, 1e999]}', /must be number/],
    [{ row: [1, [2]] }, /must be number,string,boolean,null/],
    [{ row: 'aaaaaaaaaaaaaaaaaaaa' }, /must be array/],
    [{ rows: [] }, /fewer than 1/],
    [{ row: [1, 2], rows: [[1, 2]] }, /^body: has row and rows, expected one of them$/],
    [{ row: [1, 2], run: 'digits' }, /^row: digits does not take it, expected image or images$/],
    [{ image: [1, 2], run: 'houses' }, /^image: houses does not take it, expected row or rows, of 2 fields$/],
    [{ rows: [Array(2).fill(1), Array(2).fill(1)], layers: true }, /^layers: there are 2 rows, expected one/],
  ]
  for (const [body, message] of cases) {
    const { status, json } = await ask(url, '/predict', body)
    t.equal(status, 400, JSON.stringify(body))
    t.match(json.message, message)
  }
  t.equal(cases.length, 11)
  for (const path of ['/runs/houses/mistakes', '/runs/sizes/images']) {
    const { status, json } = await ask(url, path)
    t.equal(status, 400, path)
    t.match(json.message, /has no images of classes to show/)
  }
})

if (browser) {
  t.test('Draw refers other networks to their page; Watch shows R² and no mistakes for a regression', async t => {
    const { page, complaints } = await visit(t, browser, `${url}/draw`)
    await page.waitForSelector('#trouble:not([hidden])')
    t.match(
      await page.textContent('#trouble'),
      /^houses is no network of images and their classes: Form has its columns/,
    )
    t.equal(await page.locator('#bars tr, #examples button').count(), 0)
    await page.selectOption('#run', 'digits')
    await page.waitForSelector('#examples button')
    await page.waitForSelector('#trouble', { state: 'hidden' })
    t.equal(await page.locator('#bars tr').count(), 10)
    await page.selectOption('#run', 'houses')
    await page.waitForSelector('#trouble:not([hidden])')
    t.equal(await page.locator('#bars tr, #examples button').count(), 0, 'nothing of the other network is left')

    await page.goto(`${url}/watch`)
    const card = (id: string) => page.locator('article.run', { has: page.locator('h2', { hasText: id }) })
    await card('houses').getByText('test R²').waitFor()
    // Cards come one after the other, as their events do.
    await card('digits').getByText('Show current mistakes').waitFor()
    t.equal(await card('houses').getByText('Show current mistakes').isVisible(), false)
    t.same(complaints, [])
  })
}
