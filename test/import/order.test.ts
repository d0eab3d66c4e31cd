/**
 * The order of layers in files of other programs: random stacks under the names of PyTorch, Keras, TensorFlow, Flax and
 * NumPy, in any order of arrays, are read in the right order or refused, never in a wrong one.
 */
import t from 'tap'
import { assignWeights } from '../../src/import/assign.js'
import type { ForeignArray } from '../../src/import/read.js'
import { type NormType, parameterTable } from '../../src/model/parameters.js'

/** Integers of a linear congruential generator, 0 <= n < below. */
function generator(seed: number) {
  let state = seed
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}
type Random = ReturnType<typeof generator>

/** Names of the arrays of layer `i` of `n`. */
interface Style {
  readonly matrix: (i: number, n: number) => string
  readonly bias: (i: number, n: number) => string
  readonly norm: (i: number, n: number) => readonly [scale: string, shift: string, mean: string, variance: string]
  readonly isTransposed: boolean
  /** True if the names alone give the order. */
  readonly tells: boolean
}

const torch = (
  name: (i: number, n: number) => string,
  norm: (i: number, n: number) => string,
  tells: boolean,
): Style => ({
  matrix: (i, n) => `${name(i, n)}.weight`,
  bias: (i, n) => `${name(i, n)}.bias`,
  norm: (i, n) =>
    ['weight', 'bias', 'running_mean', 'running_var'].map(kind => `${norm(i, n)}.${kind}`) as unknown as ReturnType<
      Style['norm']
    >,
  ...{ isTransposed: true, tells },
})
const counted = (word: string, i: number, first = 0) => (i + first === 0 ? word : `${word}_${i + first}`)
const keras = (prefix: string, end: string, first = 0, dense = 'dense'): Style => ({
  matrix: i => `${prefix}${counted(dense, i, first)}/kernel${end}`,
  bias: i => `${prefix}${counted(dense, i, first)}/bias${end}`,
  norm: i =>
    ['gamma', 'beta', 'moving_mean', 'moving_variance'].map(
      kind => `${prefix}${counted('batch_normalization', i, first)}/${kind}${end}`,
    ) as unknown as ReturnType<Style['norm']>,
  ...{ isTransposed: false, tells: true },
})
const words = ['stem', 'encoder', 'decoder', 'mid', 'head', 'out', 'body', 'inp', 'proj', 'lin', 'tail', 'neck', 'last']

const STYLES: Readonly<Record<string, Style>> = {
  'nn.Sequential with normalisation': torch(
    i => `${3 * i}`,
    i => `${3 * i + 1}`,
    true,
  ),
  'fc1, bn1': torch(
    i => `fc${i + 1}`,
    i => `bn${i + 1}`,
    true,
  ),
  'DataParallel around nested blocks': torch(
    i => `module.blocks.${i}.linear`,
    i => `module.blocks.${i}.norm`,
    true,
  ),
  'layer.9, layer.10': torch(
    i => `net.layer.${i + 5}`,
    i => `net.norm.${i + 5}`,
    true,
  ),
  'stage and layer': torch(
    i => `stage${Math.floor(i / 2)}.${i % 2}.fc`,
    i => `stage${Math.floor(i / 2)}.${i % 2}.bn`,
    true,
  ),
  'layers.0.norm, as gradloom': torch(
    i => `layers.${i}`,
    i => `layers.${i}.norm`,
    true,
  ),
  'encoder.0, encoder.1, decoder.0': torch(
    (i, n) => (2 * i < n ? `encoder.${2 * i}` : `decoder.${2 * i - n}`),
    (i, n) => (2 * i < n ? `encoder.${2 * i + 1}` : `decoder.${2 * i - n + 1}`),
    false,
  ),
  'layers and a head': torch(
    (i, n) => (i === n - 1 ? 'head' : `layers.${i}`),
    i => `norms.${i}`,
    false,
  ),
  'words alone': torch(
    i => words[i],
    i => `${words[i]}_bn`,
    false,
  ),
  'a bare name last': torch(
    (i, n) => (i === n - 1 ? 'fc' : `fc_${i + 1}`),
    i => `bn_${i + 1}`,
    false,
  ),
  'dense, dense_1 of Keras': keras('', ''),
  'sequential/dense/kernel:0 of TensorFlow': keras('sequential/', ':0'),
  'dense_8, dense_9, dense_10': keras('', '', 8),
  'layers/dense/vars/0 of Keras 3': {
    matrix: i => `layers/${counted('dense', i)}/vars/0`,
    bias: i => `layers/${counted('dense', i)}/vars/1`,
    norm: i =>
      [0, 1, 2, 3].map(k => `layers/${counted('batch_normalization', i)}/vars/${k}`) as unknown as ReturnType<
        Style['norm']
      >,
    ...{ isTransposed: false, tells: true },
  },
  'Dense_0 of Flax': {
    matrix: i => `params/Dense_${i}/kernel`,
    bias: i => `params/Dense_${i}/bias`,
    norm: i => [
      `params/BatchNorm_${i}/scale`,
      `params/BatchNorm_${i}/bias`,
      `batch_stats/BatchNorm_${i}/mean`,
      `batch_stats/BatchNorm_${i}/var`,
    ],
    ...{ isTransposed: false, tells: true },
  },
  'W1, b1': {
    matrix: i => `W${i + 1}`,
    bias: i => `b${i + 1}`,
    norm: i => [`gamma${i + 1}`, `beta${i + 1}`, `mean${i + 1}`, `var${i + 1}`],
    ...{ isTransposed: false, tells: true },
  },
}

