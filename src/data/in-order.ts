/** Work on items, several at a time, whose results are taken in the order of the items. Pure; any thread. */

/**
 * Starts work on at most `atOnce` items, and takes each result when those before it have been taken. The first item in order that
 * fails is the one whose error is thrown, after the work that has begun has ended: nothing depends on timing.
 */
export async function inOrder<Item, Result>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item) => Promise<Result>,
  take: (result: Result, index: number) => void,
): Promise<void> {
  const begun: Promise<PromiseSettledResult<Result>>[] = []
  let started = 0
  for (let index = 0; index < items.length; index++) {
    while (started < items.length && started < index + atOnce) begun.push(settled(work(items[started++])))
    const result = await begun.shift()!
    if (result.status === 'rejected') {
      await Promise.all(begun)
      throw result.reason
    }
    take(result.value, index)
  }
}

const settled = async <Result>(work: Promise<Result>): Promise<PromiseSettledResult<Result>> =>
  (await Promise.allSettled([work]))[0]

/**
 * A budget that holders share, first come, first served. `acquire` waits until there is room for `amount`, or nobody else holds any,
 * and returns what gives it back.
 */
export class Budget {
  #free: number
  #holders = 0
  readonly #waiting: { readonly amount: number; readonly go: () => void }[] = []

  constructor(total: number) {
    this.#free = total
  }

  async acquire(amount: number): Promise<() => void> {
    if (this.#waiting.length > 0 || !this.#fits(amount)) {
      await new Promise<void>(go => this.#waiting.push({ amount, go }))
    } else this.#take(amount)
    return () => {
      this.#free += amount
      this.#holders--
      for (let next = this.#waiting[0]; next && this.#fits(next.amount); next = this.#waiting[0]) {
        this.#waiting.shift()
        this.#take(next.amount)
        next.go()
      }
    }
  }

  #fits(amount: number): boolean {
    return this.#holders === 0 || amount <= this.#free
  }

  #take(amount: number): void {
    this.#free -= amount
    this.#holders++
  }
}
