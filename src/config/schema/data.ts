/** The section `data`: where the samples come from, and how they are split. Types and data only; any thread. */
import * as z from 'zod'
import { TASKS } from '../tasks.js'
import { column, count, DATASETS, fraction, help, OWN_TABLES } from './fields.js'
import { BUCKETS, categories, columns, MAX_CATEGORIES, missing, numbers, split, table } from './table.js'

/** Largest height and width of resized pictures: a layer on more pixels fits in no memory. */
const MOST_SIDE = 4096
const level = () => z.int().min(0).max(255)

export const data = z
  .strictObject({
    dataset: z
      .enum(DATASETS)
      .meta(
        help(
          'Data set. `digits` comes with gradloom, `mnist` and `fashion-mnist` are downloaded by `gradloom data fetch`. Your own data, at `path`: `idx`, a folder of IDX files; ' +
            '`table`, a table of columns: CSV, TSV, Parquet, JSON; `npz`, NumPy arrays; `images`, a folder of pictures (PNG, JPEG, WebP, AVIF, TIFF, GIF), one folder per class. `memory`: samples that a program passes to `train`.',
        ),
      ),
    path: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .meta(
        help(
          "Folder with the four IDX files under their usual names, gzipped or not; a table's file, a folder or a glob of such files; an .npz file or a folder of " +
            '.npy files; a folder of pictures. Relative paths start at the experiment file. null: look in the usual places.',
        ),
      ),
    testPath: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .meta(help('Test samples of `table` and `images`, in the same form as `path`. null: see `testFraction`.')),
    from: z
      .enum(['each', 'rank0'])
      .default('each')
      .meta(
        help(
          'Which processes read the data where a launcher of MPI started several that train one run. `each`: every one its own copy, at the same ' +
            'path, and all must be the same. `rank0`: the first, which sends the others what they need, for machines without a common file system.',
        ),
      ),
    testFraction: fraction()
      .gt(0)
      .default(0.2)
      .meta(
        help(
          'Fraction of the samples that becomes the test split, taken equally from each class, for `table`, `npz`, `images` and ' +
            '`memory` without test samples of their own. The split is the same for every seed.',
        ),
      ),
    task: z
      .enum(['auto', ...TASKS])
      .default('auto')
      .meta(
        help(
          'Prediction of a class (`classification`), of one or more independent yes/no labels (`multi-label`), or of one or more target ' +
            'values (`regression`). `auto`: for a `table` by the target column, classes for ' +
            'text, yes or no, and at most 20 different integers, values for other numbers; of several columns labels if all are yes or no, ' +
            'else values (`train.loss` and `train.labelSmoothing` then apply to classes only); elsewhere `classification`. ' +
            '`multi-label` and `regression` are for `table`, `npz` and `memory`. A label has one sigmoid output, the probability of yes; ' +
            'the loss is the mean over the labels of their binary cross-entropy. The loss of regression ' +
            'is the mean squared error. Targets are standardised by the mean and standard deviation of the training ' +
            'split, which are kept in checkpoints, and losses are those of standardised targets: 1 for a network that ' +
            'always predicts the mean. Predictions are in the units of the data.',
        ),
      ),
    normalise: z
      .enum(['auto', 'none', 'unit', 'standardise', 'standardise-channels'])
      .default('auto')
      .meta(
        help(
          'Scaling of every feature. `unit`: divide by 255. `standardise`: subtract the mean and divide by the standard deviation, ' +
            'both of the training split; a constant feature becomes 0. `standardise-channels`: the same with one mean and one deviation for each ' +
            'channel of all pixels, so that neighbouring pixels stay comparable. They are kept in checkpoints. `auto`: `unit` for ' +
            'grey images, `standardise-channels` for pictures in colour, `standardise` for numbers.',
        ),
      ),
    query: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .meta(
        help(
          'SQL statement (DuckDB) whose rows are the table; the view `data` has all rows of `path`, or of `testPath`. Its order of rows ' +
            'is the order of the samples: use ORDER BY where the statement groups or joins. null: all rows and columns.',
        ),
      ),
    target: z
      .union([column(), z.array(column()).min(1)])
      .nullable()
      .default(null)
      .meta(
        help(
          'Column of a `table` to predict, by name or by index from 0; an array of columns for several targets or labels. null: the last one.',
        ),
      ),
    weight: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .meta(
        help(
          'Column of a `table` with the weight of each training sample, >= 0, by name: its loss and gradient are multiplied by it, as by ' +
            '`train.classWeights`. It is not a feature, scores are not weighted, and files to score or to predict need no such column.',
        ),
      ),
    columns,
    missing,
    numbers,
    categories,
    split,
    stream: z
      .enum(['auto', 'always', 'never'])
      .default('auto')
      .meta(
        help(
          'Training features of a `table` in a temporary file of the run directory instead of in memory. Each epoch takes blocks of consecutive ' +
            'rows in a random order, and shuffles the rows of about 1,000 blocks at a time (docs/tables.md). `auto`: from 1 GiB of features on. ' +
            'It decides about the order of the samples, so about the result.',
        ),
      ),
    windowRows: count()
      .nullable()
      .default(null)
      .meta(
        help(
          'Approximate number of rows that are shuffled at a time with `stream`, rounded to whole steps. Two such windows are in memory. null: 128 MiB of features.',
        ),
      ),
    table,
    npz: z
      .strictObject({
        trainFeatures: z
          .string()
          .min(1)
          .default('x_train')
          .meta(help('Name of the array of training features (rows, …).')),
        trainLabels: z
          .string()
          .min(1)
          .default('y_train')
          .meta(
            help(
              'Name of the array of training labels, integers (rows); for regression, of targets (rows) or (rows, targets), for multi-label of 0 and 1.',
            ),
          ),
        testFeatures: z
          .string()
          .min(1)
          .default('x_test')
          .meta(help('Name of the array of test features. If it is missing: see `testFraction`.')),
        testLabels: z.string().min(1).default('y_test').meta(help('Name of the array of test labels or targets.')),
        order: z
          .enum(['auto', 'channels-last', 'channels-first'])
          .default('auto')
          .meta(
            help(
              'Order of features of four dimensions: (rows, height, width, channels) or (rows, channels, height, width). `auto`: by the ' +
                'dimension that is 1 or 3, if there is one such.',
            ),
          ),
      })
      .prefault({})
      .meta({ title: 'Arrays', description: 'Names of the arrays in an .npz file, or of .npy files.' }),
    channels: z
      .union([z.literal('auto'), z.literal(1), z.literal(3)])
      .default('auto')
      .meta(
        help(
          'Numbers of a pixel in `images` and `npz`: 3 keeps red, green and blue, 1 makes pictures grey. `auto`: what the data have; of a ' +
            'folder of pictures 1 if all training pictures are grey, 3 if one has a colour. Features are (height, width, channels), ' +
            'the channels of a pixel side by side.',
        ),
      ),
    background: z
      .union([z.literal('auto'), z.array(level()).length(3)])
      .default('auto')
      .meta(
        help(
          'Colour behind transparent pixels of pictures, [red, green, blue] from 0 to 255; kept in checkpoints, for predictions. `auto`: ' +
            'white; of grey pictures whose opaque pixels are mostly light, black.',
        ),
      ),
    imageSize: z
      .array(count().max(MOST_SIDE))
      .length(2)
      .nullable()
      .default(null)
      .meta(
        help(
          `Height and width that pictures are resized to, at most ${MOST_SIDE} each; null: they must all have one size.`,
        ),
      ),
    preparation: z
      .enum(['auto', 'mnist', 'fashion-mnist', 'plain'])
      .default('auto')
      .meta(
        help(
          'Preprocessing of your own pictures for a prediction (`predict --image`, ' +
            '`activations`, `serve`); kept in checkpoints. The data themselves are not changed. `plain`: resized, ' +
            'background as it is. `mnist`: dark on light inverted, scaled into 20 x 20 pixels and centred by its centre of mass ' +
            'in 28 x 28. `fashion-mnist`: scaled into 28 x 28. `auto`: that of the data set for `digits`, `mnist` and ' +
            '`fashion-mnist`; `mnist` if images of 28 x 28 are centred as those of MNIST are; else `plain`.',
        ),
      ),
    transpose: z
      .boolean()
      .default(false)
      .meta(help('Transpose every image of `idx` when it is read. EMNIST publishes its images transposed.')),
    validation: fraction()
      .default(0)
      .meta(
        help('Fraction of the training samples set apart as the validation split, which is scored after every epoch.'),
      ),
  })
  .check(pathFitsDataset(), taskFitsDataset(), settingsFitDataset(), oneSplit())
  .meta({
    title: 'Data',
    description: 'Where the samples come from, and how they are split.',
    // Repeats the rules of pathFitsDataset, for editors.
    allOf: [
      {
        if: { properties: { dataset: { enum: ['idx', ...OWN_TABLES] } }, required: ['dataset'] },
        // biome-ignore lint/suspicious/noThenProperty: `then` is a JSON Schema keyword; nothing awaits this object
        then: { properties: { path: { type: 'string' } }, required: ['path'] },
      },
      {
        if: { properties: { dataset: { enum: ['digits', 'memory'] } }, required: ['dataset'] },
        // biome-ignore lint/suspicious/noThenProperty: as above
        then: { properties: { path: { type: 'null' } } },
      },
    ],
  })