/** An array whose every number says which layer and what it is. */
const filled = (name: string, shape: readonly number[], value: number): ForeignArray => {
  return { name, shape, whole: false, values: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => value) }
}
const markOf = (layer: number, kind: string) =>
  10 * layer + ['weight', 'bias', 'scale', 'shift', 'mean', 'variance'].indexOf(kind)

function stack(style: Style, widths: readonly number[], norm: NormType): ForeignArray[] {
  const n = widths.length - 1
  const batch = ['scale', 'shift', 'mean', 'variance']
  return widths.slice(1).flatMap((outputs, i) => {
    const shape = style.isTransposed ? [outputs, widths[i]] : [widths[i], outputs]
    const kinds = norm === 'none' || i === n - 1 ? [] : norm === 'layer' ? batch.slice(0, 2) : batch
    return [
      filled(style.matrix(i, n), shape, markOf(i, 'weight')),
      filled(style.bias(i, n), [outputs], markOf(i, 'bias')),
      ...kinds.map((kind, k) => filled(style.norm(i, n)[k], [outputs], markOf(i, kind))),
    ]
  })
}

function shuffled<T>(list: readonly T[], random: Random): T[] {
  const all = [...list]
  for (let i = all.length - 1; i > 0; i--) {
    const j = random(i + 1)
    ;[all[i], all[j]] = [all[j], all[i]]
  }
  return all
}

/** Kinds of stacks by their widths. */
const WIDTHS: Readonly<Record<string, (random: Random, layers: number) => number[]>> = {
  square: (random, layers) => Array<number>(layers + 1).fill(2 + random(3)),
  'square but for the ends': (_, layers) => [7, ...Array<number>(layers - 1).fill(4), 3],
  'of few sizes': (random, layers) => Array.from({ length: layers + 1 }, () => 2 + random(2)),
  'of different sizes': (random, layers) =>
    shuffled([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], random).slice(0, layers + 1),
}

for (const [name, style] of Object.entries(STYLES)) {
  t.test(`${name}: the right order or a refusal`, async t => {
    const random = generator(7 + name.length)
    let [read, refused] = [0, 0]
    for (const [kind, widthsOf] of Object.entries(WIDTHS)) {
      for (const norm of ['none', 'layer', 'batch'] as const) {
        for (let n = 0; n < 12; n++) {
          const widths = widthsOf(random, 2 + random(10))
          const table = parameterTable(widths, norm)
          const arrays = shuffled(stack(style, widths, norm), random)
          const layouts = [null, style.isTransposed ? 'out-in' : 'in-out'] as const
          for (const layout of layouts) {
            const where = `${kind}, ${norm}, ${widths.join('-')}, ${layout}`
            try {
              const { parameters } = assignWeights('x', arrays, table, { layout, order: null })
              read++
              for (const parameter of table) {
                const { data } = parameters.find(each => each.name === parameter.name)!
                const value = markOf(parameter.layer, parameter.kind)
                if (data.some(got => got !== value)) t.fail(`${where}: ${parameter.name} is ${data[0]}, not ${value}`)
              }
            } catch (error) {
              refused++
              if ((error as Error).name !== 'DataError') throw error
              const mustRead = layout !== null && (style.tells || kind === 'of different sizes')
              if (mustRead) t.fail(`${where}: ${(error as Error).message}`)
            }
            const hasNorms = norm !== 'none' && name !== 'W1, b1' // where a normalisation is called as its layer
            const order = widths.slice(1).flatMap((_, i) => {
              const isLast = i === widths.length - 2
              const normOf = hasNorms && !isLast ? [style.norm(i, widths.length - 1)[0]] : []
              return [style.matrix(i, widths.length - 1), ...normOf]
            })
            const given = assignWeights('x', arrays, table, { layout: layouts[1], order })
            if (given.parameters.some(({ data }, p) => data[0] !== markOf(table[p].layer, table[p].kind))) {
              t.fail(`${where}: not as the given order says`)
            }
          }
        }
      }
    }
    t.ok(read > 60, `${read} stacks read, ${refused} refused`)
    t.ok(style.tells || refused > 0, 'what the names do not say is refused')
  })
}

