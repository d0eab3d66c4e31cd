/**
 * Convolutions of an ONNX model: `Conv`, `MaxPool` and `AveragePool` over maps (batch, channels, height, width), from rows of pixels to the
 * rows that the first dense layer takes. Pure; any thread.
 */
import type { Field } from '../formats/protobuf.js'
import { kernelShape, turnKernel, turnRows } from '../model/channels-first.js'
import { type Convolution, outputOf, type Window } from '../model/convolution.js'
import type { NamedWeights } from '../run/checkpoint-file.js'
import { GraphPart, integerAttribute, integersAttribute, node } from './onnx-graph.js'

export interface OnnxMaps {
  readonly nodes: readonly Field[]
  readonly constants: readonly Field[]
  /** Name of the rows that the first dense layer takes. */
  readonly output: string
}

/** `activate` makes the nodes of the activation from one name to another. */
export function onnxMaps(
  convolutions: readonly Convolution[],
  from: string,
  activate: (from: string, to: string) => readonly Field[],
): OnnxMaps {
  const part = new GraphPart('maps.')
  const { height, width, channels } = convolutions[0].window.input
  // Pixels lie row by row, the channels of one side by side.
  const shape = channels === 1 ? [-1, 1, height, width] : [-1, height, width, channels]
  let at = part.add('Reshape', [from, part.int64(shape)])
  if (channels > 1) at = part.add('Transpose', [at], integersAttribute('perm', [0, 3, 1, 2]))
  const nodes: Field[] = []
  for (const [i, { window, pool }] of convolutions.entries()) {
    const [sum, activated] = [`layers.${i}.sum`, `layers.${i}${pool ? '.activated' : ''}`]
    const attributes = [integersAttribute('pads', padsOf(window)), ...windowAttributes(window)]
    nodes.push(node('Conv', [at, `layers.${i}.weight`, `layers.${i}.bias`], sum, ...attributes))
    nodes.push(...activate(sum, activated))
    at = activated
    if (pool) {
      at = `layers.${i}`
      nodes.push(
        node(pool.type === 'max' ? 'MaxPool' : 'AveragePool', [activated], at, ...windowAttributes(pool.window)),
      )
    }
  }
  const output = 'maps.rows'
  nodes.push(node('Flatten', [at], output, integerAttribute('axis', 1)))
  return { nodes: [...part.nodes, ...nodes], constants: part.constants, output }
}

const windowAttributes = ({ size, stride }: Window): Field[] => [
  integersAttribute('kernel_shape', [size, size]),
  integersAttribute('strides', [stride, stride]),
]

/** Zeros above, left, below, right. */
export function padsOf({ input, output, size, stride, top, left }: Window): number[] {
  const behind = (out: number, length: number, before: number) =>
    Math.max(0, (out - 1) * stride + size - length - before)
  return [top, left, behind(output.height, input.height, top), behind(output.width, input.width, left)]
}

/**
 * Weights of convolutions as (filters, channels, height, width); rows of the first dense layer, one for each value of the last maps, in the
 * order channel, row, column. Other parameters as they are.
 */
export function channelsFirst(
  parameters: readonly NamedWeights[],
  convolutions: readonly Convolution[],
): readonly NamedWeights[] {
  if (convolutions.length === 0) return parameters
  const last = outputOf(convolutions[convolutions.length - 1])
  return parameters.map(parameter => {
    const { name, shape, data } = parameter
    const layer = Number(/^layers\.(\d+)\.weight$/.exec(name)?.[1] ?? Number.NaN)
    const window = convolutions[layer]?.window
    if (window) {
      const kernel = { size: window.size, channels: window.input.channels }
      return { name, shape: kernelShape(kernel, shape[1]), data: turnKernel(data, kernel, shape[1], 'last') }
    }
    return layer === convolutions.length ? { name, shape, data: turnRows(data, last, shape[1], 'last') } : parameter
  })
}
