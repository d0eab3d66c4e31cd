/**
 * The experiment: every setting, its limits, default and help, once. Types, messages, JSON Schema and
 * `docs/experiment.md` derive from this file (see settings.ts). Data and types only; imported by any thread.
 *
 * Every key but `data.dataset` has a default. Unknown keys are errors at every level.
 */
import * as z from 'zod'

/** The data sets that gradloom knows by name; `idx` and what follows stand for files of the user's. */
export const DATASETS = ['digits', 'mnist', 'fashion-mnist', 'idx', 'csv', 'npz', 'images'] as const
/** Those that are files of the user's own, and may lack a test part. */
export const OWN_TABLES = ['csv', 'npz', 'images'] as const

/** It becomes part of a directory's name, so it must not reach out of `runs/`. */
export const NAME_PATTERN = /^[\p{L}\p{N}_][\p{L}\p{N} ._+-]{0,99}$/u
const NAME_WANTED = 'up to 100 letters, digits, spaces or any of ._+-, the first a letter, a digit or _'

const help = (description: string) => ({ description })
const fraction = () => z.number().min(0).lt(1)
const positive = () => z.number().positive()
const count = () => z.int().min(1)
/** Of a table, by name or by number. */
const column = () => z.union([z.string().min(1), z.int().min(0)])

const data = z
  .strictObject({
    dataset: z
      .enum(DATASETS)
      .meta(
        help(
          'What to learn from. `digits` comes with gradloom. Of your own, named by `path`: `idx`, a folder of IDX files; ' +
            '`csv`, a table; `npz`, NumPy arrays; `images`, a folder of PNG or JPEG pictures in a folder for each class.',
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
      .meta(help('Of `csv` and `images`: the held-out rows, in the same form as `path`. null: see `testFraction`.')),
    testFraction: fraction()
      .gt(0)
      .default(0.2)
      .meta(
        help(
          'Of `csv`, `npz` and `images` without held-out rows of their own: the fraction that is held out, the same of each ' +
            'class. The rows are the same for every seed.',
        ),
      ),
    task: z
      .enum(['classification', 'regression'])
      .default('classification')
      .meta(
        help(
          'What is to be said of a row: its class, or numbers. `regression` is for `csv` and `npz`, and learns by ' +
            '`train.loss` "mean-squared-error". Its targets are standardised by mean and standard deviation of the ' +
            'training rows, which are kept in checkpoints, and losses are of the standardised ones: 1 for a network that ' +
            'always says the mean. Predictions are in the units of the data.',
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
    validation: fraction()
      .default(0)
      .meta(help('Fraction of the training rows that is held out of training and scored after every epoch.')),
  })
  .check(pathFitsDataset(), taskFitsDataset())
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
        if: { properties: { dataset: { const: 'digits' } }, required: ['dataset'] },
        // biome-ignore lint/suspicious/noThenProperty: as above
        then: { properties: { path: { type: 'null' } } },
      },
    ],
  })

