/** Sizes of convolutions and poolings, and how those that do not fit are refused. */
import t from 'tap'
import { ConfigError } from '../../src/errors.js'
import {
  type ConvolutionSettings,
  convolutionsOf,
  convolutionText,
  networkText,
  outputOf,
} from '../../src/model/convolution.js'
import { layerWidths, multiplications, parameterCount, parameterTable } from '../../src/model/parameters.js'

const PLAIN: ConvolutionSettings = {
  ...{ filters: 4, size: 3, stride: 1, padding: 'same', pool: null, norm: null, dropout: 0 },
}
const sizes = (settings: Partial<ConvolutionSettings>, height: number, width = height) => {
  const [{ window }] = convolutionsOf(
    { convolutions: [{ ...PLAIN, ...settings }], norm: 'none' },
    { height, width, channels: 1 },
  )
  const { output, top, left } = window
  return [output.height, output.width, top, left]
}

t.test('outputs and zeros before them, as TensorFlow and ONNX (SAME_UPPER, VALID) have them', async t => {
  t.same(sizes({}, 28), [28, 28, 1, 1])
  t.same(sizes({ size: 2 }, 28), [28, 28, 0, 0])
  t.same(sizes({ size: 4 }, 7, 5), [7, 5, 1, 1])
  t.same(sizes({ stride: 2 }, 28), [14, 14, 0, 0])
  t.same(sizes({ stride: 2 }, 7), [4, 4, 1, 1])
  t.same(sizes({ size: 1, stride: 3 }, 7), [3, 3, 0, 0])
  t.same(sizes({ padding: 'valid' }, 28, 5), [26, 3, 0, 0])
  t.same(sizes({ padding: 'valid', stride: 2 }, 28), [13, 13, 0, 0])
})

t.test('a network: sizes, text, parameters, multiplications', async t => {
  const pool = { size: 2, type: 'max' } as const
  const convolutions = convolutionsOf(
    {
      convolutions: [
        { ...PLAIN, filters: 32 },
        { ...PLAIN, filters: 64, pool, norm: 'none' },
      ],
      norm: 'batch',
    },
    { height: 28, width: 28, channels: 3 },
  )
  t.same(convolutions.map(outputOf), [
    { height: 28, width: 28, channels: 32 },
    { height: 14, width: 14, channels: 64 },
  ])
  t.same(
    convolutions.map(({ norm }) => norm),
    ['batch', 'none'],
    'null is the norm of the model',
  )
  t.equal(convolutionText(convolutions[1]), '3 x 3 -> 28 x 28 x 64, max pool 2 -> 14 x 14 x 64')
  const widths = layerWidths(28 * 28 * 3, [128], 10, convolutions)
  t.equal(networkText(widths, convolutions), '28x28x3-conv 28x28x32-conv 28x28x64-pool 14x14x64-128-10')
  t.equal(networkText([4, 3, 2], []), '4-3-2')
  const table = parameterTable(widths, 'batch', [], convolutions)
  t.same(
    table.map(({ name, dims }) => `${name} ${dims}`),
    [
      ...['layers.0.weight 27,32', 'layers.0.bias 32'],
      ...['scale', 'shift', 'mean', 'variance'].map(kind => `layers.0.norm.${kind} 32`),
      ...['layers.1.weight 288,64', 'layers.1.bias 64', 'layers.2.weight 12544,128', 'layers.2.bias 128'],
      ...['scale', 'shift', 'mean', 'variance'].map(kind => `layers.2.norm.${kind} 128`),
      ...['layers.3.weight 128,10', 'layers.3.bias 10'],
    ],
  )
  t.equal(
    parameterCount(table),
    27 * 32 + 32 + 64 + 288 * 64 + 64 + 12544 * 128 + 128 + 256 + 1290,
    'running statistics are not learned',
  )
  t.equal(multiplications({ widths, convolutions }), 784 * (27 * 32 + 288 * 64) + 12544 * 128 + 1280)
})

t.test('windows that are larger than what they move over are refused, with the sizes so far', async t => {
  const refused = (...convolutions: Partial<ConvolutionSettings>[]) => {
    try {
      convolutionsOf(
        { convolutions: convolutions.map(settings => ({ ...PLAIN, ...settings })), norm: 'none' },
        { height: 8, width: 6, channels: 1 },
      )
    } catch (error) {
      if (error instanceof ConfigError) return error.message
      throw error
    }
    return 'accepted'
  }
  t.equal(
    refused({ pool: { size: 2, type: 'max' } }, { size: 5, padding: 'valid' }),
    'model.convolutions.1.size is 5, expected at most 3; it moves over 4 x 3 x 4 (height x width x channels); ' +
      'the sizes are 8 x 6 x 1 -> 8 x 6 x 4 -> 4 x 3 x 4',
  )
  t.equal(
    refused({ stride: 3, pool: { size: 3, type: 'average' } }),
    'model.convolutions.0.pool.size is 3, expected at most 2; it moves over 3 x 2 x 4 (height x width x channels); ' +
      'the sizes are 8 x 6 x 1 -> 3 x 2 x 4',
  )
  t.equal(refused({ size: 9 }), 'accepted', 'with zeros around it, a window may be larger')
})
