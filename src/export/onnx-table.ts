/**
 * Encoding of a table's columns as operators of ONNX: one input for each column, as the data have it, to the features of the
 * network. Computed in double and rounded to float once, as data/table/encode.ts does. Pure; any thread.
 *
 * Letters: `B` rows, `F` features of one, `K` features of a column that are 1 for one value each.
 */
import type {
  BooleanEncoding,
  CategoryEncoding,
  ColumnEncoding,
  Cycle,
  DateEncoding,
  EmbeddedEncoding,
  FeatureKind,
  NumberEncoding,
  TableEncoding,
} from '../data/table/encoding.js'
import { type Element, GraphPart, integerAttribute, integersAttribute, textsAttribute } from './onnx-graph.js'

/** Description of an input, in the model's metadata. All inputs are (batch, 1). */
export interface OnnxInput {
  /** Name of the input: the column's, unless the model needs that name for something else. */
  readonly input: string
  readonly column: string
  readonly kind: FeatureKind
  readonly type: Element
  /** Meaning of the values. */
  readonly values: string
  /** Value that stands for a missing one. */
  readonly missing?: string
}

export interface OnnxTable {
  readonly inputs: readonly OnnxInput[]
  readonly part: GraphPart
  /** Name of the features (B, F), float. */
  readonly features: string
}

/** Names of everything but a column's input begin with one of these, or are one of these; nothing is called ''. */
const RESERVED =
  /^$|^(columns|layers|embeddings|input|constant)\.|^(features|pixels|scaled|shifted|outputs|probabilities|__proto__)$/

export function onnxTable({ columns }: Pick<TableEncoding, 'columns'>): OnnxTable {
  const part = new GraphPart('columns.')
  const names = inputNames(columns)
  const parts = columns.map((encoding, i) => encodeColumn(part, encoding, names[i]))
  const features = part.add(
    'Concat',
    parts.flatMap(({ features }) => features),
    integerAttribute('axis', 1),
  )
  return { inputs: parts.flatMap(({ inputs }) => inputs), part, features }
}

/** Names of a column's input, of its bucket's, and of the matrix of its embedding. */
interface Names {
  readonly value: string
  readonly bucket: string
  readonly matrix: string
}

function inputNames(columns: readonly ColumnEncoding[]): Names[] {
  const taken = new Set(columns.map(({ column }) => column))
  const free = (name: string) => {
    let found = name
    for (let n = 2; taken.has(found); n++) found = `${name} ${n}`
    taken.add(found)
    return found
  }
  const embedded = columns.filter(({ kind }) => kind === 'embedding')
  return columns.map((encoding, i) => ({
    value: RESERVED.test(encoding.column) ? free(`column ${i + 1}`) : encoding.column,
    bucket: encoding.kind === 'category' && encoding.buckets > 0 ? free(`${encoding.column} bucket`.trim()) : '',
    matrix: `embeddings.${embedded.indexOf(encoding)}.weight`,
  }))
}

/** Inputs of a column, and names of its features, each (B, some), float, in the order of the encoding. */
interface EncodedColumn {
  readonly inputs: readonly OnnxInput[]
  readonly features: readonly string[]
}

function encodeColumn(part: GraphPart, encoding: ColumnEncoding, names: Names): EncodedColumn {
  switch (encoding.kind) {
    case 'number':
      return encodeNumber(part, encoding, names)
    case 'boolean':
      return encodeBoolean(part, encoding, names)
    case 'category':
      return encoding.numeric ? encodeCode(part, encoding, names) : encodeText(part, encoding, names)
    case 'embedding':
      return encodeEmbedding(part, encoding, names)
    case 'date':
      return encodeDate(part, encoding, names)
  }
}

const NUMBER = { type: 'double', missing: 'NaN' } as const

function encodeNumber(part: GraphPart, encoding: NumberEncoding, { value: input }: Names): EncodedColumn {
  const { column, kind, offset, factor, limit, knots, fill, indicator } = encoding
  const { value, missing } = filled(part, input, fill)
  const scaled = standardised(part, value, offset, factor)
  const features = [part.cast(limit === undefined ? scaled : limited(part, scaled, limit), 'float')]
  if (knots.length > 1) {
    const from = knots.slice(0, -1)
    const shifted = part.add('Sub', [value, part.double(from)])
    const share = part.add('Div', [shifted, part.double(from.map((knot, bin) => knots[bin + 1] - knot))])
    features.push(part.cast(part.add('Clip', [share, part.double(0), part.double(1)]), 'float'))
  }
  if (indicator) features.push(part.cast(missing, 'float'))
  return { inputs: [{ input, column, kind, ...NUMBER, values: 'a number as in the data' }], features }
}