const augment = z
  .strictObject({
    shift: z.number().min(0).default(0).meta(help('Pixels that an image moves at most, across and down; uniform.')),
    rotate: z.number().min(0).max(180).default(0).meta(help('Degrees that it turns at most, either way; uniform.')),
    scale: fraction()
      .default(0)
      .meta(help('How much larger or smaller it becomes at most, 0.15 for 15 %; width and height for themselves.')),
    shear: z
      .number()
      .min(0)
      .max(2)
      .default(0)
      .meta(help('How far a row slides against the next one at most, in pixels; 0.2 makes upright lines lean by 11°.')),
    elastic: z
      .strictObject({
        alpha: z
          .number()
          .min(0)
          .max(1000)
          .default(0)
          .meta(
            help('Largest displacement of a pixel before smoothing, which leaves about 0.16 · alpha / sigma; 0: none.'),
          ),
        sigma: z
          .number()
          .min(0.5)
          .max(50)
          .default(5)
          .meta(help('Pixels that the displacements are smoothed over, the standard deviation of a Gaussian.')),
      })
      .prefault({})
      .meta({ title: 'Elastic deformation', description: 'Smooth random displacements, as of ink on rubber.' }),
    flip: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .meta(help('How often an image is mirrored, left to right; 0.5: half of them.')),
    erase: z
      .strictObject({
        probability: z.number().min(0).max(1).default(0).meta(help('How often a rectangle is erased.')),
        area: z
          .number()
          .gt(0)
          .max(1)
          .default(0.2)
          .meta(help('Largest fraction of the image that is erased; the smallest is 0.02.')),
        fill: z.enum(['zero', 'random']).default('zero').meta(help('What stands there then.')),
      })
      .prefault({})
      .meta({ title: 'Random erasing', description: 'A rectangle of the image is hidden.' }),
    noise: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .meta(help('Standard deviation of noise on every pixel, as a fraction of white; nearly normal.')),
    perClass: z
      .array(z.number().min(0).max(1))
      .nullable()
      .default(null)
      .meta(
        help(
          'Factors of `rotate` and `shear`, one for each class: a 1 and a 7 bear less than the others. null: 1 for all.',
        ),
      ),
    plainEpochs: z
      .int()
      .min(0)
      .default(0)
      .meta(
        help(
          'So many epochs at the end of the run see the images as they are: what is scored at last is what was learned last.',
        ),
      ),
  })
  .prefault({})
  .meta({
    title: 'Augmentation',
    description:
      'How training images are changed, anew in every epoch. Validation and test images stay as they are. ' +
      '`gradloom data preview` shows the result.',
  })

const model = z
  .strictObject({
    hidden: z
      .array(count())
      .default([3000, 2500, 2000, 1500, 1000, 500])
      .meta(help('Units of each hidden layer, from the input to the output. Empty: logistic regression.')),
    activation: z
      .enum(['relu', 'leaky-relu', 'elu', 'gelu', 'silu', 'tanh', 'scaled-tanh', 'sigmoid', 'identity'])
      .default('relu')
      .meta(
        help(
          'What follows each hidden layer. `leaky-relu`: slope 0.01 below 0. `gelu`: the form with tanh. `scaled-tanh`: ' +
            '1.7159·tanh(2x/3). All but `relu` keep one more matrix a layer in training.',
        ),
      ),
    norm: z
      .enum(['none', 'batch', 'layer'])
      .default('none')
      .meta(
        help(
          'Normalisation between product and activation of every hidden layer, with a learned scale and shift of each ' +
            'unit. `batch`: by mean and variance over the whole mini-batch, and running ones when scoring. `layer`: over ' +
            'the units of each row.',
        ),
      ),
    normMomentum: z
      .number()
      .gt(0)
      .max(1)
      .default(0.1)
      .meta(
        help(
          "Of batch normalisation, as in PyTorch: running = (1 - normMomentum)·running + normMomentum·mini-batch's, the " +
            'variance unbiased. A mini-batch of one row leaves them alone.',
        ),
      ),
    normEpsilon: positive().default(1e-5).meta(help('Added to the variance that a normalisation divides by.')),
    inputDropout: fraction()
      .default(0)
      .meta(help('Fraction of the inputs that is dropped in training, the rest scaled up to make up for it.')),
    dropout: z
      .union([fraction(), z.array(fraction())])
      .default(0.3)
      .meta(
        help(
          'Fraction of each hidden layer that is dropped in training, the rest scaled up to make up for it. An array has ' +
            'one entry for each hidden layer.',
        ),
      ),
    init: z
      .enum([
        ...['he-normal', 'he-uniform', 'glorot-normal', 'glorot-uniform', 'lecun-normal', 'lecun-uniform'],
        'orthogonal',
      ] as const)
      .default('he-normal')
      .meta(
        help(
          'Initial weights, normal or uniform, with the variance 2 / inputs (he), 2 / (inputs + outputs) (glorot) or ' +
            '1 / inputs (lecun). `orthogonal`: a random orthogonal matrix, times `initGain`; layers of thousands of units ' +
            'take seconds. Biases start at zero.',
        ),
      ),
    initGain: positive()
      .nullable()
      .default(null)
      .meta(
        help(
          'What the matrices of `orthogonal` are multiplied by. null: √2 before `relu`, `leaky-relu`, `elu`, `gelu` and ' +
            '`silu`, else 1.',
        ),
      ),
  })
  .check(dropoutFits(), gainFits())
  .prefault({})
  .meta({ title: 'Model', description: 'A fully connected classifier; the data decides its inputs and classes.' })

