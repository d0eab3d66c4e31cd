/**
 * A network as the state dictionary of PyTorch's `nn.Sequential`: tensors by the places of its modules, channels first, and the Python
 * that makes the module. Pure; any thread.
 */
import { ConfigError } from '../errors.js'
import { FACTS } from '../formats/npz-facts.js'
import type { Activation } from '../model/activation.js'
import { kernelShape, turnKernel, turnRows } from '../model/channels-first.js'
import { type Convolution, outputOf, type Window } from '../model/convolution.js'
import type { NamedWeights } from '../run/checkpoint-file.js'
import { inputNote, type OnnxModel, outputNotes, transposed } from './onnx.js'
import { padsOf } from './onnx-maps.js'

export interface PytorchModel extends OnnxModel {
  /** Dropout behind each hidden block, convolutions first. */
  readonly dropout: readonly number[]
  readonly normMomentum: number
}

const ACTIVATIONS: Readonly<Record<Activation, string | null>> = {
  ...{ relu: 'nn.ReLU()', 'leaky-relu': 'nn.LeakyReLU(0.01)', elu: 'nn.ELU()', silu: 'nn.SiLU()', tanh: 'nn.Tanh()' },
  ...{ gelu: "nn.GELU(approximate='tanh')", sigmoid: 'nn.Sigmoid()', identity: 'nn.Identity()', 'scaled-tanh': null },
}

/** A module, and its tensors by their names in it. */
interface Module {
  readonly python: string
  readonly tensors?: Readonly<Record<string, NamedWeights>>
}

export interface StateDictionary {
  /** `<place>.<name>`: shapes as PyTorch has them. */
  readonly tensors: readonly NamedWeights[]
  readonly metadata: Readonly<Record<string, string>>
}

/** `facts` describe the model for a reader of this program. Throws ConfigError for an activation that torch.nn has not. */
export function stateDictionary(model: PytorchModel, facts: object): StateDictionary {
  const activation = ACTIVATIONS[model.activation]
  if (activation === null) {
    throw new ConfigError(
      `export: model.activation is "${model.activation}", expected one that torch.nn has as a module`,
      {
        hint: '--format npz has the weights alone',
      },
    )
  }
  const modules = model.widths.slice(1).flatMap((_, block) => blockOf(model, block, activation))
  const { convolutions = [], shape, scaling } = model
  const maps = convolutions[0]?.window.input
  const input = maps ? `(batch, ${maps.channels}, ${maps.height}, ${maps.width})` : `(batch, ${model.widths[0]})`
  return {
    tensors: modules.flatMap(({ tensors = {} }, place) =>
      Object.entries(tensors).map(([name, { shape, data }]) => ({ name: `${place}.${name}`, shape, data })),
    ),
    metadata: {
      format: 'pt',
      network: `nn.Sequential(${modules.map(({ python }) => python).join(', ')})`,
      input: `${input}, ${maps && !scaling ? 'bytes / 255' : scaling ? '(x - offset) * factor, see gradloom.input.scaling' : inputNote({ scaling, shape })}`,
      activation: LAST[model.loss],
      ...Object.fromEntries(
        Object.entries(outputNotes(model)).map(([key, note]) => [
          key,
          typeof note === 'string' ? note : JSON.stringify(note),
        ]),
      ),
      [FACTS]: JSON.stringify(facts),
    },
  }
}

/** Functions that make answers of the module's outputs, by loss. */
const LAST: Readonly<Record<OnnxModel['loss'], string>> = {
  'cross-entropy': 'the outputs are logits: softmax makes probabilities of them',
  'binary-cross-entropy': 'the outputs are logits: sigmoid makes probabilities of them',
  'mean-squared-error': 'the outputs are the answers',
}

function blockOf(model: PytorchModel, block: number, activation: string): Module[] {
  const { convolutions = [], widths, dropout } = model
  const convolution = convolutions[block]
  if (block === widths.length - 2) return [linear(model, block)]
  const rate = dropout[block] ?? 0
  const { pool } = convolution ?? {}
  const side = pool?.window.size
  return [
    ...(convolution ? convolved(model, convolution, block) : [linear(model, block)]),
    ...normalised(model, block),
    { python: activation },
    ...(pool ? [{ python: `nn.${pool.type === 'max' ? 'MaxPool2d' : 'AvgPool2d'}(${side})` }] : []),
    ...(rate > 0 ? [{ python: `nn.Dropout(${rate})` }] : []),
    ...(block === convolutions.length - 1 ? [{ python: 'nn.Flatten()' }] : []),
  ]
}

const parameterOf = ({ parameters }: OnnxModel, name: string) => parameters.find(each => each.name === name)

function linear(model: PytorchModel, block: number): Module {
  const { widths, convolutions = [] } = model
  const weight = parameterOf(model, `layers.${block}.weight`)!
  const { name, shape, data } = weight
  const isBehindMaps = block > 0 && block === convolutions.length
  const rows = isBehindMaps
    ? { name, shape, data: turnRows(data, outputOf(convolutions[block - 1]), shape[1], 'last') }
    : weight
  return {
    python: `nn.Linear(${widths[block]}, ${widths[block + 1]})`,
    tensors: { weight: transposed(rows), bias: parameterOf(model, `layers.${block}.bias`)! },
  }
}

/** PyTorch pads both sides alike; where they differ, zeros are a module of their own. */
function convolved(model: PytorchModel, { window }: Convolution, block: number): Module[] {
  const { size, stride, input, output } = window
  const [top, left, bottom, right] = padsOf(window)
  const isEven = top === bottom && left === right
  const padding = isEven && (top > 0 || left > 0) ? `, padding=${top === left ? top : `(${top}, ${left})`}` : ''
  const step = stride > 1 ? `, stride=${stride}` : ''
  const before = isEven ? [] : [{ python: `nn.ZeroPad2d((${left}, ${right}, ${top}, ${bottom}))` }]
  return [
    ...before,
    {
      python: `nn.Conv2d(${input.channels}, ${output.channels}, ${size}${step}${padding})`,
      tensors: { weight: kernelOf(model, window, block), bias: parameterOf(model, `layers.${block}.bias`)! },
    },
  ]
}

function kernelOf(model: PytorchModel, { size, input: { channels } }: Window, block: number): NamedWeights {
  const { name, shape, data } = parameterOf(model, `layers.${block}.weight`)!
  const kernel = { size, channels }
  return { name, shape: kernelShape(kernel, shape[1]), data: turnKernel(data, kernel, shape[1], 'last') }
}

function normalised(model: PytorchModel, block: number): Module[] {
  const { norm, normMomentum, convolutions = [] } = model
  const of = (kind: string) => parameterOf(model, `layers.${block}.norm.${kind}`)
  const [scale, shift, mean, variance] = ['scale', 'shift', 'mean', 'variance'].map(of)
  if (!scale || !shift) return []
  const units = scale.shape[0]
  if (!mean || !variance) {
    return [{ python: `nn.LayerNorm(${units}, eps=${norm.epsilon})`, tensors: { weight: scale, bias: shift } }]
  }
  return [
    {
      python: `nn.BatchNorm${convolutions[block] ? 2 : 1}d(${units}, eps=${norm.epsilon}, momentum=${normMomentum})`,
      tensors: { weight: scale, bias: shift, running_mean: mean, running_var: variance },
    },
  ]
}
