/**
 * A network as an ONNX model: `pixels` (batch, features), float32 from 0 to 1, to `probabilities` (batch, classes).
 * Field numbers are those of onnx.proto3, IR version 8, operators of version 13, which runtimes have known since 2020; with
 * layer norm of version 17, which has it as one. Pure; any thread.
 */
import type { Task } from '../config/tasks.js'
import type { Scaling } from '../data/input.js'
import type { TableEncoding } from '../data/table/encoding.js'
import { ConfigError } from '../errors.js'
import { encode, type Field, float, int, message, text } from '../formats/protobuf.js'
import type { Activation } from '../model/activation.js'
import type { Convolution } from '../model/convolution.js'
import type { NamedWeights } from '../run/checkpoint-file.js'
import type { InputShape } from '../tensor/input-shape.js'
import type { RunPlan } from '../worker/plan/run-plan.js'
import { floatTensor, integerAttribute, ML_DOMAIN, ML_OPSET, MOST_BYTES, node, valueInfo } from './onnx-graph.js'
import { channelsFirst, onnxMaps } from './onnx-maps.js'
import { onnxTable } from './onnx-table.js'

export interface OnnxModel {
  /** Units at every layer boundary. */
  readonly widths: readonly number[]
  /** Convolutions in front of the dense layers. Default: none. */
  readonly convolutions?: readonly Convolution[]
  readonly activation: Activation
  readonly norm: Pick<RunPlan['norm'], 'type' | 'epsilon'>
  /** Loss of the run; with `mean-squared-error`, outputs are not probabilities. */
  readonly loss: RunPlan['loss']
  /** Scaling of the features; null: the model takes pixels from 0 to 1. */
  readonly scaling: Scaling | null
  /** Shape of a sample; absent: numbers in a row. */
  readonly shape?: InputShape | undefined
  /** Encoding of a table's columns, which are then the model's inputs. */
  readonly table?: TableEncoding | undefined
  /** Names of the classes, labels or targets. */
  readonly outputNames: readonly string[]
  /** Default: classification. Of regression the last layer speaks in the units of the data. */
  readonly task?: Task
  readonly parameters: readonly NamedWeights[]
  readonly producerVersion: string
}

const IR_VERSION = 8
const OPSET = 13
const OPSET_OF_LAYER_NORM = 17
const FLOATS = 1
const INTS = 2
/** One operator, or a chain of them: from `x`, over names of its own, to `y`; numbers are constants. */
type Formula = string | readonly (readonly [operator: string, inputs: readonly (string | number)[], output: string])[]
const FORMULAS: Readonly<Record<Activation, Formula>> = {
  relu: 'Relu',
  'leaky-relu': 'LeakyRelu',
  elu: 'Elu',
  tanh: 'Tanh',
  sigmoid: 'Sigmoid',
  identity: 'Identity',
  silu: [
    ['Sigmoid', ['x'], 'gate'],
    ['Mul', ['x', 'gate'], 'y'],
  ],
  'scaled-tanh': [
    ['Mul', ['x', 2 / 3], 'scaled'],
    ['Tanh', ['scaled'], 'tanh'],
    ['Mul', ['tanh', 1.7159], 'y'],
  ],
  gelu: [
    ['Mul', ['x', 'x'], 'square'],
    ['Mul', ['square', 0.044715], 'part'],
    ['Add', ['part', 1], 'factor'],
    ['Mul', ['x', 'factor'], 'cubic'],
    ['Mul', ['cubic', Math.sqrt(2 / Math.PI)], 'inner'],
    ['Tanh', ['inner'], 'tanh'],
    ['Add', ['tanh', 1], 'gate'],
    ['Mul', ['x', 'gate'], 'twice'],
    ['Mul', ['twice', 0.5], 'y'],
  ],
}