const train = z
  .strictObject({
    epochs: z
      .int()
      .min(0)
      .default(2000)
      .meta(help('Passes over the training rows. 0 writes the initial weights and stops.')),
    batchSize: count()
      .default(256)
      .meta(
        help(
          'Rows of a mini-batch, counted over all workers: an optimizer step, unless `accumulateSteps` says otherwise. The ' +
            'last one of an epoch may be smaller.',
        ),
      ),
    accumulateSteps: count()
      .default(1)
      .meta(
        help(
          'Mini-batches of an optimizer step, which sums their gradients: the same as a `batchSize` so many times as ' +
            'large, but that only one mini-batch has to fit in memory, beside one gradient, 4 bytes a parameter; and that ' +
            'statistics of batch normalisation are those of each mini-batch. There is room for 256 rows in any case, so ' +
            'smaller mini-batches save none.',
        ),
      ),
    l2: z
      .number()
      .min(0)
      .default(0.05)
      .meta(help('λ of the penalty λ/(2m)·Σ‖W‖² with m the rows of the step; biases are exempt.')),
    loss: z
      .enum(['cross-entropy', 'mean-squared-error'])
      .default('cross-entropy')
      .meta(
        help(
          'What training makes small. `cross-entropy`: of the softmax of the outputs. `mean-squared-error`: the mean over ' +
            'the outputs of (output - target)², with 1 as the target of the right class and 0 of the others.',
        ),
      ),
    labelSmoothing: fraction()
      .default(0)
      .meta(
        help(
          'ε: learns (1-ε)·label + ε/classes in place of the label. The loss reported while training is that of the ' +
            'smoothed labels; scores are plain.',
        ),
      ),
    clipValue: positive()
      .nullable()
      .default(null)
      .meta(
        help(
          'Limits every number of the gradient to ±clipValue, before the L2 term is added; null: no limit. A gradient ' +
            'that overflows is then limited, not an error.',
        ),
      ),
    maxNorm: positive()
      .nullable()
      .default(null)
      .meta(
        help(
          'Scales the incoming weights of every hidden unit down to this Euclidean norm after an update that made them ' +
            'longer, as Srivastava et al. 2014 advise with dropout; biases do not count. null: no limit.',
        ),
      ),
    clipNorm: positive()
      .nullable()
      .default(null)
      .meta(
        help(
          'Scales the gradient of all parameters together down to this Euclidean norm where it is longer, before ' +
            '`clipValue` and the L2 term; null: never. Gradients then lie in memory, and a step has one more barrier.',
        ),
      ),
    ema: z
      .strictObject({
        decay: fraction()
          .gt(0)
          .nullable()
          .default(null)
          .meta(
            help(
              'Keeps a running average of every weight, average = d·average + (1 - d)·weight after each step, with d = ' +
                'min(decay, (1 + t) / (10 + t)) after t steps. Scores are then those of the averages, while training goes ' +
                'on with the weights, whose digest is `weightsSha256`. null: none.',
            ),
          ),
      })
      .prefault({})
      .meta({ title: 'Average', description: 'An exponential moving average of the weights.' }),
    earlyStopping: z
      .strictObject({
        patience: count()
          .nullable()
          .default(null)
          .meta(help('Epochs without a better score (`checkpoint.bestMetric`) after which the run ends; null: never.')),
        minDelta: z.number().min(0).default(0).meta(help('How much better a score must be to count.')),
        restoreBest: z
          .boolean()
          .default(true)
          .meta(help('Whether the final weights are those of the best epoch, if patience is set; else of the last.')),
      })
      .prefault({})
      .meta({ title: 'Early stopping', description: 'Ends a run that no longer gets better.' }),
    evaluateEverySteps: count()
      .nullable()
      .default(null)
      .meta(help('Steps between two scores of the validation rows, beside that after each epoch; null: only that.')),
    stopAfterSeconds: positive()
      .nullable()
      .default(null)
      .meta(help('Ends the run after so many seconds of training, at the end of a span of steps; null: never.')),
    onNonFinite: z
      .enum(['stop', 'skip', 'rollback'])
      .default('stop')
      .meta(
        help(
          'What to do with a mini-batch whose loss or gradient is not finite; it never changes the weights. `skip`: go on ' +
            'with the next one. `rollback`: go on from the last checkpoint with a smaller learning rate.',
        ),
      ),
    rollbackFactor: fraction().gt(0).default(0.5).meta(help('Multiplies the learning rate at every rollback.')),
    maxNonFinite: count().default(10).meta(help('How many skips or rollbacks a run may need; one more ends it.')),
  })
  .prefault({})
  .meta({ title: 'Training', description: 'How long, and on how much at a time.' })

