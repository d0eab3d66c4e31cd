/** The section `data`: where the samples come from, and how they are split. Types and data only; any thread. */
import * as z from 'zod'
import { column, count, DATASETS, fraction, help, OWN_TABLES } from './fields.js'

export const data = z
  .strictObject({
    dataset: z
      .enum(DATASETS)
      .meta(
        help(
          'What to learn from. `digits` comes with gradloom. Of your own, named by `path`: `idx`, a folder of IDX files; ' +
            '`csv`, a table; `npz`, NumPy arrays; `images`, a folder of pictures (PNG, JPEG, WebP, AVIF, TIFF, GIF) in a folder for each class. `memory`: samples that a program passes to `train`.',
        ),
      ),
    path: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .meta(
        help(
          'Folder with the four IDX files under their usual names, gzipped or not; a CSV file; an .npz file or a folder of ' +
            '.npy files; a folder of pictures. Relative paths start at the experiment file. null: look in the usual places.',
        ),
      ),
    testPath: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .meta(help('Of `csv` and `images`: the test samples, in the same form as `path`. null: see `testFraction`.')),
    testFraction: fraction()
      .gt(0)
      .default(0.2)
      .meta(
        help(
          'Of `csv`, `npz`, `images` and `memory` without test samples of their own: the fraction of the samples that ' +
            'becomes the test split, the same of each class. The samples are the same for every seed.',
        ),
      ),
    task: z
      .enum(['classification', 'regression'])
      .default('classification')
      .meta(
        help(
          'What is predicted of a sample: its class, or one or more numbers. `regression` is for `csv`, `npz` and `memory`; its loss ' +
            'is the mean squared error. Targets are standardised by the mean and standard deviation of the training ' +
            'samples, which are kept in checkpoints, and losses are those of standardised targets: 1 for a network that ' +
            'always predicts the mean. Predictions are in the units of the data.',
        ),
      ),
    normalise: z
      .enum(['auto', 'none', 'unit', 'standardise'])
      .default('auto')
      .meta(
        help(
          'Of every feature. `unit`: divided by 255. `standardise`: less its mean, over its standard deviation, both of ' +
            'the training rows; a constant one becomes 0. The numbers are kept in checkpoints. `auto`: `unit` for ' +
            'images, `standardise` for numbers.',
        ),
      ),
    csv: z
      .strictObject({
        delimiter: z
          .enum(['auto', ',', ';', '\t', '|'])
          .default('auto')
          .meta(help('What separates fields. `auto`: whichever of them the first line has most of.')),
        header: z.boolean().default(true).meta(help('Whether the first line has the names of the columns.')),
        label: z
          .union([column(), z.array(column()).min(1)])
          .nullable()
          .default(null)
          .meta(
            help(
              'Column of the class, or of the number to learn, by name or by number from 0; an array of columns for ' +
                'several numbers. null: the last one.',
            ),
          ),
        features: z
          .array(column())
          .nullable()
          .default(null)
          .meta(help('Columns to learn from. null: all others that have a number in the first row.')),
      })
      .prefault({})
      .meta({ title: 'CSV', description: 'How a table is read.' }),
    npz: z
      .strictObject({
        trainFeatures: z.string().min(1).default('x_train').meta(help('Name of an array (rows, …).')),
        trainLabels: z
          .string()
          .min(1)
          .default('y_train')
          .meta(help('Name of an array of whole numbers (rows); for regression of numbers (rows) or (rows, targets).')),
        testFeatures: z.string().min(1).default('x_test').meta(help('Where it is not there: see `testFraction`.')),
        testLabels: z.string().min(1).default('y_test').meta(help('Likewise.')),
      })
      .prefault({})
      .meta({ title: 'Arrays', description: 'Names of the arrays in an .npz file, or of .npy files.' }),
    imageSize: z
      .array(count())
      .length(2)
      .nullable()
      .default(null)
      .meta(help('Height and width that pictures are brought to; null: they must all have one size.')),
    preparation: z
      .enum(['auto', 'mnist', 'fashion-mnist', 'plain'])
      .default('auto')
      .meta(
        help(
          'How a picture of your own is prepared when the trained network is asked about it (`predict --image`, ' +
            '`activations`, `serve`); kept in checkpoints. The data themselves are not changed. `plain`: resized, ' +
            'background as it is. `mnist`: dark on light inverted, fitted into 20 x 20 and centred by its centre of mass ' +
            'in 28 x 28. `fashion-mnist`: fitted into 28 x 28. `auto`: that of the data set for `digits`, `mnist` and ' +
            '`fashion-mnist`, `mnist` where images of 28 x 28 lie as those of MNIST do, else `plain`.',
        ),
      ),
    transpose: z
      .boolean()
      .default(false)
      .meta(
        help(
          'Of `idx`: rows and columns of every image change places as it is read. EMNIST publishes its images transposed.',
        ),
      ),
    validation: fraction()
      .default(0)
      .meta(
        help(
          'Fraction of the training samples that is not trained on but scored after every epoch: the validation split.',
        ),
      ),
  })
  .check(pathFitsDataset(), taskFitsDataset(), settingsFitDataset())
  .meta({
    title: 'Data',
    description: 'Where the rows come from.',
    // What pathFitsDataset says, for editors.
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

/** What `data.path` must name. */
const OWN_PATHS: Readonly<Record<string, string>> = {
  idx: 'the folder with the IDX files',
  csv: 'the CSV file',
  npz: 'the .npz file or the folder of .npy files',
  images: 'the folder of pictures',
}

/** `idx` needs a path and the embedded digits have none. Runs even where a neighbouring key is wrong. */
function pathFitsDataset() {
  return z.superRefine<{ dataset: string; path: string | null }>(({ dataset, path }, context) => {
    const report = (message: string) => context.addIssue({ code: 'custom', path: ['path'], message, input: path })
    if (path === null && dataset in OWN_PATHS) report(`${OWN_PATHS[dataset]}, because data.dataset is "${dataset}"`)
    if (dataset === 'digits' && typeof path === 'string') report('null, because the digits come with gradloom')
    if (dataset === 'memory' && typeof path === 'string') report('null, because a program passes the samples')
  })
}

const IMAGE_SETS: readonly string[] = ['digits', 'mnist', 'fashion-mnist', 'idx', 'npz', 'images', 'memory']

/** Settings that only some data sets have, with their defaults: others would pass over what the user said. */
const OF_SOME: readonly (readonly [path: readonly string[], sets: readonly string[], standard: unknown])[] = [
  [['testPath'], ['csv', 'images'], null],
  [['testFraction'], ['csv', 'npz', 'images', 'memory'], 0.2],
  [['csv', 'delimiter'], ['csv'], 'auto'],
  [['csv', 'header'], ['csv'], true],
  [['csv', 'label'], ['csv'], null],
  [['csv', 'features'], ['csv'], null],
  [['npz', 'trainFeatures'], ['npz'], 'x_train'],
  [['npz', 'trainLabels'], ['npz'], 'y_train'],
  [['npz', 'testFeatures'], ['npz'], 'x_test'],
  [['npz', 'testLabels'], ['npz'], 'y_test'],
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

/** Where there are numbers to learn. */
const NUMBER_SETS: readonly string[] = ['csv', 'npz', 'memory']

/** One class a row, from one column; numbers from as many as there are targets. */
function taskFitsDataset() {
  return z.superRefine<{ dataset: string; task: string; csv: { label: unknown } }>(
    ({ dataset, task, csv }, context) => {
      if (task === 'regression' && !NUMBER_SETS.includes(dataset)) {
        const message = `"classification", because data.dataset is "${dataset}"`
        context.addIssue({ code: 'custom', path: ['task'], message, input: task })
      }
      if (task === 'classification' && Array.isArray(csv.label)) {
        const message = 'one column, because data.task is "classification"'
        context.addIssue({ code: 'custom', path: ['csv', 'label'], message, input: csv.label })
      }
    },
  )
}
