/**
 * Pooling of the maps of one sample, as in module/assembly/maps.ts: the same operations in the same order on each number. Windows of 2 x 2
 * have code of their own, without loops. Pure; any thread.
 */
import {
  type Address,
  type Assembler,
  at,
  COMPARE,
  k,
  type Mask,
  merging,
  R8,
  R9,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
  RAX,
  RBP,
  RBX,
  RCX,
  RDX,
  type Register,
  RSI,
  type Vector,
  zeroing,
  zmm,
} from './assembler.js'
import { begin, type KernelCode } from './calling-convention.js'
import { VECTOR_BYTES } from './constants.js'
import { constant, real } from './emit-helpers.js'
import { POOL, POOL_BACKWARD } from './map-signatures.js'

const KEPT = [RBX, RBP, R12, R13, R14, R15] as const
/** The maps of a kernel: outputs or their deltas, values, deltas of values. */
const [OUT, X, DX] = [RCX, RDX, RSI]
/** Byte of 16 channels in a position, and what is left of vectors, columns and rows. */
const [COLUMN, VECTORS, ACROSS, DOWN] = [R8, R9, R10, R11]
/** Bytes from a position to the next and from a row of positions to the next; places in a window; what is left of it; free. */
const [POSITION, ROW, UPPER, LOWER, KX, KY, FREE] = [RBX, RBP, RAX, R12, R13, R14, R15]

type Sizes = 'outHeight' | 'outWidth' | 'width' | 'vectors' | 'size' | 'average'
/** Maps of values: the first position under a window, and the argument that has the bytes from position to position. */
type Maps<N extends string> = readonly [pointer: Register, position: N]
type Code<N extends string> = Pick<KernelCode<N | Sizes>, 'code' | 'load' | 'argument'>

/** Visits all windows, of each the channels 16 by 16. `OUT` points to the position of the window, `inputs` to its first value. */
function eachWindow<N extends string>(
  { code, load }: Code<N>,
  inputs: readonly Maps<N>[],
  outPosition: N,
  body: () => void,
): void {
  load(DOWN, 'outHeight')
  code.loop(DOWN, 1, () => {
    load(ACROSS, 'outWidth')
    code.loop(ACROSS, 1, () => {
      load(VECTORS, 'vectors')
      code.clear(COLUMN)
      code.loop(VECTORS, 4, () => {
        body()
        code.add(COLUMN, VECTOR_BYTES)
      })
      load(FREE, outPosition)
      code.add(OUT, FREE)
      for (const [pointer, position] of inputs) {
        load(FREE, 'size')
        load(ROW, position)
        code.multiply(FREE, ROW)
        code.add(pointer, FREE)
      }
    })
    // From the end of a row of windows to the next: size · (width - outWidth) positions.
    for (const [pointer, position] of inputs) {
      load(ROW, 'outWidth')
      code.imul(ROW, ROW, -1)
      load(FREE, 'width')
      code.add(FREE, ROW)
      for (const factor of ['size', position] as const) {
        load(ROW, factor)
        code.multiply(FREE, ROW)
      }
      code.add(pointer, FREE)
    }
  })
}

/** Strides of maps, and the place of the first value under the window. */
function enterWindow<N extends string>({ code, load }: Code<N>, [pointer, position]: Maps<N>): void {
  load(POSITION, position)
  load(ROW, 'width')
  code.multiply(ROW, POSITION)
  code.mov(UPPER, pointer)
  code.add(UPPER, COLUMN)
}

/** The places of the four values under a window of 2 x 2; valid until the next window is entered. */
function fourOf<N extends string>(kernel: Code<N>, maps: Maps<N>): readonly Address[] {
  enterWindow(kernel, maps)
  kernel.code.mov(LOWER, UPPER)
  kernel.code.add(LOWER, ROW)
  return [UPPER, LOWER].flatMap(row => [at(row), at(row, 0, POSITION)])
}

