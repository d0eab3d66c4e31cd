/**
 * Facts of columns of numbers: range, missing values, distinct values. These are what table/profile.ts takes of other tables: exact up to
 * MOST_COUNTED; above, values are kept whose hash begins with zeros.
 *
 * State of a column, STATE_BYTES: least and greatest value, number of missing ones, 1 if one is no integer (f64 each); mask of hashes,
 * number of values that are kept, logarithm of the slots that are used (u32 each). Its table has 2^LARGEST slots of 8 bytes: the bits of a
 * value plus 1; 0 is free.
 */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.

// @ts-ignore: decorator
@inline const MOST_COUNTED: u32 = 10_000
/** Bits by which the mask grows at once. */
// @ts-ignore: decorator
@inline const THINNED_BITS: u32 = 3
/** Logarithms of slots: the most, and the factor by which a table grows. */
// @ts-ignore: decorator
@inline const LARGEST: u32 = 14
// @ts-ignore: decorator
@inline const GROWTH: u32 = 5

// @ts-ignore: decorator
@inline const MISSING: usize = 16
// @ts-ignore: decorator
@inline const FRACTION: usize = 24
// @ts-ignore: decorator
@inline const MASK: usize = 32
// @ts-ignore: decorator
@inline const KEPT: usize = 36
// @ts-ignore: decorator
@inline const SLOTS: usize = 40

/** Hash of a value: the finalizer of MurmurHash3 spreads its bits. */
// @ts-ignore: decorator
@inline
function hashOf(bits: u64): u32 {
  let hash = <u32>bits ^ (<u32>(bits >>> 32) * 0x9e3779b1)
  hash ^= hash >>> 16
  hash *= 0x85ebca6b
  hash ^= hash >>> 13
  hash *= 0xc2b2ae35
  return hash ^ (hash >>> 16)
}

/** Adds `count` values to the facts; NaN is missing. `spare`: 2^LARGEST slots. */
export function look(values: usize, count: i32, state: usize, table: usize, spare: usize): void {
  let min = load<f64>(state)
  let max = load<f64>(state, 8)
  let missing: i32 = 0
  let isFraction = false
  let last: f64 = NaN
  let mask = load<u32>(state, MASK)
  const end = values + (<usize>count << 3)
  for (; values < end; values += 8) {
    const x = load<f64>(values)
    if (x == last) continue
    if (x != x) {
      missing++
      continue
    }
    last = x
    if (x < min) min = x
    if (x > max) max = x
    isFraction = isFraction || floor(x) != x
    const bits: u64 = x == 0 ? 0 : reinterpret<u64>(x) // -0 becomes 0
    const hash = hashOf(bits)
    if (hash & mask) continue
    if (keep(bits, hash, state, table, spare)) mask = load<u32>(state, MASK)
  }
  store<f64>(state, min)
  store<f64>(state, max, 8)
  store<f64>(state, load<f64>(state, MISSING) + <f64>missing, MISSING)
  if (isFraction) store<f64>(state, 1, FRACTION)
}

/** Adds values that another table of the column has kept by its mask. */
export function absorb(values: usize, count: i32, mask: u32, state: usize, table: usize, spare: usize): void {
  const own = load<u32>(state, MASK)
  if ((own | mask) != own) {
    store<u32>(state, own | mask, MASK)
    rebuild(state, table, spare, load<u32>(state, SLOTS))
  }
  const end = values + (<usize>count << 3)
  for (; values < end; values += 8) {
    const bits = load<u64>(values)
    const hash = hashOf(bits)
    if (hash & load<u32>(state, MASK)) continue
    keep(bits, hash, state, table, spare)
  }
}

/** Writes the values that are kept to `to`, in any order, and returns their number. */
export function take(state: usize, table: usize, to: usize): i32 {
  const end = table + (<usize>8 << load<u32>(state, SLOTS))
  const begin = to
  for (; table < end; table += 8) {
    const key = load<u64>(table)
    if (key == 0) continue
    store<u64>(to, key - 1)
    to += 8
  }
  return <i32>((to - begin) >>> 3)
}

/** True if the value is new. */
function keep(bits: u64, hash: u32, state: usize, table: usize, spare: usize): bool {
  const slots = load<u32>(state, SLOTS)
  if (!insert(bits + 1, hash, table, slots)) return false
  const kept = load<u32>(state, KEPT) + 1
  store<u32>(state, kept, KEPT)
  if (kept > MOST_COUNTED) {
    do {
      store<u32>(state, (load<u32>(state, MASK) << THINNED_BITS) | ((1 << THINNED_BITS) - 1), MASK)
      rebuild(state, table, spare, slots)
    } while (load<u32>(state, KEPT) > MOST_COUNTED)
  } else if (kept * 2 > <u32>1 << slots && slots < LARGEST) {
    rebuild(state, table, spare, min(slots + GROWTH, LARGEST))
  }
  return true
}

/** False if the value was there. The lowest bits are 0 in every hash that is kept after the first thinning: others give the place. */
// @ts-ignore: decorator
@inline
function insert(key: u64, hash: u32, table: usize, slots: u32): bool {
  const last = (<u32>1 << slots) - 1
  let place = table + (<usize>((hash >>> 12) & last) << 3)
  const end = table + (<usize>8 << slots)
  let found = load<u64>(place)
  while (found != 0 && found != key) {
    place += 8
    if (place == end) place = table
    found = load<u64>(place)
  }
  if (found == key) return false
  store<u64>(place, key)
  return true
}

/** Inserts the values whose hash has no bit of the mask into a table of 2^slots slots. */
function rebuild(state: usize, table: usize, spare: usize, slots: u32): void {
  const count = take(state, table, spare)
  const mask = load<u32>(state, MASK)
  memory.fill(table, 0, <usize>8 << slots)
  store<u32>(state, slots, SLOTS)
  let kept: u32 = 0
  const end = spare + (<usize>count << 3)
  for (; spare < end; spare += 8) {
    const bits = load<u64>(spare)
    const hash = hashOf(bits)
    if (hash & mask) continue
    insert(bits + 1, hash, table, slots)
    kept++
  }
  store<u32>(state, kept, KEPT)
}

/** Number of values that are NaN; -1 if one is infinite. */
export function count_nan(values: usize, count: i32): i32 {
  let found: i32 = 0
  const end = values + (<usize>count << 3)
  for (; values < end; values += 8) {
    const x = load<f64>(values)
    if (x - x == 0) continue
    if (x == x) return -1
    found++
  }
  return found
}