export function encodeOnnx({
  widths,
  activation,
  norm,
  loss,
  outputNames,
  producerVersion,
  convolutions = [],
  ...model
}: OnnxModel): Uint8Array {
  const parameters = channelsFirst(foldBatchNorm(model.parameters, norm), convolutions)
  const size = parameters.reduce((sum, { data }) => sum + data.byteLength, 0)
  if (size > MOST_BYTES) {
    throw new ConfigError(`weights are ${size} bytes, expected at most ${MOST_BYTES} in ONNX`, {
      hint: '--format safetensors',
    })
  }
  const input = inputOf(model, widths[0])
  const convolved = convolutions.length
  const maps = convolved > 0 ? onnxMaps(convolutions, input.output, (from, to) => activate(activation, from, to)) : null
  const layers = widths.length - 1
  const output = loss === 'mean-squared-error' ? 'outputs' : 'probabilities'
  const nodes = Array.from({ length: layers - convolved }, (_, dense): Field[] => {
    const i = convolved + dense
    const last = i === layers - 1
    const from = dense === 0 ? (maps?.output ?? input.output) : `layers.${i - 1}`
    const sum = last && loss === 'mean-squared-error' ? output : `layers.${i}.sum`
    return [
      // Weights (outputs, inputs): OpenCV 4.6 refuses others that are not square.
      node('Gemm', [from, `layers.${i}.weight`, `layers.${i}.bias`], sum, integerAttribute('transB', 1)),
      ...(last
        ? sum === output
          ? []
          : [probabilities(loss, sum, output)]
        : norm.type === 'layer'
          ? [normalise(i, sum, norm.epsilon), ...activate(activation, `layers.${i}.normed`, `layers.${i}`)]
          : activate(activation, sum, `layers.${i}`)),
    ]
  }).flat()
  return encode(
    int(1, IR_VERSION),
    text(2, 'gradloom'),
    text(3, producerVersion),
    message(
      7,
      ...input.nodes,
      ...(maps?.nodes ?? []),
      ...nodes,
      text(2, 'gradloom'),
      ...[...parameters.map(transposed), ...constantsOf(activation)].map(tensor),
      ...input.constants,
      ...(maps?.constants ?? []),
      ...input.infos.map(info => message(11, ...info)),
      message(12, ...valueInfo(output, outputNames.length)),
    ),
    message(8, text(1, ''), int(2, norm.type === 'layer' ? OPSET_OF_LAYER_NORM : OPSET)),
    ...(input.usesMl ? [message(8, text(1, ML_DOMAIN), int(2, ML_OPSET))] : []),
    ...Object.entries({ ...outputNotes({ outputNames, ...model }), ...input.notes }).map(([key, note]) =>
      message(14, text(1, key), text(2, typeof note === 'string' ? note : JSON.stringify(note))),
    ),
  )
}

/** Inputs of the model, and the operators from them to the first layer. */
interface Input {
  readonly infos: readonly Field[][]
  readonly nodes: readonly Field[]
  readonly constants: readonly Field[]
  /** Name of what the first layer takes. */
  readonly output: string
  readonly usesMl: boolean
  /** Metadata. */
  readonly notes: Readonly<Record<string, unknown>>
}

/** Description of a model's input for its notes; `plain` where nothing else is to say. */
export function inputNote({ scaling, shape }: Pick<OnnxModel, 'scaling' | 'shape'>): string {
  const plain = scaling ? 'as in the data, neither shifted nor scaled' : 'bytes / 255, background 0, row by row'
  if (shape?.channels !== 3) return plain
  const order = `(height, width, channels) = (${shape.height}, ${shape.width}, 3), flat: row by row, red, green and blue of a pixel side by side`
  return `${scaling ? plain : 'bytes / 255'}; ${order}`
}

function inputOf({ scaling, table, shape }: Pick<OnnxModel, 'scaling' | 'table' | 'shape'>, size: number): Input {
  if (table) return tableInput(table)
  if (scaling) {
    return {
      infos: [valueInfo('features', size)],
      nodes: [node('Sub', ['features', 'input.offset'], 'shifted'), node('Mul', ['shifted', 'input.factor'], 'scaled')],
      constants: scalingArrays(scaling).map(tensor),
      ...{ output: 'scaled', usesMl: false, notes: { features: inputNote({ scaling, shape }) } },
    }
  }
  const notes = { pixels: inputNote({ scaling, shape }) }
  return { infos: [valueInfo('pixels', size)], nodes: [], constants: [], output: 'pixels', usesMl: false, notes }
}

function tableInput(table: TableEncoding): Input {
  const { inputs, part, features } = onnxTable(table)
  return {
    infos: inputs.map(({ input, type }) => valueInfo(input, 1, type)),
    ...{ nodes: part.nodes, constants: part.constants, output: features, usesMl: part.usesMl },
    notes: { inputs, encoding: table },
  }
}
const probabilities = (loss: RunPlan['loss'], from: string, to: string): Field =>
  loss === 'binary-cross-entropy' ? node('Sigmoid', [from], to) : node('Softmax', [from], to, axis(-1))

/** Metadata about the outputs. */
export function outputNotes({
  outputNames,
  task = 'classification',
}: Pick<OnnxModel, 'outputNames' | 'task'>): Readonly<Record<string, string | readonly string[]>> {
  switch (task) {
    case 'regression':
      return { targets: outputNames, outputs: 'numbers in the units of the data' }
    case 'multi-label':
      return { labels: outputNames, outputs: 'probability of each label, which is set above 0.5' }
    case 'classification':
      return { classes: outputNames }
  }
}