/** Visits the values under a window of any size, in turn. */
function eachValue<N extends string>(kernel: Code<N>, maps: Maps<N>, visit: (place: Address) => void): void {
  const { code, load } = kernel
  enterWindow(kernel, maps)
  load(KY, 'size')
  code.loop(KY, 1, () => {
    load(KX, 'size')
    code.mov(LOWER, UPPER)
    code.loop(KX, 1, () => {
      visit(at(LOWER))
      code.add(LOWER, POSITION)
    })
    code.add(UPPER, ROW)
  })
}

/** Emits code for a value of an argument and for all others. */
function choose<N extends string>(
  { code, load }: Code<N>,
  argument: Sizes,
  value: number,
  same: () => void,
  others: () => void,
): void {
  const test = () => {
    load(FREE, argument)
    code.add(FREE, -value)
  }
  test()
  code.ifZero(FREE, same)
  test()
  code.unlessZero(FREE, others)
}

/** 1 / size², exactly rounded: as in the module, where the quotient in f64 is rounded to f32. */
function loadShare<N extends string>({ code, argument }: Code<N>, share: Vector, scratch: Vector): void {
  code.vbroadcastss(share, argument('size'))
  code.vcvtdq2ps(share, share)
  code.vmulps(share, share, share)
  code.vbroadcastss(scratch, { ...real('one'), broadcast: false })
  code.vdivps(share, scratch, share)
}

/** Lanes where y is larger than the largest so far, or the first NaN; there y takes its place. */
function replaceLargest(code: Assembler, most: Vector, y: Vector, better: Mask): void {
  code.vcmpps(better, most, most, COMPARE.ordered)
  code.vcmpps(better, y, most, COMPARE.notLessOrEqual, better)
  code.vmovups(most, y, merging(better))
}

const [VALUE, Y, DELTA, LARGEST, INDEX, MINE, ONE, ZERO, SHARE] = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(zmm)

/** Pooling; arguments: POOL. */
export function pool(): Assembler {
  const kernel = begin(POOL)
  const { code, load } = kernel
  code.push(...KEPT)
  load(OUT, 'out')
  load(X, 'x')
  loadShare(kernel, SHARE, Y)
  const maps = [X, 'xPos'] as const
  const windows = (body: () => void) =>
    eachWindow(kernel, [maps], 'outPos', () => {
      body()
      code.vmovups(at(OUT, 0, COLUMN), VALUE)
    })
  const compare = (place: Address) => {
    code.vmovups(Y, place)
    replaceLargest(code, VALUE, Y, k(1))
  }
  const largest = () =>
    choose(
      ...([kernel, 'size', 2] as const),
      () =>
        windows(() => {
          const [first, ...others] = fourOf(kernel, maps)
          code.vmovups(VALUE, first)
          for (const place of others) compare(place)
        }),
      () =>
        windows(() => {
          code.vmovups(VALUE, at(X, 0, COLUMN))
          eachValue(kernel, maps, compare)
        }),
    )
  const mean = () =>
    windows(() => {
      code.vpxord(VALUE, VALUE, VALUE)
      eachValue(kernel, maps, place => code.vaddps(VALUE, VALUE, place))
      code.vmulps(VALUE, VALUE, SHARE)
    })
  choose(kernel, 'average', 0, largest, mean)
  code.pop(...KEPT)
  code.ret()
  return code
}

