/**
 * A network as a layers model of TensorFlow.js: `model.json` and its weights in shards, which `tf.loadLayersModel` reads
 * from a server. From `pixels` (batch, features), float32 from 0 to 1, to probabilities (batch, classes); or from `features`, and the index
 * of each embedded column of a table as an input of its own. Pure; any thread.
 * https://www.tensorflow.org/js/guide/save_load
 */

import { embeddingsOf, featureCount, type TableEncoding } from '../data/table/encoding.js'
import type { Activation } from '../model/activation.js'
import type { Convolution } from '../model/convolution.js'
import type { NamedWeights } from '../run/checkpoint-file.js'
import { foldBatchNorm, inputNote, type OnnxModel, outputNotes } from './onnx.js'

export interface TfjsFiles {
  /** The content of `model.json`. */
  readonly json: string
  /** Beside it, by the names that it has for them. */
  readonly shards: readonly { readonly name: string; readonly bytes: Uint8Array }[]
}

/** Size of TensorFlow's own converter: browsers cache and fetch shards side by side. */
const SHARD_BYTES = 4 * 2 ** 20

interface LayerSpec {
  readonly name: string
  readonly class_name: string
  readonly config: Readonly<Record<string, unknown>>
  /** Names of the layers whose outputs it takes; none: of what is before it. */
  readonly from?: readonly string[]
  /** Weights by the names that tfjs gives them in a layer, in their order. */
  readonly weights?: readonly NamedWeights[]
}

/** Activations of tfjs by name. What it has no name for is made of layers, or of factors in the weights around it. */
const NAMES: Partial<Record<Activation, string>> = {
  ...{ relu: 'relu', elu: 'elu', silu: 'swish', tanh: 'tanh', 'scaled-tanh': 'tanh', sigmoid: 'sigmoid' },
  identity: 'linear',
}
/** Factors of scaled-tanh: before tanh, and after it. */
const BEFORE = 2 / 3
const BEHIND = 1.7159

/** Layers that are an activation of the output of `from`; `to` is the name of the last. */
function ownLayers(activation: Activation, from: string, to: string): LayerSpec[] {
  if (activation === 'leaky-relu') return [{ name: to, class_name: 'LeakyReLU', config: { alpha: 0.01 } }]
  if (activation !== 'gelu') throw new Error(`tfjs: activation is ${activation}, expected one with a form here`)
  // x/2 · (1 + tanh(√(2/π) · x · (1 + 0.044715 x²))). tfjs's own `gelu_new` cannot be loaded: it takes it for `geluNew`.
  const root = Math.sqrt(2 / Math.PI)
  const layer = (
    name: string,
    class_name: string,
    config: LayerSpec['config'],
    inputs: readonly string[],
  ): LayerSpec => {
    return { name: `${to}_${name}`, class_name, config, from: inputs.map(of => (of === 'x' ? from : `${to}_${of}`)) }
  }
  return [
    // x · x would fail: tfjs disposes of a tensor that a layer takes twice.
    layer('scaled', 'Rescaling', { scale: root * 0.044715, offset: 0 }, ['x']),
    layer('square', 'Multiply', {}, ['x', 'scaled']),
    layer('factor', 'Rescaling', { scale: 1, offset: root }, ['square']),
    layer('cubic', 'Multiply', {}, ['x', 'factor']),
    layer('tanh', 'Activation', { activation: 'tanh' }, ['cubic']),
    layer('gate', 'Rescaling', { scale: 0.5, offset: 0.5 }, ['tanh']),
    { ...layer('', 'Multiply', {}, ['x', 'gate']), name: to },
  ]
}

/** `stem` begins the shards' names. */
export function encodeTfjs(model: OnnxModel, stem: string): TfjsFiles {
  const layers = layersOf(model)
  const weights = layers.flatMap(({ name: layer, weights = [] }) =>
    weights.map(({ name, ...rest }) => ({ name: `${layer}/${name}`, ...rest })),
  )
  const bytes = Buffer.concat(weights.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)))
  const count = Math.max(1, Math.ceil(bytes.length / SHARD_BYTES))
  const shards = Array.from({ length: count }, (_, i) => ({
    name: `${stem}.shard${i + 1}of${count}.bin`,
    bytes: bytes.subarray(i * SHARD_BYTES, (i + 1) * SHARD_BYTES),
  }))
  const json = {
    format: 'layers-model',
    generatedBy: `gradloom ${model.producerVersion}`,
    convertedBy: null,
    modelTopology: {
      class_name: 'Model',
      config: {
        name: 'gradloom',
        layers: layers.map(({ name, class_name, config, from }, i) => {
          const inbound = from ?? (isInput(layers[i]) ? [] : [layers[i - 1].name])
          const nodes = inbound.length > 0 ? [inbound.map(name => [name, 0, 0, {}])] : []
          return { name, class_name, config: { name, ...config }, inbound_nodes: nodes }
        }),
        input_layers: layers.filter(isInput).map(({ name }) => [name, 0, 0]),
        output_layers: [[layers.at(-1)!.name, 0, 0]],
      },
    },
    weightsManifest: [
      {
        paths: shards.map(({ name }) => name),
        weights: weights.map(({ name, shape }) => ({ name, shape, dtype: 'float32' })),
      },
    ],
    userDefinedMetadata: {
      ...(model.table ? tableNotes(model.table) : { [inputName(model)]: inputNote(model) }),
      ...outputNotes(model),
    },
  }
  return { json: JSON.stringify(json), shards }
}

