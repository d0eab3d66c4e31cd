/** Writing protobuf messages: https://protobuf.dev/programming-guides/encoding/. Pure; any thread. */

const WIRE = { varint: 0, eightBytes: 1, bytes: 2, fourBytes: 5 } as const

export type Field = readonly Uint8Array[]

/** An integer from 0 on: int32, int64 or an enum. */
export const int = (field: number, value: number): Field => [varint(field * 8 + WIRE.varint), varint(value)]

/** Little-endian, as all numbers that are no varints. */
export function double(field: number, value: number): Field {
  const out = new DataView(new ArrayBuffer(8))
  out.setFloat64(0, value, true)
  return [varint(field * 8 + WIRE.eightBytes), new Uint8Array(out.buffer)]
}

export function float(field: number, value: number): Field {
  const out = new DataView(new ArrayBuffer(4))
  out.setFloat32(0, value, true)
  return [varint(field * 8 + WIRE.fourBytes), new Uint8Array(out.buffer)]
}

export const bytes = (field: number, value: Uint8Array): Field => [
  varint(field * 8 + WIRE.bytes),
  varint(value.length),
  value,
]

export const text = (field: number, value: string): Field => bytes(field, new TextEncoder().encode(value))

/** A message within a message. */
export const message = (field: number, ...fields: readonly Field[]): Field => bytes(field, encode(...fields))

export const encode = (...fields: readonly Field[]): Uint8Array => new Uint8Array(Buffer.concat(fields.flat()))

/** Seven bits a byte, the lowest first. */
function varint(value: number): Uint8Array {
  const out: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) + 128)
  return Uint8Array.from([...out, rest])
}