/** z / √(1 + (z / limit)²), in the order of operations of data/table/encode.ts. */
function limited(part: GraphPart, z: string, limit: number): string {
  const share = part.add('Div', [z, part.double(limit)])
  const square = part.add('Mul', [share, share])
  return part.add('Div', [z, part.add('Sqrt', [part.add('Add', [part.double(1), square])])])
}

function encodeBoolean(part: GraphPart, encoding: BooleanEncoding, { value: input }: Names): EncodedColumn {
  const { column, kind, fill, indicator } = encoding
  const { value, missing } = filled(part, input, fill)
  const features = [part.cast(value, 'float'), ...(indicator ? [part.cast(missing, 'float')] : [])]
  return { inputs: [{ input, column, kind, ...NUMBER, values: '1 for yes, 0 for no' }], features }
}

/** A category of text: its place among the categories, then 1 at that place. */
function encodeText(part: GraphPart, encoding: CategoryEncoding, { value: input, bucket }: Names): EncodedColumn {
  const { categories, buckets, missing } = encoding
  const width = categories.length + buckets + (missing ? 1 : 0)
  const absent = absentText(categories)
  const places = [...categories.keys(), missing ? width - 1 : width]
  const index = textPlace(part, input, [...categories, absent], places, width + 1)
  const inputs: OnnxInput[] = [textInput(input, encoding, absent)]
  if (buckets === 0) return { inputs, features: [oneHot(part, index, width)] }
  const unknown = part.add('Equal', [index, part.int64(width + 1)])
  const place = part.add('Where', [unknown, bucketPlace(part, bucket, encoding), index])
  return { inputs: [...inputs, bucketInput(bucket, encoding)], features: [oneHot(part, place, width)] }
}

/** A category of numbers: 1 where it is equal to the category. */
function encodeCode(part: GraphPart, encoding: CategoryEncoding, { value: input, bucket }: Names): EncodedColumn {
  const { categories, buckets, missing } = encoding
  const isKnown = part.add('Equal', [input, part.double(categories.map(Number))]) // (B, K)
  const isMissing = part.add('IsNaN', [input])
  const known = part.cast(isKnown, 'float')
  const features = [known]
  const inputs: OnnxInput[] = [codeInput(input, encoding)]
  if (buckets > 0) {
    const place = part.add('Sub', [bucketPlace(part, bucket, encoding), part.int64(categories.length)])
    const hashed = oneHot(part, place, buckets)
    const found = part.add('ReduceMax', [known], integersAttribute('axes', [1]))
    const other = part.add('Sub', [part.cast(part.double(1), 'float'), found])
    const present = part.cast(part.add('Not', [isMissing]), 'float')
    features.push(part.add('Mul', [hashed, part.add('Mul', [other, present])]))
    inputs.push(bucketInput(bucket, encoding))
  }
  if (missing) features.push(part.cast(isMissing, 'float'))
  return { inputs, features }
}

/** A category as a row of an embedding: the vector of that row. */
function encodeEmbedding(part: GraphPart, encoding: EmbeddedEncoding, { value: input, matrix }: Names): EncodedColumn {
  const { categories, numeric, missing } = encoding
  const rows = Array.from(categories, (_, place) => 1 + place)
  const ofMissing = missing ? 1 + categories.length : 0
  const vector = (row: string) => part.add('Gather', [matrix, part.add('Reshape', [row, part.int64([-1])])]) // (B, size)
  if (numeric) {
    const isCategory = part.cast(part.add('Equal', [input, part.double(categories.map(Number))]), 'double') // (B, K)
    const known = part.add('MatMul', [isCategory, part.double(rows)]) // (B)
    const isMissing = part.add('Reshape', [part.cast(part.add('IsNaN', [input]), 'double'), part.int64([-1])])
    const row = part.add('Add', [known, part.add('Mul', [isMissing, part.double(ofMissing)])])
    return { inputs: [codeInput(input, encoding)], features: [vector(part.cast(row, 'int64'))] }
  }
  const absent = absentText(categories)
  const row = textPlace(part, input, [...categories, absent], [...rows, ofMissing], 0)
  return { inputs: [textInput(input, encoding, absent)], features: [vector(row)] }
}