/** Shards that a description of ours names, by their own names; none where something else wrote it. */
export function shardsOf(description: string, stem: string): string[] {
  let json: { generatedBy?: unknown; weightsManifest?: readonly { paths?: unknown }[] }
  try {
    json = JSON.parse(description)
    if (!/^gradloom /.test(String(json.generatedBy))) return []
    const paths = json.weightsManifest?.flatMap(group => group.paths) ?? []
    const isShard = (path: string) =>
      path.startsWith(`${stem}.`) && /^\.shard\d+of\d+\.bin$/.test(path.slice(stem.length))
    return paths.filter(path => typeof path === 'string').filter(isShard)
  } catch {
    return []
  }
}

/** Activation of the last layer. */
const OUTPUTS: Readonly<Record<OnnxModel['loss'], string>> = {
  'cross-entropy': 'softmax',
  'binary-cross-entropy': 'sigmoid',
  'mean-squared-error': 'linear',
}

function layersOf(model: OnnxModel): LayerSpec[] {
  const { widths, activation, norm, loss, convolutions = [] } = model
  const parameters = foldBatchNorm(model.parameters, norm)
  const of = (name: string) => parameters.find(parameter => parameter.name === name)!
  const known = NAMES[activation]
  const [before, behind] = activation === 'scaled-tanh' ? [BEFORE, BEHIND] : [1, 1]
  const last = widths.length - 2
  const layers = widths.slice(1).flatMap((units, i): LayerSpec[] => {
    const isLast = i === last
    const convolution = convolutions[i]
    const normed = norm.type === 'layer' && !isLast && !convolution
    // Layer norm takes any factor of its input away again: what the activation needs goes into its scale and shift.
    const [factorBefore, factorBehind] = [isLast || normed ? 1 : before, i === 0 ? 1 : behind]
    const follows = isLast ? OUTPUTS[loss] : normed ? 'linear' : (known ?? 'linear')
    const weights = [
      scaled(of(`layers.${i}.weight`), 'kernel', factorBefore * factorBehind),
      scaled(of(`layers.${i}.bias`), 'bias', factorBefore),
    ]
    if (convolution) {
      const linear = convolutionLayer(convolution, i, follows, weights)
      const own = known === undefined ? ownLayers(activation, linear.name, `activation_${i}`) : []
      return [...mapsBefore(convolutions, i), linear, ...own, ...mapsBehind(convolutions, i)]
    }
    const dense: LayerSpec = {
      ...{ name: `dense_${i}`, class_name: 'Dense', config: { units, use_bias: true, activation: follows } },
      weights,
    }
    if (isLast) return [dense]
    const normalise = (): LayerSpec => ({
      ...{ name: `norm_${i}`, class_name: 'LayerNormalization' },
      config: { axis: [-1], epsilon: norm.epsilon, center: true, scale: true },
      weights: [
        scaled(of(`layers.${i}.norm.scale`), 'gamma', before),
        scaled(of(`layers.${i}.norm.shift`), 'beta', before),
      ],
    })
    const linear = normed ? [dense, normalise()] : [dense]
    const name = `activation_${i}`
    if (known === undefined) return [...linear, ...ownLayers(activation, linear.at(-1)!.name, name)]
    return normed ? [...linear, { name, class_name: 'Activation', config: { activation: known } }] : linear
  })
  return [...inputLayers(model, of), ...layers]
}

const isInput = ({ class_name: name }: LayerSpec): boolean => name === 'InputLayer'

const inputLayer = (name: string, size: number): LayerSpec => {
  return {
    name,
    class_name: 'InputLayer',
    config: { batch_input_shape: [null, size], dtype: 'float32', sparse: false },
  }
}

const inputName = ({ scaling, table }: Pick<OnnxModel, 'scaling' | 'table'>): string =>
  scaling || table ? 'features' : 'pixels'