const LEARNING_RATE = 'Step size before the schedule scales it.'
const weightDecay = (value: number) =>
  z
    .number()
    .min(0)
    .default(value)
    .meta(
      help(
        'Decoupled decay: every step takes rate · weightDecay · W off the weights, beside the change by the gradient; ' +
          'biases are exempt. It comes on top of `train.l2`, which is 0.05 unless set to 0.',
      ),
    )
// 0.001 is Adam's own default. A plain gradient is not normalised as Adam's is, and momentum here averages
// gradients, (1-β)g, rather than summing them, so both want steps a hundred times as large; nesterov sums them, ten in
// effect. RMSProp's gradient is normalised too. Lion moves each weight by the whole rate: its paper takes a tenth of Adam's.
const adam = z
  .strictObject({
    type: z.literal('adam').default('adam').meta(help('Adam, with bias correction by the global step.')),
    learningRate: positive().default(0.001).meta(help(LEARNING_RATE)),
    beta1: fraction().default(0.9).meta(help('Decay of the mean of gradients.')),
    beta2: fraction().default(0.999).meta(help('Decay of the mean of squared gradients.')),
    epsilon: positive().default(1e-8).meta(help('Added to the divisor, so that it is never zero.')),
  })
  .meta({ title: 'Adam' })
const adamw = z
  .strictObject({
    type: z.literal('adamw').meta(help('Adam with decoupled weight decay; with it, `train.l2` is best 0.')),
    ...{ learningRate: adam.shape.learningRate, beta1: adam.shape.beta1, beta2: adam.shape.beta2 },
    epsilon: adam.shape.epsilon,
    weightDecay: weightDecay(0.01),
  })
  .meta({ title: 'AdamW' })
const momentum = z
  .strictObject({
    type: z.literal('momentum').meta(help('Gradient descent along a running mean of gradients, bias-corrected.')),
    learningRate: positive().default(0.1).meta(help(LEARNING_RATE)),
    beta1: fraction().default(0.9).meta(help('β of the running mean v = βv + (1-β)g.')),
    weightDecay: weightDecay(0),
  })
  .meta({ title: 'Momentum' })
