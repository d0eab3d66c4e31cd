/** Numbers in as few bytes as give the same bits back, as table/packed.ts describes it. */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.

// @ts-ignore: decorator
@inline const MOST_POWER = 9
// @ts-ignore: decorator
@inline const F32 = 20
// @ts-ignore: decorator
@inline const F64 = 21
/** Integer that marks a missing value. */
// @ts-ignore: decorator
@inline const MISSING: i32 = i32.MIN_VALUE

/**
 * Packs `count` values: as integers by the first power of ten from `power` on that suits all of them, else as f32, else as f64. Overwrites
 * `to`, up to 8 bytes a value. Returns the packing.
 */
export function pack(values: usize, count: i32, to: usize, power: i32, powers: usize): i32 {
  for (; power <= MOST_POWER; power++) {
    if (packIntegers(values, count, load<f64>(powers + (<usize>power << 3)), to)) return power
  }
  if (packFloats(values, count, to)) return F32
  memory.copy(to, values, <usize>count << 3)
  return F64
}

/** False if a value is not an integer divided by the power, to the bit. */
function packIntegers(values: usize, count: i32, power: f64, to: usize): bool {
  const powers = f64x2.splat(power)
  const negativeZero = i64x2.splat(i64.MIN_VALUE)
  const pairs = count & ~1
  const end = values + (<usize>pairs << 3)
  while (values < end) {
    const value = v128.load(values)
    const integers = i32x4.trunc_sat_f64x2_s_zero(f64x2.nearest(f64x2.mul(value, powers)))
    const isSame = f64x2.eq(f64x2.div(f64x2.convert_low_i32x4_s(integers), powers), value)
    const isWrong = v128.or(i64x2.eq(value, negativeZero), isMissing(integers))
    if (i64x2.all_true(v128.andnot(isSame, isWrong))) {
      v128.store64_lane(to, integers, 0)
    } else if (!packInteger(load<f64>(values), power, to) || !packInteger(load<f64>(values, 8), power, to + 4)) {
      return false
    }
    values += 16
    to += 8
  }
  return pairs == count || packInteger(load<f64>(values), power, to)
}

/** Lanes of 64 bits: true where the integer is the one that marks a missing value. */
// @ts-ignore: decorator
@inline
function isMissing(integers: v128): v128 {
  return i64x2.eq(i64x2.extend_low_i32x4_s(integers), i64x2.splat(<i64>MISSING))
}

function packInteger(value: f64, power: f64, to: usize): bool {
  if (value != value) {
    store<i32>(to, MISSING)
    return true
  }
  const integer = <i32>nearest(value * power)
  if (<f64>integer / power != value || integer == MISSING) return false
  if (integer == 0 && reinterpret<u64>(value) != 0) return false // -0
  store<i32>(to, integer)
  return true
}

function packFloats(values: usize, count: i32, to: usize): bool {
  const end = values + (<usize>count << 3)
  for (; values < end; values += 8) {
    const value = load<f64>(values)
    const float = <f32>value
    if (<f64>float != value && value == value) return false
    store<f32>(to, float)
    to += 4
  }
  return true
}
