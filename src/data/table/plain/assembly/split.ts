/** Rows of a split, the same as data/split.ts chooses them, with the numbers of tensor/random.ts. */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.

// @ts-ignore: decorator
@inline const MULTIPLIER_0: u64 = 0xd2511f53
// @ts-ignore: decorator
@inline const MULTIPLIER_1: u64 = 0xcd9e8d57
// @ts-ignore: decorator
@inline const WEYL_0: u32 = 0x9e3779b9
// @ts-ignore: decorator
@inline const WEYL_1: u32 = 0xbb67ae85
// @ts-ignore: decorator
@inline const ROUNDS = 10

/** Overwrites four words at `out` with those of a counter whose last word is 0. */
function philox(out: usize, c0: u32, c1: u32, c2: u32, k0: u32, k1: u32): void {
  let c3: u32 = 0
  for (let round = 0; round < ROUNDS; round++) {
    const product0 = MULTIPLIER_0 * <u64>c0
    const product1 = MULTIPLIER_1 * <u64>c2
    c0 = <u32>(product1 >>> 32) ^ c1 ^ k0
    c1 = <u32>product1
    c2 = <u32>(product0 >>> 32) ^ c3 ^ k1
    c3 = <u32>product0
    k0 += WEYL_0
    k1 += WEYL_1
  }
  store<u32>(out, c0)
  store<u32>(out, c1, 4)
  store<u32>(out, c2, 8)
  store<u32>(out, c3, 12)
}

// @ts-ignore: decorator
@inline
function isFair(word: u32, n: u32): bool {
  const low = word * n
  return low >= n || low >= <u32>((<u64>0x100000000) % <u64>n)
}

// @ts-ignore: decorator
@inline
function scaled(word: u32, n: u32): u32 {
  return <u32>((<u64>word * <u64>n) >>> 32)
}

function redraw(words: usize, n: u32, i: u32, index: u32, k0: u32, k1: u32): u32 {
  let word: u32 = 0
  let at = words + 16
  let attempt: u32 = 0
  do {
    if (at == words + 16) {
      philox(words, i, ++attempt, index, k0, k1)
      at = words
    }
    word = load<u32>(at)
    at += 4
  } while (!isFair(word, n))
  return scaled(word, n)
}

/** Permutes n numbers of 32 bits, as tensor/random.ts permutes 0 to n - 1. `words`: room for four. */
function permute(items: usize, n: u32, index: u32, words: usize, k0: u32, k1: u32): void {
  for (let i = n - 1; <i32>i > 0; i--) {
    if (i == n - 1 || i % 4 == 3) philox(words, i >>> 2, 0, index, k0, k1)
    const word = load<u32>(words + (<usize>(i % 4) << 2))
    // Another draw has words of its own: the positions that follow read these.
    const j = isFair(word, i + 1) ? scaled(word, i + 1) : redraw(words + 16, i + 1, i, index, k0, k1)
    const a = items + (<usize>i << 2)
    const b = items + (<usize>j << 2)
    const moved = load<u32>(a)
    store<u32>(a, load<u32>(b))
    store<u32>(b, moved)
  }
}

/** Counts the labels of n rows (u32 each): overwrites `sizes` of the classes. `labels`: i32 of all rows of the table. */
export function count_labels(rows: usize, n: i32, labels: usize, sizes: usize, classes: i32): void {
  memory.fill(sizes, 0, <usize>classes << 2)
  for (let i = 0; i < n; i++) {
    const at = sizes + (<usize>load<i32>(labels + (<usize>load<u32>(rows + (<usize>i << 2)) << 2)) << 2)
    store<u32>(at, load<u32>(at) + 1)
  }
}

/**
 * Divides n rows: of each class as many as `wanted` has (u32), chosen at random, go to `second`, the others to `first`, both in order. `order`: n
 * numbers of 32 bits; `flags`: n bytes; `begins`: one number for each class; `words`: eight.
 */
export function divide(
  rows: usize, n: i32, labels: usize, sizes: usize, wanted: usize, classes: i32, order: usize, flags: usize,
  begins: usize, words: usize, k0: u32, k1: u32, first: usize, second: usize,
): void {
  let begin: u32 = 0
  for (let c: usize = 0; c < <usize>classes; c++) {
    store<u32>(begins + (c << 2), begin)
    begin += load<u32>(sizes + (c << 2))
  }
  for (let i = 0; i < n; i++) {
    const at = begins + (<usize>load<i32>(labels + (<usize>load<u32>(rows + (<usize>i << 2)) << 2)) << 2)
    const next = load<u32>(at)
    store<u32>(at, next + 1)
    store<i32>(order + (<usize>next << 2), i)
  }
  memory.fill(flags, 0, n)
  let items = order
  for (let c = 0; c < classes; c++) {
    const size = load<u32>(sizes + (<usize>c << 2))
    const chosen = load<u32>(wanted + (<usize>c << 2))
    if (chosen > 0) {
      permute(items, size, c, words, k0, k1)
      for (let i: usize = 0; i < <usize>chosen; i++) store<u8>(flags + load<u32>(items + (i << 2)), 1)
    }
    items += <usize>size << 2
  }
  for (let i = 0; i < n; i++) {
    const row = load<u32>(rows + (<usize>i << 2))
    const flag = <usize>load<u8>(flags + i)
    // Both are written, and one of the places moves on.
    store<u32>(first, row)
    store<u32>(second, row)
    first += (1 - flag) << 2
    second += flag << 2
  }
}
