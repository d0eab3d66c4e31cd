/** Counts compared cases, keeps the first failures in full, and how near to its bound the worst number came. */
import { inspect } from 'node:util'
import type { Lab } from './lab.js'

/** Bounds on rounding errors of a backend. All zero for float64 against itself. */
export interface Precision {
  /** Unit roundoff: half the distance from 1 to the next number. */
  readonly u: number
  /** Relative error of exp, as the kernel's source states it. */
  readonly exp: number
  /** Bound on what flushing to zero may remove. */
  readonly tiny: number
}

export function precisionOf({ backend }: Lab): Precision {
  return backend.dtype === 'float32' ? { u: 2 ** -24, exp: 2e-7, tiny: 2 ** -125 } : { u: 0, exp: 0, tiny: 0 }
}

/** Rounding of one operation in float32. */
const F32 = { u: 2 ** -24 }

/** γ(n) = n·u / (1 - n·u), Higham: n roundings in a row change a number by no more than this share of it. */
export function gamma(n: number, { u }: Pick<Precision, 'u'> = F32): number {
  return (n * u) / (1 - n * u)
}

/** Methods of a tap test that it needs. */
interface Test {
  equal(got: unknown, want: unknown, message: string): unknown
  same(got: unknown, want: unknown, message: string): unknown
  comment(...text: string[]): void
}

/** The comparisons of one case. */
export interface Check {
  /** Every got[i] within bound(i) of want[i]; a NaN never is. */
  near(what: string, got: ArrayLike<number>, want: ArrayLike<number>, bound: (i: number) => number): void
  equal(what: string, got: unknown, want: unknown): void
}

export class Tally {
  #cases = 0
  #numbers = 0
  #worst = 0
  #failures = 0
  readonly #shown: string[] = []

  /** Begins a case; `name` has the kernel and the sizes, and begins its failure messages. */
  case(name: string): Check {
    this.#cases++
    const fail = (what: string) => {
      if (this.#failures++ < 5) this.#shown.push(`${name}: ${what}`)
    }
    return {
      near: (what, got, want, bound) => {
        if (got.length !== want.length) fail(`${what} has ${got.length} numbers, expected ${want.length}`)
        for (let i = 0; i < want.length; i++) {
          const error = Math.abs(got[i] - want[i])
          const limit = bound(i)
          if (!(error <= limit)) fail(`${what}[${i}] is ${got[i]}, expected ${want[i]}; error ${error}, bound ${limit}`)
          else if (error > 0) this.#worst = Math.max(this.#worst, error / limit)
          this.#numbers++
        }
      },
      equal: (what, got, want) => {
        if (!Object.is(got, want)) fail(`${what} is ${inspect(got)}, expected ${inspect(want)}`)
      },
    }
  }

  /** Asserts that no number failed, that every case ran and that numbers were compared. */
  finish(t: Test, cases: number): void {
    t.same(this.#shown, [], `${this.#failures} failures`)
    t.equal(this.#cases, cases, `${cases} cases ran`)
    t.equal(this.#numbers > cases / 2, true, 'they compared numbers')
    t.comment(`${this.#numbers} numbers; the worst error is ${this.#worst.toFixed(3)} of its bound`)
  }
}