/** Place (B, 1) of each text; `other` for one that is not in the list. */
const textPlace = (
  part: GraphPart,
  input: string,
  texts: readonly string[],
  places: readonly number[],
  other: number,
): string =>
  part.addMl(
    'LabelEncoder',
    [input],
    textsAttribute('keys_strings', texts),
    integersAttribute('values_int64s', places),
    integerAttribute('default_int64', other),
  )

const codeInput = (input: string, { column }: CategoryEncoding | EmbeddedEncoding): OnnxInput => ({
  ...{ input, column, kind: 'category', ...NUMBER, values: 'a number as in the data' },
})

const textInput = (input: string, { column }: CategoryEncoding | EmbeddedEncoding, missing: string): OnnxInput => ({
  ...{ input, column, kind: 'category', type: 'string', missing },
  values: 'a text as in the data, without spaces around it',
})

/** The empty text, unless it is a category. */
function absentText(categories: readonly string[]): string {
  let text = ''
  for (let n = 1; categories.includes(text); n++) text = `missing ${n}`
  return text
}

const bucketInput = (input: string, { column, kind, buckets }: CategoryEncoding): OnnxInput => ({
  ...{ input, column, kind, type: 'int64' },
  values: `bucket, 0 to ${buckets - 1}, of a value that is no category; any of them for others. docs/weights.md has the hash`,
})

/**
 * Place of a bucket among the column's features. Taken from a list, so that a number that is no bucket is an error of the runtime.
 */
function bucketPlace(part: GraphPart, bucket: string, { categories, buckets }: CategoryEncoding): string {
  const places = Array.from({ length: buckets }, (_, i) => categories.length + i)
  // Negative indices count from the end in ONNX.
  const isNegative = part.add('Less', [bucket, part.int64(0)])
  const index = part.add('Where', [isNegative, part.int64(buckets), bucket])
  return part.add('Gather', [part.int64(places), index])
}

/** 1 at the place that an index (B, 1) says, in `width` features; zeros for one beyond them. */
function oneHot(part: GraphPart, index: string, width: number): string {
  const places = part.int64(Array.from({ length: width }, (_, i) => i))
  return part.cast(part.add('Equal', [index, places]), 'float')
}

function filled(part: GraphPart, input: string, fill: number): { readonly value: string; readonly missing: string } {
  const missing = part.add('IsNaN', [input])
  return { value: part.add('Where', [missing, part.double(fill), input]), missing }
}

const standardised = (part: GraphPart, value: string, offset: number, factor: number): string =>
  part.add('Mul', [part.add('Sub', [value, part.double(offset)]), part.double(factor)])

function encodeDate(part: GraphPart, encoding: DateEncoding, { value: input }: Names): EncodedColumn {
  const { column, kind, cycles, elapsed, offset, factor, fill, indicator } = encoding
  const { value, missing } = filled(part, input, fill)
  const calendar = new Calendar(part, value)
  const features = cycles.flatMap(cycle => {
    const angle = part.cast(part.add('Mul', [calendar.phase(cycle), part.double(2 * Math.PI)]), 'float')
    return [part.add('Sin', [angle]), part.add('Cos', [angle])]
  })
  if (elapsed) features.push(part.cast(standardised(part, value, offset, factor), 'float'))
  if (indicator) features.push(part.cast(missing, 'float'))
  return { inputs: [{ input, column, kind, ...NUMBER, values: 'seconds since 1970-01-01 UTC' }], features }
}

const DAY = 86_400
/** 1970-01-01 was a Thursday; weeks begin on Monday. */
const FIRST_WEEKDAY = 3
/** Days from 0000-03-01, where the leap day is the last of its year, to 1970-01-01. */
const DAYS_BEFORE_1970 = 719_468
/** Days of 400 years, of 100 without a leap year at their end, and of four. */
const [DAYS_OF_400, DAYS_OF_100, DAYS_OF_4] = [146_097, 36_524, 1460]
/** Days of the months from March on, without a leap day. */
const MONTHS = [31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 28]
/** Days from March to December, and of January and February without a leap day. */
const [TO_JANUARY, TO_MARCH] = [306, 59]

/**
 * Positions of times in cycles, by arithmetic in double that is exact: days become dates as in
 * https://howardhinnant.github.io/date_algorithms.html#civil_from_days.
 */
