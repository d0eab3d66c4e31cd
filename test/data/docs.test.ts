/** docs/data.md: its examples train as they stand there. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadExperiment } from '../../src/config/load.js'
import { train } from '../../src/coordinator/new-run.js'
import { encodePng } from '../../src/picture/png.js'

const blocks = [...readFileSync('docs/data.md', 'utf8').matchAll(/```(json)?\n([^`]*)```/g)].map(([, , text]) => text)
const experiments = blocks.filter(text => text.startsWith('{'))
const table = blocks.find(text => text.startsWith('sepal'))!

t.test('docs/data.md: the example of a table trains', async t => {
  const [header, ...rows] = table.trim().split('\n')
  const dir = t.testdir({
    'flowers.csv': `${header}\n${Array.from({ length: 20 }, () => rows.join('\n')).join('\n')}\n`,
    'mine.json': experiments.find(text => text.includes('flowers.csv'))!,
  })
  const { test, parameters } = await train(await loadExperiment(join(dir, 'mine.json')), { runDir: null })
  t.equal(test?.accuracy, 1)
  t.equal(parameters, 4 * 32 + 32 + 32 * 3 + 3)
})

t.test('the table of numbers', async t => {
  const houses = blocks.find(text => text.startsWith('area'))!
  const [header, ...rows] = houses.trim().split('\n')
  const dir = t.testdir({
    'houses.csv': `${header}\n${Array.from({ length: 20 }, () => rows.join('\n')).join('\n')}\n`,
    'mine.json': experiments.find(text => text.includes('houses.csv'))!,
  })
  const { test } = await train(await loadExperiment(join(dir, 'mine.json')), { runDir: null })
  t.ok(test!.r2! > 0.99, `R² ${test!.r2}`)
})

/** A picture, one half of it white, as PNG. */
function halfWhite(width: number, height: number, half: 'left' | 'right'): Uint8Array {
  const rgb = new Uint8Array(width * height * 3)
  for (let i = 0; i < rgb.length; i++) {
    const isLeft = Math.floor(i / 3) % width < width / 2
    rgb[i] = isLeft === (half === 'left') ? 255 : 0
  }
  return encodePng(width, height, rgb)
}

t.test('the folder of pictures', async t => {
  const dir = t.testdir({ 'mine.json': experiments.find(text => text.includes('animals'))! })
  for (const [split, count] of [
    ['train', 12],
    ['test', 3],
  ] as const) {
    for (const kind of ['cat', 'dog'] as const) {
      const folder = join(dir, 'animals', split, kind)
      mkdirSync(folder, { recursive: true })
      for (let i = 0; i < count; i++) {
        writeFileSync(join(folder, `${i}.png`), halfWhite(40 + i, 30, kind === 'cat' ? 'left' : 'right'))
      }
    }
  }
  const overrides = [
    'model.hidden=[16]',
    'optimizer.learningRate=0.01',
    'train.epochs=30',
    'train.batchSize=4',
    'train.l2=0',
    'model.dropout=0',
  ]
  const { test } = await train(await loadExperiment(join(dir, 'mine.json'), overrides), { runDir: null })
  t.equal(test?.accuracy, 1)
})

t.test('docs/data.md: every other example is a valid experiment', async t => {
  const dir = t.testdir()
  for (const [i, text] of experiments.entries()) {
    const file = join(dir, `${i}.json`)
    writeFileSync(file, text)
    await t.resolves(loadExperiment(file), text)
  }
  t.equal(experiments.length, 7)
})