/** Expected value of `data.path`, by data set. */
const OWN_PATHS: Readonly<Record<string, string>> = {
  idx: 'the folder with the IDX files',
  table: 'the file, folder or glob of the table',
  npz: 'the .npz file or the folder of .npy files',
  images: 'the folder of pictures',
}

/** Requires a path for the user's own data and none for embedded or in-memory data. Runs even if another key is wrong. */
function pathFitsDataset() {
  return z.superRefine<{ dataset: string; path: string | null }>(({ dataset, path }, context) => {
    const report = (message: string) => context.addIssue({ code: 'custom', path: ['path'], message, input: path })
    if (path === null && dataset in OWN_PATHS) report(`${OWN_PATHS[dataset]}, because data.dataset is "${dataset}"`)
    if (dataset === 'digits' && typeof path === 'string') report('null, because the digits come with gradloom')
    if (dataset === 'memory' && typeof path === 'string') report('null, because a program passes the samples')
  })
}

const IMAGE_SETS: readonly string[] = ['digits', 'mnist', 'fashion-mnist', 'idx', 'npz', 'images', 'memory']

/** Settings that apply to some data sets only, with their defaults: elsewhere they would be silently ignored. */
const OF_SOME: readonly (readonly [path: readonly string[], sets: readonly string[], standard: unknown])[] = [
  [['testPath'], ['table', 'images'], null],
  [['testFraction'], ['table', 'npz', 'images', 'memory'], 0.2],
  [['normalise'], IMAGE_SETS, 'auto'],
  [['query'], ['table'], null],
  [['target'], ['table'], null],
  [['weight'], ['table'], null],
  [['missing', 'number'], ['table'], 'fill'],
  [['missing', 'category'], ['table'], 'fill'],
  [['missing', 'date'], ['table'], 'fill'],
  [['missing', 'target'], ['table'], 'row'],
  [['numbers', 'bins'], ['table'], 0],
  [['numbers', 'limit'], ['table'], null],
  [['categories', 'max'], ['table'], MAX_CATEGORIES],
  [['categories', 'buckets'], ['table'], BUCKETS],
  [['categories', 'above'], ['table'], 'hash'],
  [['categories', 'embeddingSize'], ['table'], null],
  [['split', 'column'], ['table'], null],
  [['split', 'group'], ['table'], null],
  [['split', 'time'], ['table'], null],
  [['stream'], ['table'], 'auto'],
  [['windowRows'], ['table'], null],
  [['table', 'delimiter'], ['table'], 'auto'],
  [['table', 'header'], ['table'], 'auto'],
  [['table', 'decimal'], ['table'], 'auto'],
  [['table', 'dayFirst'], ['table'], 'auto'],
  [['npz', 'trainFeatures'], ['npz'], 'x_train'],
  [['npz', 'trainLabels'], ['npz'], 'y_train'],
  [['npz', 'testFeatures'], ['npz'], 'x_test'],
  [['npz', 'testLabels'], ['npz'], 'y_test'],
  [['npz', 'order'], ['npz'], 'auto'],
  [['channels'], ['images', 'npz'], 'auto'],
  [['background'], IMAGE_SETS, 'auto'],
  [['imageSize'], ['images'], null],
  [['preparation'], IMAGE_SETS, 'auto'],
  [['transpose'], ['idx'], false],
]

