/**
 * Records of plain delimited text as numbers: what plain/parse.ts documents, for the fields that nearly all tables are made of. Texts
 * and unusual numbers are read by functions that the caller gives.
 */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.

/** Reads a number that is not plain, and returns the place of the byte that follows it. */
// @ts-ignore: decorator
@external('fields', 'number')
declare function otherNumber(begin: usize, column: i32, row: i32): usize
/** Reads a text, and returns the place of the byte that follows it. */
// @ts-ignore: decorator
@external('fields', 'text')
declare function textField(begin: usize, column: i32, row: i32): usize

// @ts-ignore: decorator
@inline const LF: u8 = 10
// @ts-ignore: decorator
@inline const CR: u8 = 13
// @ts-ignore: decorator
@inline const MINUS: u8 = 45
// @ts-ignore: decorator
@inline const ZERO: u8 = 48

/** Digits that an integer in f64 has room for, whatever they are. */
// @ts-ignore: decorator
@inline const MOST_DIGITS: usize = 15

/** Result when the records are not plain. */
// @ts-ignore: decorator
@inline const NOT_PLAIN = -1

/**
 * Parses the records that begin in bytes [from, to). `isText`: a byte for each column; `offsets`: an i32 for each, the index of its first
 * value in `numbers`, which has room for `most` rows. `powers`: 10^0 to 10^22. Returns the number of rows, or NOT_PLAIN. Overwrites
 * `ends`: place after the last record, lines that end in LF, and in CR and LF. `padded`: a byte for each column, set to 1 if it has
 * digits alone that begin with a zero. Reads up to 16 bytes behind the text.
 */
export function parse(
  from: usize, to: usize, columns: i32, most: i32, isText: usize, offsets: usize, numbers: usize, powers: usize,
  delimiter: u8, point: u8, ends: usize, padded: usize,
): i32 {
  const delimiters = i8x16.splat(delimiter)
  const feeds = i8x16.splat(LF)
  const returns = i8x16.splat(CR)
  const points = i8x16.splat(point)
  const last = columns - 1
  let at = from
  let row: i32 = 0
  let lf: i32 = 0
  let crlf: i32 = 0
  while (at < to) {
    if (columns > 1 && load<u8>(at) == LF) {
      at++
      lf++
      continue
    }
    if (row == most) return NOT_PLAIN
    for (let column = 0; column < columns; column++) {
      if (load<u8>(isText + column)) {
        at = textField(at, column, row)
      } else {
        const begin = at
        const negative = load<u8>(at) == MINUS
        at += <usize>negative
        const place = numbers + (<usize>(load<i32>(offsets + (<usize>column << 2)) + row) << 3)
        const bytes = v128.load(at)
        const isEnd = v128.or(v128.or(i8x16.eq(bytes, delimiters), i8x16.eq(bytes, feeds)), i8x16.eq(bytes, returns))
        const length = ctz(i8x16.bitmask(isEnd))
        let value: f64 = NaN
        let isDone = false
        if (<u32>(length - 1) < 8) {
          // Up to eight characters are one word.
          let word = v128.extract_lane<u64>(bytes, 0)
          const pointBits = i8x16.bitmask(i8x16.eq(bytes, points)) & ((1 << length) - 1)
          let digits = length
          let fraction: i32 = 0
          if (pointBits) {
            const before = ctz(pointBits)
            const mask: u64 = ((<u64>1) << (<u64>before << 3)) - 1
            word = (word & mask) | ((word >> 8) & ~mask)
            digits = length - 1
            fraction = digits - before
          }
          if (digits > 0) {
            const empty: u64 = <u64>(8 - digits) << 3
            word = (word << empty) ^ (<u64>0x3030303030303030 << empty)
            if (((word | (word + 0x7676767676767676)) & 0x8080808080808080) == 0) {
              word = (word * 2561) >> 8
              word = ((word & 0x00ff00ff00ff00ff) * 6553601) >> 16
              word = ((word & 0x0000ffff0000ffff) * 42949672960001) >> 32
              value = <f64><i32>word / load<f64>(powers + (<usize>fraction << 3))
              if (i8x16.extract_lane_u(bytes, 0) == ZERO && length > 1 && !pointBits && !negative) store<u8>(padded + column, 1)
              at += length
              isDone = true
            }
          }
        }
        if (!isDone) {
          let mantissa: i64 = 0
          let byte = load<u8>(at)
          const first = at
          while (byte - ZERO < 10) {
            mantissa = mantissa * 10 + <i64>(byte - ZERO)
            byte = load<u8>(++at)
          }
          let digits = at - first
          let fraction: usize = 0
          if (byte == point) {
            const after = at + 1
            byte = load<u8>(++at)
            while (byte - ZERO < 10) {
              mantissa = mantissa * 10 + <i64>(byte - ZERO)
              byte = load<u8>(++at)
            }
            fraction = at - after
            digits += fraction
          }
          const isPlain = byte == delimiter || byte == LF || byte == CR
          if (isPlain && digits - 1 < MOST_DIGITS) {
            value = <f64>mantissa / load<f64>(powers + (fraction << 3))
            if (load<u8>(first) == ZERO && digits > 1 && at - first == digits && !negative) store<u8>(padded + column, 1)
            isDone = true
          } else at = otherNumber(begin, column, row)
        }
        if (isDone) store<f64>(place, negative ? -value : value)
      }
      const end = load<u8>(at)
      if (column < last) {
        if (end != delimiter) return NOT_PLAIN
        at++
      } else if (end == LF) {
        at++
        lf++
      } else if (end == CR && load<u8>(at, 1) == LF) {
        at += 2
        crlf++
      } else return NOT_PLAIN
    }
    row++
  }
  store<u32>(ends, <u32>at)
  store<i32>(ends, lf, 4)
  store<i32>(ends, crlf, 8)
  return row
}
