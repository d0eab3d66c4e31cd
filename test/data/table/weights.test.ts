/** Weights of a table's samples: read from a column that is no feature, and what is refused. */
import t from 'tap'
import { openText, TABLE } from './table-lab.js'

const text = `a,w,y\n${Array.from({ length: 20 }, (_, i) => `${i},${i % 5},${i % 2 ? 'p' : 'q'}`).join('\n')}\n`

t.test('sample weights are those of the training rows, in their order, and not a feature', async t => {
  const source = await openText(text, { weight: 'w' })
  t.equal(source.weighted, true)
  t.same(source.columns?.features, ['a'])
  t.match(source.table, { weight: 'w', unused: [{ column: 'w', reason: 'it has the weights of the samples' }] })
  const { rows } = source.train
  const features = new Float32Array(rows)
  const { weights } = await source.load('train', features, new Int32Array(rows))
  const { offset, factor } = source.table!.columns[0] as { offset: number; factor: number }
  t.same(
    Array.from(weights ?? []),
    Array.from(features, x => Math.round(x / factor + offset) % 5),
  )
  const test = source.test.rows
  t.equal((await source.load('test', new Float32Array(test), new Int32Array(test))).weights, undefined)
  t.equal((await openText(text)).weighted, undefined)
})

t.test('refused: no such column, text, the target, a missing or negative weight', async t => {
  await t.rejects(openText(text, { weight: 'v' }), { message: /data.weight/ })
  await t.rejects(openText(text, { weight: 'y', target: 'a' }), { message: /a column of text, expected numbers/ })
  await t.rejects(openText(text, { weight: 'a', target: 'a' }), { message: /which is the target/ })
  for (const [wrong, got] of [
    ['', 'missing'],
    ['-1', '-1'],
  ]) {
    const source = await openText(text.replaceAll(/,3,/g, `,${wrong},`), { weight: 'w' })
    const { rows } = source.train
    await t.rejects(source.load('train', new Float32Array(rows), new Int32Array(rows)), {
      message: new RegExp(`${TABLE}: the weight 'w' in row \\d+ is ${got}, expected a number >= 0`),
    })
  }
})