const nesterov = z
  .strictObject({
    type: z
      .literal('nesterov')
      .meta(help("Nesterov's momentum as in PyTorch's SGD: gradients are summed, v = μv + g, and W -= rate·(g + μv).")),
    learningRate: positive().default(0.01).meta(help(LEARNING_RATE)),
    momentum: fraction().default(0.9).meta(help('μ, what stays of the sum in every step.')),
    weightDecay: weightDecay(0),
  })
  .meta({ title: 'Nesterov momentum' })
const rmsprop = z
  .strictObject({
    type: z.literal('rmsprop').meta(help('Gradients divided by the root of their running mean square.')),
    learningRate: positive().default(0.001).meta(help(LEARNING_RATE)),
    beta2: fraction().default(0.99).meta(help('Decay of the mean of squared gradients.')),
    epsilon: positive().default(1e-8).meta(help('Added to the divisor, so that it is never zero.')),
    weightDecay: weightDecay(0),
  })
  .meta({ title: 'RMSProp' })
const lion = z
  .strictObject({
    type: z.literal('lion').meta(help('The sign of a mean of gradients: every weight moves by the same amount.')),
    learningRate: positive().default(0.0001).meta(help(LEARNING_RATE)),
    beta1: fraction().default(0.9).meta(help('Share of the mean in the sum whose sign is taken.')),
    beta2: fraction().default(0.99).meta(help('Decay of the mean of gradients.')),
    weightDecay: weightDecay(0),
  })
  .meta({ title: 'Lion' })
const sgd = z
  .strictObject({
    type: z.literal('sgd').meta(help('Plain gradient descent.')),
    learningRate: positive().default(0.1).meta(help(LEARNING_RATE)),
    weightDecay: weightDecay(0),
  })
  .meta({ title: 'Gradient descent' })
const optimizer = z
  .discriminatedUnion('type', [adam, adamw, momentum, nesterov, rmsprop, lion, sgd])
  .prefault({})
  .meta({ title: 'Optimizer', description: 'How a gradient changes the weights.' })

const warmup = z
  .strictObject({
    epochs: z.int().min(0).default(0).meta(help('Length of the warm-up in epochs.')),
    steps: z.int().min(0).default(0).meta(help('Length in steps; with both, they add up. 0 and 0: no warm-up.')),
    from: fraction().default(0.1).meta(help('Fraction of the first learning rate that the warm-up begins with.')),
  })
  .prefault({})
  .meta({
    title: 'Warm-up',
    description:
      "Steps before the schedule's first, in which the learning rate rises in a line to what it begins with.",
  })
const per = (value: 'epoch' | 'step', description: string) =>
  z.enum(['epoch', 'step']).default(value).meta(help(description))
const rateFactor = (value: number, description: string) =>
  z.number().positive().max(1).default(value).meta(help(description))
