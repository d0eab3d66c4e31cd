/**
 * Parts of an ONNX model as protobuf messages: tensors, attributes, nodes, and a graph that grows by one operator after the
 * other. Field numbers are those of onnx.proto3. Pure; any thread.
 */
import { bytes, type Field, int, message, text } from '../formats/protobuf.js'

/** Element types of tensors by their numbers in TensorProto.DataType. */
const ELEMENT = { float: 1, int64: 7, string: 8, double: 11 } as const
export type Element = keyof typeof ELEMENT

/** Types of attributes by their numbers in AttributeProto.AttributeType. */
const ATTRIBUTE = { float: 1, int: 2, ints: 7, strings: 8 } as const

/** Domain of operators for the features of classical machine learning, and the version of it that is used. */
export const ML_DOMAIN = 'ai.onnx.ml'
export const ML_OPSET = 2

export function node(operator: string, inputs: readonly string[], output: string, ...attributes: readonly Field[]) {
  return message(
    1,
    ...inputs.map(name => text(1, name)),
    text(2, output),
    text(3, output),
    text(4, operator),
    ...attributes,
  )
}

/** An operator of `ai.onnx.ml`. */
export const mlNode = (
  operator: string,
  inputs: readonly string[],
  output: string,
  ...attributes: readonly Field[]
): Field => node(operator, inputs, output, ...attributes, text(7, ML_DOMAIN))

export const integerAttribute = (name: string, value: number): Field =>
  message(5, text(1, name), int(3, value), int(20, ATTRIBUTE.int))

export const integersAttribute = (name: string, values: readonly number[]): Field =>
  message(5, text(1, name), ...values.map(value => int(8, value)), int(20, ATTRIBUTE.ints))

export const textsAttribute = (name: string, values: readonly string[]): Field =>
  message(5, text(1, name), ...values.map(value => text(9, value)), int(20, ATTRIBUTE.strings))

export const floatTensor = (name: string, shape: readonly number[], { buffer, byteOffset, byteLength }: Float32Array) =>
  tensor('float', name, shape, new Uint8Array(buffer, byteOffset, byteLength))

/** Raw data: little-endian, row-major, as in files of ours. */
function tensor(element: Element, name: string, shape: readonly number[], raw: Uint8Array): Field {
  return message(5, ...shape.map(size => int(1, size)), int(2, ELEMENT[element]), text(8, name), bytes(9, raw))
}

/** Name, and a tensor type of (batch, size). */
export function valueInfo(name: string, size: number, element: Element = 'float'): Field[] {
  const shape = message(2, message(1, text(2, 'batch')), message(1, int(1, size)))
  return [text(1, name), message(2, message(1, int(1, ELEMENT[element]), shape))]
}

/** Nodes and constants under names that begin with `prefix`, which nothing else in the model may. */
export class GraphPart {
  readonly nodes: Field[] = []
  readonly constants: Field[] = []
  /** True once it has an operator of `ai.onnx.ml`. */
  usesMl = false
  readonly #known = new Map<string, string>()

  constructor(readonly prefix: string) {}

  /** Adds an operator; returns the name of its output. */
  add(operator: string, inputs: readonly string[], ...attributes: readonly Field[]): string {
    const output = `${this.prefix}${operator}.${this.nodes.length}`
    this.nodes.push(node(operator, inputs, output, ...attributes))
    return output
  }

  /** Adds an operator of `ai.onnx.ml`; returns the name of its output. */
  addMl(operator: string, inputs: readonly string[], ...attributes: readonly Field[]): string {
    const output = `${this.prefix}${operator}.${this.nodes.length}`
    this.usesMl = true
    this.nodes.push(mlNode(operator, inputs, output, ...attributes))
    return output
  }

  cast(from: string, to: Element): string {
    return this.add('Cast', [from], integerAttribute('to', ELEMENT[to]))
  }

  /** Name of a constant: a scalar for a number, else a vector. */
  double(values: number | readonly number[]): string {
    const list = typeof values === 'number' ? [values] : values
    return this.#constant('double', values, new Uint8Array(Float64Array.from(list).buffer))
  }

  /** As `double`, of integers. */
  int64(values: number | readonly number[]): string {
    const list = typeof values === 'number' ? [values] : values
    return this.#constant('int64', values, new Uint8Array(BigInt64Array.from(list, BigInt).buffer))
  }

  #constant(element: Element, values: number | readonly number[], raw: Uint8Array): string {
    const shape = typeof values === 'number' ? [] : [values.length]
    const key = `${element} (${shape}) ${values}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const name = `${this.prefix}constant.${this.#known.size}`
    this.#known.set(key, name)
    this.constants.push(tensor(element, name, shape, raw))
    return name
  }
}

/** Protobuf's own limit of a message, and so of a model, in bytes. */
export const MOST_BYTES = 2 ** 31 - 1