function settingsFitDataset() {
  return z.superRefine<object>((given, context) => {
    const data = given as Readonly<Record<string, unknown>> & { readonly dataset: string }
    for (const [path, sets, standard] of OF_SOME) {
      const value = path.reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], data)
      if (value === undefined || value === standard || sets.includes(data.dataset)) continue
      const message = `its default, ${JSON.stringify(standard)}, because data.dataset is "${data.dataset}", to which it does not apply`
      context.addIssue({ code: 'custom', path: [...path], message, input: value })
    }
  })
}

/** Allows one kind of split, and only for a table without a test file of its own where it chooses the test rows. */
function oneSplit() {
  return z.superRefine<{
    dataset: string
    testPath: string | null
    columns: Readonly<Record<string, unknown>>
    split: { column: string | null; group: string | null; time: string | null }
  }>(({ dataset, testPath, columns, split }, context) => {
    const given = (['column', 'group', 'time'] as const).filter(key => split[key] !== null)
    const report = (path: string[], message: string, input: unknown) =>
      context.addIssue({ code: 'custom', path, message, input })
    if (given.length > 1) {
      report(
        ['split', given[1]],
        `null, because data.split.${given[0]} is set, and rows are split in one way`,
        split[given[1]],
      )
    }
    if (split.column !== null && testPath !== null) {
      report(['testPath'], 'null, because data.split.column says which rows are test rows', testPath)
    }
    if (dataset !== 'table' && Object.keys(columns).length > 0) {
      report(['columns'], `{}, because data.dataset is "${dataset}", to which it does not apply`, columns)
    }
  })
}

/** Data sets that may have numeric targets, or labels of 0 and 1. */
const NUMBER_SETS: readonly string[] = ['table', 'npz', 'memory']

/** Checks the task: one class per row, from one column; targets and labels from any number of columns. */
function taskFitsDataset() {
  return z.superRefine<{ dataset: string; task: string; target: unknown }>(({ dataset, task, target }, context) => {
    if ((task === 'regression' || task === 'multi-label') && !NUMBER_SETS.includes(dataset)) {
      const message = `"classification", because data.dataset is "${dataset}"`
      context.addIssue({ code: 'custom', path: ['task'], message, input: task })
    }
    if (task === 'classification' && Array.isArray(target) && target.length > 1) {
      const message = 'one column, because data.task is "classification"'
      context.addIssue({ code: 'custom', path: ['target'], message, input: target })
    }
  })
}

/** The task that is known before the data are: of a table it may follow from its target column. */
export const taskOf = <Task extends string>({ dataset, task }: { dataset: string; task: Task | 'auto' }) =>
  task === 'auto' && dataset !== 'table' ? ('classification' as const) : task