const BY_STEP = 'Whether the learning rate changes with every step, or from epoch to epoch.'
const schedule = z
  .discriminatedUnion('type', [
    z
      .strictObject({
        type: z
          .literal('inverse-sqrt')
          .default('inverse-sqrt')
          .meta(help('learningRate / √(epoch + 1) / decayRate, epochs counted from 0.')),
        decayRate: positive().default(1).meta(help('Divides the learning rate in every epoch.')),
        per: per('epoch', `${BY_STEP} With \`step\`, an epoch's parts count too.`),
        warmup,
      })
      .meta({ title: 'Inverse square root' }),
    z
      .strictObject({ type: z.literal('constant').meta(help('The same learning rate in every epoch.')), warmup })
      .meta({ title: 'Constant' }),
    z
      .strictObject({
        type: z.literal('step').meta(help('learningRate · factor^⌊epoch / everyEpochs⌋.')),
        everyEpochs: count().default(10).meta(help('Epochs from one fall of the learning rate to the next.')),
        factor: rateFactor(0.1, 'What the learning rate is multiplied by at each fall.'),
        warmup,
      })
      .meta({ title: 'Step' }),
    z
      .strictObject({
        type: z.literal('exponential').meta(help('learningRate · factor^epoch.')),
        factor: rateFactor(0.95, 'What the learning rate is multiplied by over an epoch.'),
        per: per('epoch', `${BY_STEP} With \`step\`, an epoch's parts count too.`),
        warmup,
      })
      .meta({ title: 'Exponential' }),
    z
      .strictObject({
        type: z
          .literal('cosine')
          .meta(help('Down half a cosine over the whole run: resume then refuses another `train.epochs`.')),
        minimum: z
          .number()
          .min(0)
          .max(1)
          .default(0)
          .meta(help('Fraction of the learning rate that it comes down to at the end of the run.')),
        per: per('step', BY_STEP),
        warmup,
      })
      .meta({ title: 'Cosine' }),
    z
      .strictObject({
        type: z
          .literal('one-cycle')
          .meta(
            help(
              'Up half a cosine from learningRate / divFactor to learningRate, then down another to ' +
                'learningRate / divFactor / finalDivFactor, over the whole run: resume then refuses another `train.epochs`.',
            ),
          ),
        pctStart: z
          .number()
          .min(0)
          .max(1)
          .default(0.3)
          .meta(help('Fraction of the run in which the learning rate rises.')),
        divFactor: z.number().min(1).default(25).meta(help('learningRate over the first learning rate.')),
        finalDivFactor: z.number().min(1).default(10000).meta(help('The first learning rate over the last.')),
        per: per('step', BY_STEP),
        warmup,
      })
      .meta({ title: 'One cycle' }),
    z
      .strictObject({
        type: z
          .literal('plateau')
          .meta(help('learningRate, multiplied by `factor` whenever the score has not become better for some epochs.')),
        factor: rateFactor(0.1, 'What the learning rate is multiplied by.'),
        patience: count()
          .default(5)
          .meta(help('Epochs without a better score (`checkpoint.bestMetric`) before it is.')),
        minimum: z
          .number()
          .min(0)
          .max(1)
          .default(0)
          .meta(help('Fraction of the learning rate below which it does not fall.')),
        warmup,
      })
      .meta({ title: 'Plateau' }),
  ])
  .prefault({})
  .meta({ title: 'Schedule', description: 'How the learning rate changes in the course of the run.' })

const compute = z
  .strictObject({
    workers: z
      .union([z.literal('auto'), z.int().min(1).max(256)])
      .default('auto')
      .meta(help('Worker threads. `auto`: as many as this machine has use for.')),
    backend: z
      .enum(['auto', 'reference', 'wasm', 'blas', 'onednn'])
      .default('auto')
      .meta(
        help(
          'The kernels. `wasm` works everywhere and gives the same bits on every machine. `blas` and `onednn` multiply in ' +
            'a native library; bits depend on it and on the CPU. `reference` is slow, simple and exact. `auto`: the ' +
            'fastest that works.',
        ),
      ),
    library: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .meta(
        help(
          'The library of `blas` or `onednn`: a file, relative to the experiment file, or without a slash a name for ' +
            'the dynamic linker. null: `GRADLOOM_BLAS` or `GRADLOOM_ONEDNN`, else the usual ones.',
        ),
      ),
    precision: z
      .enum(['f32', 'bf16', 'auto'])
      .default('f32')
      .meta(
        help(
          'Numbers that matrices are multiplied in. `bf16` needs `onednn` and a CPU with AMX or AVX512-BF16. `auto`: bf16 ' +
            'where it works, else f32.',
        ),
      ),
    allReduce: z
      .enum(['fused', 'buffers'])
      .default('fused')
      .meta(
        help(
          'How gradients of the shards are summed. `fused`: tile by tile, the same bits for any number of workers. ' +
            '`buffers`: one gradient buffer a worker; bits depend on the number of workers.',
        ),
      ),
    shardRows: z
      .union([z.literal('auto'), count()])
      .default('auto')
      .meta(help('Rows of a mini-batch that a worker takes at a time. `auto`: by the size of the network.')),
    maxRestarts: z
      .int()
      .min(0)
      .default(3)
      .meta(help('How often new workers take the place of failed ones before the run fails.')),
  })
  .prefault({})
  .meta({ title: 'Compute', description: 'How the work is done on this machine.' })

