/** Settings of tables in the section `data`: kinds of columns, missing values, categories, splits. Types and data only; any thread. */
import * as z from 'zod'
import { count, help, positive } from './fields.js'

export const KINDS = ['number', 'category', 'boolean', 'date', 'ignore'] as const

/** Most categories of a column with a feature each, unless the experiment says otherwise. */
export const MAX_CATEGORIES = 64
/** Features that the others are hashed into. */
export const BUCKETS = 32

const columnName = () => z.string().min(1).nullable().default(null)

const POLICIES = ['fill', 'row', 'error'] as const

const columnSettings = z.strictObject({
  kind: z.enum(KINDS).optional().meta(help('Kind of the column.')),
  missing: z.enum(POLICIES).optional().meta(help('Missing values of the column, instead of `data.missing`.')),
  dayFirst: z.boolean().optional().meta(help('Reading of its dates, instead of `data.table.dayFirst`.')),
})

export const columns = z
  .record(z.string(), z.union([z.enum(KINDS), columnSettings]))
  .default({})
  .meta(
    help(
      'Kinds of columns of a `table`, by name, instead of those that follow from the values: `number`; `category`, one ' +
        'feature for each; `boolean`; `date`, its position in the year, month, week and day, and elapsed time; `ignore`. Or an object for a column, ' +
        'with its `kind`, `missing` (as in `data.missing`) and `dayFirst` (as in `data.table`), each optional. See docs/tables.md.',
    ),
  )

const policy = () => z.enum(POLICIES).default('fill')

export const missing = z
  .strictObject({
    number: policy().meta(
      help(
        'Missing numbers and yes-or-no values. `fill`: the median of the training rows (the more frequent of yes and no), beside a ' +
          'feature that is 1 where the value is missing, if that occurs in the training rows. `row`: the row is left out. `error`: refused.',
      ),
    ),
    category: policy().meta(
      help('Missing categories. `fill`: a category of its own. `row` and `error` as for numbers.'),
    ),
    date: policy().meta(help('Missing dates. `fill`: as a number.')),
    target: z
      .enum(['row', 'error'])
      .default('row')
      .meta(help('Missing targets. `row`: the row is left out, and counted. `error`: refused.')),
  })
  .prefault({})
  .meta({ title: 'Missing values', description: 'What is done where a field of a `table` is empty.' })

export const categories = z
  .strictObject({
    max: count()
      .default(MAX_CATEGORIES)
      .meta(
        help('Most categories of a column that have a feature of their own: the most frequent in the training rows.'),
      ),
    buckets: z
      .int()
      .min(0)
      .default(BUCKETS)
      .meta(
        help(
          'Features that all other categories of such a column, including unknown ones, are hashed into. 0: they are zeros.',
        ),
      ),
    above: z
      .enum(['hash', 'embed'])
      .default('hash')
      .meta(
        help(
          'Encoding of columns with more than `max` categories. `hash`: as `buckets` says. `embed`: a learned vector for each category ' +
            'of at least two training rows, and one for all other values.',
        ),
      ),
    embeddingSize: count()
      .nullable()
      .default(null)
      .meta(
        help(
          "Length of the vectors of `embed`. null: 1.6 · n^0.56 for n categories (fastai's rule), at most 50: 6 for 10, 21 for 100, 50 for 500 and more.",
        ),
      ),
  })
  .prefault({})
  .meta({ title: 'Categories', description: 'Columns of a `table` with many different values.' })

export const numbers = z
  .strictObject({
    bins: z
      .union([z.literal('auto'), z.int().min(0).max(256)])
      .default(0)
      .meta(
        help(
          'Bins of every number, with about as many training rows in each: one more feature per bin, 0 below it, 1 above it and linear ' +
            'inside (piecewise linear encoding); none for columns with at most 8 different values. They let a small network learn thresholds and bends quickly. ' +
            '`auto`: 8, or as many as leave 5 training rows for each of these features; none if those are fewer than 2, and none for a number whose bins explain the target no better than a straight line (F test).',
        ),
      ),
    limit: positive()
      .nullable()
      .default(null)
      .meta(
        help(
          'Smooth limit of every standardised number: z becomes z / √(1 + (z / limit)²), nearly z near 0 and at most ±limit, so that outliers ' +
            'do not dominate (as in RealMLP, with 3). null: none.',
        ),
      ),
  })
  .prefault({})
  .meta({ title: 'Numbers', description: 'Columns of numbers of a `table`.' })

export const split = z
  .strictObject({
    column: columnName().meta(
      help(
        'Column that says `train`, `validation` or `test` for every row of a `table`. null: see `testFraction` and `validation`.',
      ),
    ),
    group: columnName().meta(
      help(
        'Column whose equal values stay together in one split, such as a customer: no group is both trained on and scored.',
      ),
    ),
    time: columnName().meta(
      help(
        'Column of dates or numbers whose latest rows are the test split, and the latest of the others the validation split.',
      ),
    ),
  })
  .prefault({})
  .meta({
    title: 'Splits',
    description:
      'How rows of a `table` are split; equally from each class if nothing is set. The splits are the same for every seed.',
  })

export const table = z
  .strictObject({
    delimiter: z
      .string()
      .regex(/^(auto|[\s\S])$/u, { error: 'one character, or "auto"' })
      .default('auto')
      .meta(help('Separator of fields in CSV files, one character. `auto`: detected, and reported.')),
    header: z
      .union([z.literal('auto'), z.boolean()])
      .default('auto')
      .meta(help('True if the first line of CSV files has the names of the columns. `auto`: detected, and reported.')),
    decimal: z
      .enum(['auto', '.', ','])
      .default('auto')
      .meta(
        help(
          'Decimal separator of CSV files. `auto`: a comma where fields have another separator and numbers have commas.',
        ),
      ),
    dayFirst: z
      .union([z.literal('auto'), z.boolean()])
      .default('auto')
      .meta(
        help(
          'True if 01/02/2020 is 1 February, false if it is 2 January. `auto`: decided where the dates of a column allow only one reading.',
        ),
      ),
  })
  .prefault({})
  .meta({ title: 'Files of tables', description: 'Form of CSV files.' })
