/** Dictionaries of text columns: one for the codes of several chunks, and one for some rows alone. Pure; any thread. */
import type { ColumnValues } from './columns.js'

/** Dictionary that takes in the texts of others, in the order in which they come. */
export class GrowingDictionary {
  readonly texts: string[] = []
  readonly #codes = new Map<string, number>()

  /** Writes codes of another dictionary as codes of this one to `into`, from `at` on; -1 stays. */
  append(codes: Int32Array, dictionary: readonly string[], into: Int32Array, at: number): void {
    const codeOf = Int32Array.from(dictionary, text => {
      const known = this.#codes.get(text)
      if (known !== undefined) return known
      const code = this.texts.push(text) - 1
      this.#codes.set(text, code)
      return code
    })
    for (let i = 0; i < codes.length; i++) into[at + i] = codes[i] < 0 ? -1 : codeOf[codes[i]]
  }
}

/** Largest number of texts per row with which an array maps codes to codes faster than a map. */
const FEW_TEXTS = 4

/** Text column whose dictionary has the texts of these codes alone, in the order in which they first occur. */
export function withOwnDictionary(
  codes: Int32Array,
  dictionary: readonly string[],
): Extract<ColumnValues, { readonly type: 'text' }> {
  const texts: string[] = []
  const own = new Int32Array(codes.length)
  if (dictionary.length <= FEW_TEXTS * codes.length) {
    // Code + 1 of each text; 0: it has none yet.
    const codeOf = new Int32Array(dictionary.length)
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i]
      if (code >= 0 && codeOf[code] === 0) codeOf[code] = texts.push(dictionary[code])
      own[i] = code < 0 ? -1 : codeOf[code] - 1
    }
    return { type: 'text', codes: own, dictionary: texts }
  }
  const codeOf = new Map([[-1, -1]])
  for (let i = 0; i < codes.length; i++) {
    let code = codeOf.get(codes[i])
    if (code === undefined) {
      code = texts.push(dictionary[codes[i]]) - 1
      codeOf.set(codes[i], code)
    }
    own[i] = code
  }
  return { type: 'text', codes: own, dictionary: texts }
}

/** Rows [from, to) of a column, its own dictionary for a text column. */
export function rowsOf(values: ColumnValues, from: number, to?: number): ColumnValues {
  if (values.type !== 'text') return { ...values, values: values.values.subarray(from, to) }
  return withOwnDictionary(values.codes.subarray(from, to), values.dictionary)
}