const checkpoint = z
  .strictObject({
    everyEpochs: count().nullable().default(1).meta(help('Epochs between two checkpoints; null: not by epochs.')),
    keepLast: count().default(2).meta(help('How many of the newest checkpoints stay.')),
    keepBest: z.boolean().default(true).meta(help('Whether the checkpoint with the best score stays, however old.')),
    everySteps: count().nullable().default(null).meta(help('Steps between two checkpoints; null: not by steps.')),
    everySeconds: positive().nullable().default(null).meta(help('Seconds between two checkpoints; null: not by time.')),
    atEnd: z.boolean().default(true).meta(help('Whether the run is saved when it ends or is stopped.')),
    bestMetric: z
      .enum(['auto', 'validation-accuracy', 'validation-loss', 'train-loss'])
      .default('auto')
      .meta(
        help(
          'What makes a checkpoint the best one. `auto`: the accuracy on the validation rows, for regression their loss; ' +
            'without such rows the training loss. The held-out rows never do.',
        ),
      ),
  })
  .prefault({})
  .meta({ title: 'Checkpoints', description: 'What is saved while training, and what stays.' })

const log = z
  .strictObject({
    tensorboard: z
      .boolean()
      .default(false)
      .meta(
        help(
          'Whether loss, accuracy, learning rate and throughput are also written as an event file under `tensorboard/` in ' +
            'the run directory: `tensorboard --logdir runs` shows them.',
        ),
      ),
  })
  .prefault({})
  .meta({ title: 'Log', description: 'What is written down beside metrics.jsonl.' })

/** An experiment file's content. `parse` fills in every default; `resolveExperiment` has the better messages. */
export const experimentSchema = z
  .strictObject({
    $schema: z.string().optional().meta(help('Where editors find this schema. gradloom ignores it.')),
    name: z
      .string()
      .regex(NAME_PATTERN, { error: NAME_WANTED })
      .default('experiment')
      .meta(help(`Begins the run directory's name, so: ${NAME_WANTED}. Default: the file's name without \`.json\`.`)),
    seed: z.int().min(0).default(1).meta(help('Every random number of the run follows from it.')),
    data,
    augment,
    model,
    train,
    optimizer,
    schedule,
    compute,
    checkpoint,
    log,
  })
  .check(rollbackIsOnSchedule(), validationIsThere(), buffersFit(), smoothingFits(), taskFits())
  .meta({ title: 'gradloom experiment', description: 'A network, what it learns from, and how.' })

/** What may be written: `data.dataset`, and whatever differs from the defaults. */
export type ExperimentInput = z.input<typeof experimentSchema>

/** Complete: every default filled in. Deeply readonly, and frozen by `resolveExperiment`. */
export type Experiment = DeepReadonly<Omit<z.output<typeof experimentSchema>, '$schema'>>

type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T

/** Whoever asks for scores of validation rows must hold some out. */
function validationIsThere() {
  return z.superRefine<{
    data: { validation: number }
    train: { evaluateEverySteps: number | null }
    checkpoint: { bestMetric: string }
  }>(({ data, train, checkpoint }, context) => {
    if (data.validation !== 0) return
    const report = (path: string[], message: string, input: unknown) =>
      context.addIssue({ code: 'custom', path, message: `${message}, because data.validation is 0`, input })
    const { evaluateEverySteps: every } = train
    if (every !== null && every > 0) report(['train', 'evaluateEverySteps'], 'null', every)
    const { bestMetric } = checkpoint
    if (bestMetric.startsWith('validation-')) report(['checkpoint', 'bestMetric'], '"auto" or "train-loss"', bestMetric)
  })
}