const square = (...names: string[]) => names.map((name, i) => filled(`${name}.weight`, [4, 4], markOf(i, 'weight')))
const marks = (parameters: readonly { readonly name: string; readonly data: Float32Array }[]) =>
  parameters.filter(({ name }) => name.endsWith('.weight')).map(({ data }) => data[0])

t.test('an ambiguous order is refused with the candidates; --from-order gives all or part of it', async t => {
  const table = parameterTable([4, 4, 4, 4])
  const arrays = square('inp', 'hidden', 'out')
  const read = (order: readonly string[] | null, all = arrays) =>
    assignWeights('x', all, table, { layout: 'out-in', order })
  t.throws(() => read(null), {
    message:
      'x: names and shapes leave the order of these modules open: inp (4, 4), hidden (4, 4), out (4, 4); ' +
      'expected numbers in names, or the order to be given',
    hint: '--from-order inp,hidden,out if that is their order, first layer first',
  })
  t.strictSame(marks(read(['out', 'inp.weight', 'hidden']).parameters), [20, 0, 10])
  t.strictSame(read(['out', 'inp.weight', 'hidden']).order, ['out', 'inp', 'hidden'])
  t.throws(() => read(['inp', 'hidden']), { message: /leave the order of these modules open/ })
  t.throws(() => read(['inp', 'hidden', 'last']), {
    message: /the given order has last, expected each of inp, hidden, out/,
  })
  t.throws(() => read(['inp', 'hidden', 'inp']), { message: /the given order has inp twice/ })
  t.throws(() => read(null, square('fc_1', 'fc_2', 'fc')), { message: /fc_1 \(4, 4\), fc_2 \(4, 4\), fc \(4, 4\)/ })
})

t.test('names that contradict shapes are refused unless the order is given', async t => {
  const table = parameterTable([7, 5, 3])
  const arrays = [filled('dense_5/kernel', [7, 5], 1), filled('dense_3/kernel', [5, 3], 2)]
  t.throws(() => assignWeights('x', arrays, table, { layout: null, order: null }), {
    message: /x: dense_3\/kernel is \(5, 3\), expected \(7, 5\) in in-out form for layers.0.weight/,
    hint: /--from-order/,
  })
  const { parameters } = assignWeights('x', arrays, table, { layout: null, order: ['dense_5', 'dense_3'] })
  t.strictSame(marks(parameters), [1, 2])
})

t.test('layers whose shapes fit both layouts, in opposite orders, are refused', async t => {
  const arrays = [filled('a.weight', [4, 8], 1), filled('b.weight', [8, 4], 2)]
  t.throws(() => assignWeights('x', arrays, parameterTable([4, 8, 4]), { layout: null, order: null }), {
    message: 'x: could be a, b in in-out form or b, a in out-in form, expected to see how weights lie',
    hint: /--from-layout/,
  })
})

t.test('a normalisation before a layer is not taken for the one after it', async t => {
  const norm = (module: string) => [filled(`${module}.weight`, [4], 1), filled(`${module}.bias`, [4], 2)]
  const arrays = [...norm('0'), ...square('1'), ...norm('2'), ...square('3', '5')]
  t.throws(() => assignWeights('x', arrays, parameterTable([4, 4, 4, 4], 'layer'), { layout: 'out-in', order: null }), {
    message: /x: 0 would be the normalisation behind 1, but by its name it is before 1/,
  })
})