/** Inputs and what is before the first layer: the features, scaled; and the index of each embedded column, as its vector. */
function inputLayers(model: OnnxModel, of: (name: string) => NamedWeights): LayerSpec[] {
  const { widths, scaling, table } = model
  const embeddings = table ? embeddingsOf(table) : []
  const size = table ? featureCount(table) - embeddings.length : widths[0]
  const features = inputLayer(inputName(model), size)
  const plain = size === 0 ? [] : [features, ...(scaling ? [scalingLayer(scaling, size)] : [])]
  if (embeddings.length === 0) return plain
  const vectors = embeddings.flatMap(({ rows, size }, i): LayerSpec[] => [
    inputLayer(indexName(i), 1),
    {
      ...{ name: `embedding_${i}`, class_name: 'Embedding' },
      config: { input_dim: rows, output_dim: size, mask_zero: false, input_length: 1 },
      weights: [scaled(of(`embeddings.${i}.weight`), 'embeddings', 1)],
    },
    { name: `vector_${i}`, class_name: 'Flatten', config: {} },
  ])
  const parts = [...plain.slice(-1).map(({ name }) => name), ...embeddings.map((_, i) => `vector_${i}`)]
  const together: LayerSpec = { name: 'inputs', class_name: 'Concatenate', config: { axis: -1 }, from: parts }
  return [...plain, ...vectors, ...(parts.length > 1 ? [together] : [])]
}

const indexName = (embedding: number): string => `index_${embedding}`

/** Notes on the inputs of a table's model, and on how rows become them. */
function tableNotes(table: TableEncoding): object {
  const embedded = table.columns.filter(({ kind }) => kind === 'embedding')
  const inputs = [
    ...(featureCount(table) > embedded.length
      ? [{ input: 'features', values: 'encoded features, without those of embedded columns' }]
      : []),
    ...embedded.map(({ column }, i) => ({ input: indexName(i), column, values: 'row of the embedding' })),
  ]
  return { inputs, encoding: table }
}

const CHANNELS_LAST = { data_format: 'channelsLast' }

function convolutionLayer(
  { window: { input, output, size, stride } }: Convolution,
  i: number,
  activation: string,
  [kernel, bias]: readonly NamedWeights[],
): LayerSpec {
  const fits = (length: number) => Math.floor((length - size) / stride) + 1
  const isValid = fits(input.height) === output.height && fits(input.width) === output.width
  return {
    ...{ name: `conv_${i}`, class_name: 'Conv2D' },
    config: {
      ...{ filters: output.channels, kernel_size: [size, size], strides: [stride, stride], dilation_rate: [1, 1] },
      ...{ ...CHANNELS_LAST, padding: isValid ? 'valid' : 'same', use_bias: true, activation },
    },
    weights: [{ ...kernel, shape: [size, size, input.channels, output.channels] }, bias],
  }
}

/** Rows of pixels as maps. */
const mapsBefore = ([{ window }]: readonly Convolution[], i: number): LayerSpec[] =>
  i > 0
    ? []
    : [
        {
          ...{ name: 'maps', class_name: 'Reshape' },
          config: { target_shape: [window.input.height, window.input.width, window.input.channels] },
        },
      ]

/** Pooling, and after the last convolution maps as rows. */
function mapsBehind(convolutions: readonly Convolution[], i: number): LayerSpec[] {
  const { pool } = convolutions[i]
  const sides = pool && [pool.window.size, pool.window.size]
  return [
    ...(pool
      ? [
          {
            ...{ name: `pool_${i}`, class_name: pool.type === 'max' ? 'MaxPooling2D' : 'AveragePooling2D' },
            config: { ...CHANNELS_LAST, pool_size: sides, strides: sides, padding: 'valid' },
          },
        ]
      : []),
    ...(i === convolutions.length - 1
      ? [{ name: 'rows', class_name: 'Flatten', config: { data_format: 'channelsLast' } }]
      : []),
  ]
}

/** (x - offset) · factor, as a batch norm whose variance is 1: none of its layers does that alone. */
function scalingLayer({ offset, factor }: NonNullable<OnnxModel['scaling']>, size: number): LayerSpec {
  const vector = (name: string, values: ArrayLike<number>): NamedWeights => {
    return { name, shape: [values.length], data: Float32Array.from(values) }
  }
  const constant = (name: string, value: number) => vector(name, Array<number>(size).fill(value))
  return {
    ...{ name: 'scaling', class_name: 'BatchNormalization' },
    config: { axis: -1, epsilon: 0, center: false, scale: true },
    weights: [
      ...[vector('gamma', factor.slice(0, size)), vector('moving_mean', offset.slice(0, size))],
      constant('moving_variance', 1),
    ],
  }
}

function scaled({ shape, data }: NamedWeights, name: string, factor: number): NamedWeights {
  return { name, shape, data: factor === 1 ? data : data.map(value => value * factor) }
}