/** Numbers are learned by squared error, and there is no accuracy of them. */
function taskFits() {
  return z.superRefine<{
    data: { task: string }
    augment: { perClass: unknown }
    train: { loss: string }
    checkpoint: { bestMetric: string }
  }>(({ data, augment, train, checkpoint }, context) => {
    if (data.task !== 'regression') return
    const report = (path: string[], message: string, input: unknown) =>
      context.addIssue({ code: 'custom', path, message: `${message}, because data.task is "regression"`, input })
    if (train.loss === 'cross-entropy') report(['train', 'loss'], '"mean-squared-error"', train.loss)
    if (augment.perClass !== null) report(['augment', 'perClass'], 'null', augment.perClass)
    const { bestMetric } = checkpoint
    if (bestMetric === 'validation-accuracy') {
      report(['checkpoint', 'bestMetric'], '"auto", "validation-loss" or "train-loss"', bestMetric)
    }
  })
}

/** Smoothed labels are those of a cross-entropy. */
function smoothingFits() {
  return z.superRefine<{ train: { loss: string; labelSmoothing: number } }>(({ train }, context) => {
    if (train.loss === 'cross-entropy' || train.labelSmoothing === 0) return
    context.addIssue({
      code: 'custom',
      path: ['train', 'labelSmoothing'],
      message: `0, because train.loss is "${train.loss}"`,
      input: train.labelSmoothing,
    })
  })
}

/** Where a run goes back to must follow from the experiment, not from the clock. */
function rollbackIsOnSchedule() {
  return z.superRefine<{
    train: { onNonFinite: string }
    checkpoint: { everySteps: number | null; everyEpochs: number | null }
  }>(({ train, checkpoint }, context) => {
    if (train.onNonFinite !== 'rollback' || checkpoint.everySteps !== null || checkpoint.everyEpochs !== null) return
    context.addIssue({
      code: 'custom',
      path: ['checkpoint', 'everyEpochs'],
      message: 'a number here or in checkpoint.everySteps, because train.onNonFinite is "rollback"',
      input: checkpoint.everyEpochs,
    })
  })
}

/** An array of fractions has as many as there are hidden layers. */
function dropoutFits() {
  return z.superRefine<{ hidden: number[]; dropout: number | number[] }>(({ hidden, dropout }, context) => {
    if (typeof dropout === 'number' || dropout.length === hidden.length) return
    context.addIssue({
      code: 'custom',
      path: ['dropout'],
      message: `a number, or ${hidden.length} of them, because model.hidden has ${hidden.length} layers`,
      input: dropout,
    })
  })
}

/** Only one initialisation has a gain. */
function gainFits() {
  return z.superRefine<{ init: string; initGain: number | null }>(({ init, initGain }, context) => {
    if (init === 'orthogonal' || initGain === null) return
    const message = `null, because model.init is "${init}"`
    context.addIssue({ code: 'custom', path: ['initGain'], message, input: initGain })
  })
}

/** What needs a stage between two parts of a pass, or the whole gradient before the update, has none over buffers. */
function buffersFit() {
  return z.superRefine<{
    model: { norm: string }
    train: { clipNorm: number | null }
    compute: { allReduce: string }
  }>(({ model, train, compute }, context) => {
    if (compute.allReduce !== 'buffers' || (model.norm === 'none' && train.clipNorm === null)) return
    const reason = model.norm === 'none' ? `train.clipNorm is ${train.clipNorm}` : `model.norm is "${model.norm}"`
    context.addIssue({
      code: 'custom',
      path: ['compute', 'allReduce'],
      message: `"fused", because ${reason}`,
      input: compute.allReduce,
    })
  })
}

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
  })
}

/** Where there are numbers to learn. */
const NUMBER_SETS: readonly string[] = ['csv', 'npz']

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