/** Offset and factor of the features: (F) each, `input.offset` and `input.factor`. */
export function scalingArrays(scaling: Scaling | null): NamedWeights[] {
  return Object.entries(scaling ?? {}).map(([name, values]) => {
    return { name: `input.${name}`, shape: [values.length], data: Float32Array.from(values) }
  })
}

/**
 * Weights and biases alone where they stood before batch norm, which with its running statistics is a factor and a summand
 * for each output. Other parameters as they are.
 */
export function foldBatchNorm(parameters: readonly NamedWeights[], norm: OnnxModel['norm']): readonly NamedWeights[] {
  if (!parameters.some(({ name }) => name.endsWith('.norm.mean'))) return parameters
  const of = (name: string) => parameters.find(parameter => parameter.name === name)?.data
  const hasMean = (name: string) => of(name.replace(/\.norm\.\w+$/, '.norm.mean')) !== undefined
  return parameters.flatMap(({ name, shape, data }) => {
    if (!name.startsWith('layers.')) return [{ name, shape, data }]
    const [, layer, kind] = /^layers\.(\d+)\.(weight|bias)$/.exec(name) ?? []
    if (kind === undefined) return hasMean(name) ? [] : [{ name, shape, data }]
    const part = (which: string) => of(`layers.${layer}.norm.${which}`)
    const [scale, shift, mean, variance] = ['scale', 'shift', 'mean', 'variance'].map(part)
    if (!scale || !shift || !mean || !variance) return [{ name, shape, data }] // the last layer has none
    const factor = (unit: number) => scale[unit] / Math.sqrt(variance[unit] + norm.epsilon)
    const values =
      kind === 'weight'
        ? data.map((value, i) => value * factor(i % scale.length))
        : data.map((value, unit) => (value - mean[unit]) * factor(unit) + shift[unit])
    return [{ name, shape, data: values }]
  })
}

function normalise(layer: number, from: string, epsilon: number): Field {
  const [scale, shift] = [`layers.${layer}.norm.scale`, `layers.${layer}.norm.shift`]
  const attribute = message(5, text(1, 'epsilon'), float(2, epsilon), int(20, FLOATS))
  return node('LayerNormalization', [from, scale, shift], `layers.${layer}.normed`, attribute)
}

function activate(activation: Activation, from: string, to: string): Field[] {
  const formula = FORMULAS[activation]
  // OpenCV 4.5 takes a missing alpha for 0, though 0.01 is ONNX's default.
  const attributes = activation === 'leaky-relu' ? [message(5, text(1, 'alpha'), float(2, 0.01), int(20, FLOATS))] : []
  if (typeof formula === 'string') return [node(formula, [from], to, ...attributes)]
  const name = (operand: string | number) =>
    typeof operand === 'number'
      ? constantName(operand)
      : operand === 'x'
        ? from
        : operand === 'y'
          ? to
          : `${to}.${operand}`
  return formula.map(([operator, inputs, output]) => node(operator, inputs.map(name), name(output)))
}

const constantName = (value: number): string => `constant.${value}`

/** Scalars, each once. */
function constantsOf(activation: Activation): NamedWeights[] {
  const formula = FORMULAS[activation]
  const operands = typeof formula === 'string' ? [] : formula.flatMap(([, inputs]) => inputs)
  const values = new Set(operands.filter(operand => typeof operand === 'number'))
  return [...values].map(value => ({ name: constantName(value), shape: [], data: Float32Array.of(value) }))
}

/** The weight matrix of a layer, (inputs, outputs), as (outputs, inputs); vectors and embeddings as they are. */
export function transposed({ name, shape, data }: NamedWeights): NamedWeights {
  if (shape.length !== 2 || !name.startsWith('layers.')) return { name, shape, data }
  const [inputs, outputs] = shape
  const values = new Float32Array(data.length)
  for (let i = 0; i < inputs; i++) for (let o = 0; o < outputs; o++) values[o * inputs + i] = data[i * outputs + o]
  return { name, shape: [outputs, inputs], data: values }
}

/** An integer attribute; -1 is the last axis, and ten bytes in protobuf. */
function axis(value: -1): Field {
  const minusOne = Uint8Array.of(0x18, ...new Array<number>(9).fill(0xff), 0x01) // field 3, varint, 2^64 - 1
  return value === -1 ? message(5, text(1, 'axis'), [minusOne], int(20, INTS)) : []
}

const tensor = ({ name, shape, data }: NamedWeights): Field => floatTensor(name, shape, data)