class Calendar {
  readonly #part: GraphPart
  /** Days since 1970, whole, and the part of the day that has passed. */
  readonly #day: string
  readonly #time: string

  constructor(part: GraphPart, seconds: string) {
    this.#part = part
    this.#day = this.#over(seconds, DAY)
    this.#time = part.add('Div', [part.add('Sub', [seconds, this.#times(this.#day, DAY)]), part.double(DAY)])
  }

  /** From 0 to below 1, as `phaseOf` of data/table/dates.ts. */
  phase(cycle: Cycle): string {
    const part = this.#part
    switch (cycle) {
      case 'day':
        return this.#time
      case 'hour':
        return this.#modulo(this.#times(this.#time, 24), 1)
      case 'week': {
        const weekday = this.#modulo(part.add('Add', [this.#day, part.double(FIRST_WEEKDAY)]), 7)
        return part.add('Div', [part.add('Add', [weekday, this.#time]), part.double(7)])
      }
      case 'month': {
        const { dayOfMonth, month, isLeap } = this.#date()
        const lengths = part.double(MONTHS)
        const isFebruary = this.#isEqual(month, MONTHS.length - 1)
        const length = part.add('Add', [
          part.add('Gather', [lengths, part.cast(month, 'int64')]),
          part.add('Mul', [isFebruary, isLeap]),
        ])
        return part.add('Div', [part.add('Add', [dayOfMonth, this.#time]), length])
      }
      case 'year': {
        const { dayFromMarch, isEarly, isLeap } = this.#date()
        const late = part.add('Add', [part.add('Add', [dayFromMarch, part.double(TO_MARCH)]), isLeap])
        const early = part.add('Sub', [dayFromMarch, part.double(TO_JANUARY)])
        const day = part.add('Where', [isEarly, early, late])
        const length = part.add('Add', [part.double(365), isLeap])
        return part.add('Div', [part.add('Add', [day, this.#time]), length])
      }
    }
  }

  /** Date of the day: months from March on, days from 0; `isLeap` is 1 or 0, `isEarly` true in January and February. */
  #date() {
    const part = this.#part
    const days = part.add('Add', [this.#day, part.double(DAYS_BEFORE_1970)])
    const dayOfEra = this.#modulo(days, DAYS_OF_400)
    // Days without those that are more than 365 of a year, or fewer.
    const leaps = part.add('Sub', [
      part.add('Add', [this.#over(dayOfEra, DAYS_OF_4), this.#over(dayOfEra, DAYS_OF_400 - 1)]),
      this.#over(dayOfEra, DAYS_OF_100),
    ])
    const year = this.#over(part.add('Sub', [dayOfEra, leaps]), 365)
    const before = part.add('Sub', [
      part.add('Add', [this.#times(year, 365), this.#over(year, 4)]),
      this.#over(year, 100),
    ])
    const dayFromMarch = part.add('Sub', [dayOfEra, before])
    const month = this.#over(part.add('Add', [this.#times(dayFromMarch, 5), part.double(2)]), 153)
    const beforeMonth = this.#over(part.add('Add', [this.#times(month, 153), part.double(2)]), 5)
    const dayOfMonth = part.add('Sub', [dayFromMarch, beforeMonth])
    const isEarly = part.add('Less', [part.double(9), month])
    const yearOfJanuary = part.add('Add', [year, part.cast(isEarly, 'double')])
    const isMultiple = (of: number) => this.#isEqual(this.#modulo(yearOfJanuary, of), 0)
    const isLeap = part.add('Add', [part.add('Sub', [isMultiple(4), isMultiple(100)]), isMultiple(400)])
    return { dayFromMarch, month, dayOfMonth, isEarly, isLeap }
  }

  #times(value: string, factor: number): string {
    return this.#part.add('Mul', [value, this.#part.double(factor)])
  }

  /** Whole quotient, towards minus infinity. */
  #over(value: string, divisor: number): string {
    return this.#part.add('Floor', [this.#part.add('Div', [value, this.#part.double(divisor)])])
  }

  #modulo(value: string, divisor: number): string {
    return this.#part.add('Sub', [value, this.#times(this.#over(value, divisor), divisor)])
  }

  /** 1 where it is equal, else 0. */
  #isEqual(value: string, to: number): string {
    return this.#part.cast(this.#part.add('Equal', [value, this.#part.double(to)]), 'double')
  }
}
