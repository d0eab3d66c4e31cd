/**
 * bfloat16, the upper half of a float32: half the bytes, the same range, 8 bits of precision; and reading of half
 * precision, which other programs write. Pure; any thread.
 */

/** Rounded to nearest, ties to even. Values must be finite. */
export function roundToBf16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  return Uint16Array.from(bits, word => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16)
}

/** Values in the bytes of a tensor, which may begin at any offset. */
export function floatsOf(bytes: Uint8Array, dtype: 'F32' | 'BF16'): Float32Array {
  const own = bytes.slice().buffer
  return dtype === 'F32' ? new Float32Array(own) : widenBf16(new Uint16Array(own))
}

/** Exact. */
export function widenBf16(halves: Uint16Array): Float32Array {
  const words = Uint32Array.from(halves, half => (half << 16) >>> 0)
  return new Float32Array(words.buffer)
}

/** 16-bit words in the bytes of a tensor, which may begin at any offset. */
export const halvesOf = (bytes: Uint8Array): Uint16Array => new Uint16Array(bytes.slice().buffer)

/** IEEE 754's half precision: 5 bits of exponent, 10 of fraction. Exact. */
export function widenF16(halves: Uint16Array): Float32Array {
  return Float32Array.from(halves, half => {
    const sign = half >>> 15 === 0 ? 1 : -1
    const exponent = (half >>> 10) & 0x1f
    const fraction = half & 0x3ff
    if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25))
  })
}
