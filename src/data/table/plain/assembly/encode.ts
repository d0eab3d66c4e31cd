/** Features of packed numbers without bins, as table/encode.ts makes them: standardised in f64, rounded to f32 once. */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.

// @ts-ignore: decorator
@inline const F32: u32 = 20
// @ts-ignore: decorator
@inline const F64: u32 = 21
// @ts-ignore: decorator
@inline const MISSING: i32 = i32.MIN_VALUE
// @ts-ignore: decorator
@inline const MAX_F32: f64 = 3.4028234663852886e38
// @ts-ignore: decorator
@inline const COLUMN_BYTES: usize = 48

/**
 * Encodes n rows of some columns; `rows`: u32 each, indices of their values. A column has COLUMN_BYTES: offset, factor, value of missing
 * ones, power of ten (f64 each); place of its values, packing, place of its feature in a row, 1 if an indicator follows that (u32 each).
 * `width`: features of a row at `to`. Overwrites the features of the columns. Returns 0 for a value that f32 cannot hold once it is
 * standardised, else 1.
 */
export function encode_numbers(columns: usize, count: i32, rows: usize, n: i32, to: usize, width: i32): i32 {
  const end = columns + <usize>count * COLUMN_BYTES
  const stride = <usize>width << 2
  for (; columns < end; columns += COLUMN_BYTES) {
    const offset = load<f64>(columns)
    const factor = load<f64>(columns, 8)
    const fill = load<f64>(columns, 16)
    const power = load<f64>(columns, 24)
    const values = <usize>load<u32>(columns, 32)
    const packing = load<u32>(columns, 36)
    const hasIndicator = load<u32>(columns, 44) != 0
    let next = to + (<usize>load<u32>(columns, 40) << 2)
    for (let i = 0; i < n; i++) {
      const row = <usize>load<u32>(rows + (<usize>i << 2))
      let value: f64
      let isMissing: bool
      if (packing < F32) {
        const integer = load<i32>(values + (row << 2))
        value = <f64>integer / power
        isMissing = integer == MISSING
      } else {
        value = packing == F64 ? load<f64>(values + (row << 3)) : <f64>load<f32>(values + (row << 2))
        isMissing = value != value
      }
      if (isMissing) value = fill
      const scaled = (value - offset) * factor
      if (!(abs(scaled) <= MAX_F32)) return 0
      store<f32>(next, <f32>scaled)
      if (hasIndicator) store<f32>(next, <f32>isMissing, 4)
      next += stride
    }
  }
  return 1
}
