/** The parameter table. */
import t from 'tap'
import { layerWidths, parameterCount, parameterTable } from '../../src/model/parameters.js'

t.test('layer by layer, weight before bias, named as in files', async t => {
  t.same(parameterTable(layerWidths(784, [128, 32], 10)), [
    { name: 'layers.0.weight', kind: 'weight', layer: 0, dims: [784, 128], init: 'random' },
    { name: 'layers.0.bias', kind: 'bias', layer: 0, dims: [128], init: 'zeros' },
    { name: 'layers.1.weight', kind: 'weight', layer: 1, dims: [128, 32], init: 'random' },
    { name: 'layers.1.bias', kind: 'bias', layer: 1, dims: [32], init: 'zeros' },
    { name: 'layers.2.weight', kind: 'weight', layer: 2, dims: [32, 10], init: 'random' },
    { name: 'layers.2.bias', kind: 'bias', layer: 2, dims: [10], init: 'zeros' },
  ])
})

t.test('no hidden layer is logistic regression', async t => {
  const table = parameterTable(layerWidths(784, [], 10))
  t.same(
    table.map(({ name, dims }) => [name, ...dims]),
    [
      ['layers.0.weight', 784, 10],
      ['layers.0.bias', 10],
    ],
  )
  t.equal(parameterCount(table), 7850)
})

t.test('the reference network learns 19,867,510 numbers', async t => {
  // Layer by layer: 2,355,000 + 7,502,500 + 5,002,000 + 3,001,500 + 1,501,000 + 500,500 + 5,010.
  const table = parameterTable(layerWidths(784, [3000, 2500, 2000, 1500, 1000, 500], 10))
  t.equal(table.length, 14)
  t.equal(parameterCount(table), 19_867_510)
  t.equal(new Set(table.map(({ name }) => name)).size, 14, 'names are unique')
})