/** Backward pass of pooling; arguments: POOL_BACKWARD. */
export function poolBackward(): Assembler {
  const kernel = begin(POOL_BACKWARD)
  const { code, load } = kernel
  code.push(...KEPT)
  load(OUT, 'dz')
  load(X, 'x')
  load(DX, 'dx')
  loadShare(kernel, SHARE, Y)
  code.vbroadcastss(ONE, constant('one'))
  code.vpxord(ZERO, ZERO, ZERO)
  clearOutside(kernel)
  const [values, deltas] = [
    [X, 'xPos'],
    [DX, 'dxPos'],
  ] as const
  const windows = (body: () => void) =>
    eachWindow(kernel, [values, deltas], 'dzPos', () => {
      code.vmovups(DELTA, at(OUT, 0, COLUMN))
      body()
    })
  const largest = () =>
    choose(
      ...([kernel, 'size', 2] as const),
      () =>
        windows(() => {
          const [first, ...others] = fourOf(kernel, values)
          code.vmovups(VALUE, first)
          for (const [i, place] of others.entries()) {
            code.vmovups(Y, place)
            replaceLargest(code, VALUE, Y, k(i + 1))
          }
          // The last that took the place is the largest: it takes the delta from those before.
          const [zeroth, ...places] = fourOf(kernel, deltas)
          for (let i = places.length; i > 0; i--) {
            code.vmovups(MINE, DELTA, zeroing(k(i)))
            code.vmovups(places[i - 1], MINE)
            code.vmovups(DELTA, ZERO, merging(k(i)))
          }
          code.vmovups(zeroth, DELTA)
        }),
      () =>
        windows(() => {
          code.vmovups(VALUE, at(X, 0, COLUMN))
          for (const none of [LARGEST, INDEX]) code.vpxord(none, none, none)
          eachValue(kernel, values, place => {
            code.vmovups(Y, place)
            replaceLargest(code, VALUE, Y, k(1))
            code.vmovups(LARGEST, INDEX, merging(k(1)))
            code.vpaddd(INDEX, INDEX, ONE)
          })
          code.vpxord(INDEX, INDEX, INDEX)
          eachValue(kernel, deltas, place => {
            code.vpxord(Y, LARGEST, INDEX)
            code.vptestmd(k(1), Y, Y)
            code.vmovups(MINE, DELTA)
            code.vmovups(MINE, ZERO, merging(k(1)))
            code.vmovups(place, MINE)
            code.vpaddd(INDEX, INDEX, ONE)
          })
        }),
    )
  const mean = () =>
    windows(() => {
      code.vmulps(DELTA, DELTA, SHARE)
      eachValue(kernel, deltas, place => code.vmovups(place, DELTA))
    })
  choose(kernel, 'average', 0, largest, mean)
  code.pop(...KEPT)
  code.ret()
  return code
}

/** Deltas of values that lie under no window, right of them or below, are 0. */
function clearOutside({ code, load }: KernelCode<(typeof POOL_BACKWARD.arguments)[number]['name']>): void {
  const product = (to: Register, ...factors: readonly Parameters<typeof load>[1][]) => {
    const [first, ...others] = factors
    load(to, first)
    for (const factor of others) {
      load(FREE, factor)
      code.multiply(to, FREE)
    }
  }
  /** Clears ACROSS positions from UPPER on, and moves it behind them. */
  const clear = () =>
    code.loop(ACROSS, 1, () => {
      load(VECTORS, 'vectors')
      code.clear(COLUMN)
      code.loop(VECTORS, 4, () => {
        code.vmovups(at(UPPER, 0, COLUMN), ZERO)
        code.add(COLUMN, VECTOR_BYTES)
      })
      code.add(UPPER, POSITION)
    })
  load(POSITION, 'dxPos')
  const [right, covered] = [KX, KY]
  product(covered, 'outWidth', 'size')
  code.imul(right, covered, -1)
  load(FREE, 'width')
  code.add(right, FREE)
  code.multiply(covered, POSITION)
  code.unlessZero(right, () => {
    product(DOWN, 'outHeight', 'size')
    code.mov(UPPER, DX)
    code.loop(DOWN, 1, () => {
      code.add(UPPER, covered)
      code.mov(ACROSS, right)
      clear()
    })
  })
  product(ACROSS, 'outHeight', 'size')
  code.mov(UPPER, ACROSS)
  code.imul(ACROSS, ACROSS, -1)
  load(FREE, 'height')
  code.add(ACROSS, FREE)
  load(FREE, 'width')
  code.multiply(ACROSS, FREE)
  code.multiply(UPPER, FREE)
  code.multiply(UPPER, POSITION)
  code.add(UPPER, DX)
  code.unlessZero(ACROSS, clear)
}
