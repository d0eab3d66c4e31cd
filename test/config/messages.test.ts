/** Every kind of wrong value, by its message; and that nothing but a ConfigError ever comes out. */

import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentError } from '../../src/config/problems.js'
import { metricOf, SCORE_NAMES } from '../../src/config/scores.js'
import { isKnown, settings } from '../../src/config/settings.js'
import { ConfigError, GradloomError } from '../../src/errors.js'
import fc from '../helpers/fast-check.js'

const DIGITS = { dataset: 'digits' }

function errorFor(input: unknown, overrides: readonly string[] = []): ConfigError {
  try {
    resolveExperiment(input, { where: 'x', overrides })
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error(`accepted ${JSON.stringify(input)}`)
}

const OPTIMIZERS = '"adam", "adamw", "momentum", "nesterov", "rmsprop", "lion" or "sgd"'

const ACTIVATIONS = '"relu", "leaky-relu", "elu", "gelu", "silu", "tanh", "scaled-tanh", "sigmoid" or "identity"'
const INITS =
  '"he-normal", "he-uniform", "glorot-normal", "glorot-uniform", "lecun-normal", "lecun-uniform" or "orthogonal"'
const SCHEDULES = '"inverse-sqrt", "constant", "step", "exponential", "cosine", "one-cycle" or "plateau"'

const IMAGE_SIZE = 'data.imageSize is [ 28 ], expected an array, each entry an integer from 1 to 4096 or null'

const DROPOUT = 'a number >= 0 and < 1 or an array, each entry a number >= 0 and < 1'

/** Problems besides a valid section `data`. */
const wrong: readonly (readonly [input: object, message: string])[] = [
  [{ seed: -1 }, 'seed is -1, expected an integer >= 0'],
  [{ seed: 1.5 }, 'seed is 1.5, expected an integer >= 0'],
  [{ seed: 2 ** 53 }, 'seed is 9007199254740992, expected an integer >= 0 and <= 9007199254740991'],
  [{ seed: '1' }, "seed is '1', expected an integer >= 0"],
  [{ name: 3 }, 'name is 3, expected text'],
  [{ $schema: 3 }, '$schema is 3, expected text'],
  [{ model: null }, 'model is null, expected an object'],
  [{ model: [] }, 'model is [], expected an object'],
  [{ model: { convolutions: 8 } }, 'model.convolutions is 8, expected an array, each entry an object'],
  [{ model: { convolutions: [{}] } }, 'model.convolutions.0.filters is missing, expected an integer >= 1'],
  [
    { model: { convolutions: [{ filters: 4 }, { filters: 4, padding: 'sam' }] } },
    'model.convolutions.1.padding is \'sam\', expected "same" or "valid"; did you mean "same"?',
  ],
  [
    { model: { convolutions: [{ filters: 4, pool: {} }] } },
    'model.convolutions.0.pool.size is missing, expected an integer >= 2',
  ],
  [
    { model: { convolutions: [{ filters: 4, pool: { size: 1 } }] } },
    'model.convolutions.0.pool.size is 1, expected an integer >= 2',
  ],
  [
    { model: { norm: 'layer', convolutions: [{ filters: 4 }] } },
    'model.norm is \'layer\', expected "none" or "batch", because model.convolutions.0.norm is null, which takes it over, and feature maps ' +
      'have no layer norm',
  ],
  [
    { model: { convolutions: [{ filters: 4 }] }, compute: { allReduce: 'buffers' } },
    'compute.allReduce is \'buffers\', expected "fused", because model.convolutions has layers',
  ],
  [{ model: { hidden: 100 } }, 'model.hidden is 100, expected an array, each entry an integer >= 1'],
  [{ model: { hidden: [100, 0] } }, 'model.hidden.1 is 0, expected an integer >= 1'],
  [{ model: { hidden: ['100'] } }, "model.hidden.0 is '100', expected an integer >= 1"],
  [{ model: { hidden: [10.5] } }, 'model.hidden.0 is 10.5, expected an integer >= 1'],
  [{ model: { activation: 'tan' } }, `model.activation is 'tan', expected ${ACTIVATIONS}; did you mean "tanh"?`],
  [{ model: { activation: 'ReLU' } }, `model.activation is 'ReLU', expected ${ACTIVATIONS}; did you mean "relu"?`],
  [{ model: { dropout: [0, 1] } }, 'model.dropout.1 is 1, expected a number >= 0 and < 1'],
  [{ model: { dropout: 1 } }, `model.dropout is 1, expected ${DROPOUT}`],
  [{ model: { dropout: -0.1 } }, `model.dropout is -0.1, expected ${DROPOUT}`],
  [{ model: { dropout: Number.NaN } }, `model.dropout is NaN, expected ${DROPOUT}`],
  [{ model: { init: 'zeros' } }, `model.init is 'zeros', expected ${INITS}`],
  [{ model: { initGain: 2 } }, 'model.initGain is 2, expected null, because model.init is "he-normal"'],
  [{ model: { init: 'orthogonal', initGain: 0 } }, 'model.initGain is 0, expected a number > 0 or null'],
  [{ augment: { shift: -1 } }, 'augment.shift is -1, expected a number >= 0'],
  [{ augment: { rotate: 181 } }, 'augment.rotate is 181, expected a number from 0 to 180'],
  [{ augment: { scale: 1 } }, 'augment.scale is 1, expected a number >= 0 and < 1'],
  [{ augment: { shear: 3 } }, 'augment.shear is 3, expected a number from 0 to 2'],
  [{ augment: { elastic: { alpha: -1 } } }, 'augment.elastic.alpha is -1, expected a number from 0 to 1000'],
  [{ augment: { elastic: { sigma: 0 } } }, 'augment.elastic.sigma is 0, expected a number from 0.5 to 50'],
  [{ augment: { flip: 2 } }, 'augment.flip is 2, expected a number from 0 to 1'],
  [{ augment: { erase: { probability: 2 } } }, 'augment.erase.probability is 2, expected a number from 0 to 1'],
  [{ augment: { erase: { area: 0 } } }, 'augment.erase.area is 0, expected a number > 0 and <= 1'],
  [{ augment: { erase: { fill: 'grey' } } }, `augment.erase.fill is 'grey', expected "zero" or "random"`],
  [{ augment: { crop: -1 } }, 'augment.crop is -1, expected an integer >= 0'],
  [{ augment: { cutout: 1.5 } }, 'augment.cutout is 1.5, expected an integer >= 0'],
  [{ augment: { mixup: 3 } }, 'augment.mixup is 3, expected a number from 0 to 2'],
  [
    { augment: { mixup: 0.2 }, train: { loss: 'mean-squared-error' } },
    'augment.mixup is 0.2, expected 0, because train.loss is "mean-squared-error"',
  ],
  [
    { augment: { mixup: 0.2 }, train: { classWeights: 'balanced' } },
    'augment.mixup is 0.2, expected 0, because train.classWeights is set, and a mixed image has two classes',
  ],
  [{ augment: { brightness: 1 } }, 'augment.brightness is 1, expected a number >= 0 and < 1'],
  [{ augment: { contrast: -0.1 } }, 'augment.contrast is -0.1, expected a number >= 0 and < 1'],
  [{ augment: { saturation: 2 } }, 'augment.saturation is 2, expected a number from 0 to 1'],
  [{ augment: { noise: -1 } }, 'augment.noise is -1, expected a number from 0 to 1'],
  [{ augment: { perClass: [2] } }, 'augment.perClass.0 is 2, expected a number from 0 to 1'],
  [{ augment: { plainEpochs: -1 } }, 'augment.plainEpochs is -1, expected an integer >= 0'],
  [
    { train: { loss: 'mse' } },
    `train.loss is 'mse', expected "cross-entropy", "binary-cross-entropy" or "mean-squared-error" or null`,
  ],
  [
    { train: { loss: 'binary-cross-entropy' } },
    `train.loss is 'binary-cross-entropy', expected "cross-entropy", "mean-squared-error" or null, because data.task is "classification"`,
  ],
  [
    { train: { loss: 'mean-squared-error', labelSmoothing: 0.1 } },
    'train.labelSmoothing is 0.1, expected 0, because train.loss is "mean-squared-error"',
  ],
  [{ train: { epochs: -1 } }, 'train.epochs is -1, expected an integer >= 0'],
  [{ train: { batchSize: 0 } }, 'train.batchSize is 0, expected an integer >= 1'],
  [{ train: { l2: Number.POSITIVE_INFINITY } }, 'train.l2 is Infinity, expected a number >= 0'],
  [{ train: { l2: { a: { b: { c: 1 } } } } }, 'train.l2 is { a: { b: [Object] } }, expected a number >= 0'],
  [{ train: { onNonFinite: 'ignore' } }, `train.onNonFinite is 'ignore', expected "stop", "skip" or "rollback"`],
  [
    { train: { onNonFinite: 'rollback' }, checkpoint: { everyEpochs: null } },
    'checkpoint.everyEpochs is null, expected a number here or in checkpoint.everySteps, because train.onNonFinite is "rollback"',
  ],
  [{ train: { evaluateEverySteps: 5 } }, 'train.evaluateEverySteps is 5, expected null, because data.validation is 0'],
  [
    { checkpoint: { bestMetric: 'validation-loss' } },
    `checkpoint.bestMetric is 'validation-loss', expected "auto" or "train-loss", because data.validation is 0`,
  ],
  [
    { train: { earlyStopping: { patience: 0 } } },
    'train.earlyStopping.patience is 0, expected an integer >= 1 or null',
  ],
  [{ train: { earlyStopping: { minDelta: -1 } } }, 'train.earlyStopping.minDelta is -1, expected a number >= 0'],
  [{ train: { earlyStopping: { restoreBest: 1 } } }, 'train.earlyStopping.restoreBest is 1, expected true or false'],
  [{ train: { evaluateEverySteps: 0 } }, 'train.evaluateEverySteps is 0, expected an integer >= 1 or null'],
  [{ train: { stopAfterSeconds: 0 } }, 'train.stopAfterSeconds is 0, expected a number > 0 or null'],
  [
    { checkpoint: { bestMetric: 'test' } },
    `checkpoint.bestMetric is 'test', expected "auto", "validation-accuracy", "validation-loss", "train-loss", ` +
      SCORE_NAMES.map(metricOf)
        .map(metric => `"${metric}"`)
        .join(', ')
        .replace(/, ([^,]+)$/, ' or $1'),
  ],
  [{ schedule: { type: 'plateau', patience: 0 } }, 'schedule.patience is 0, expected an integer >= 1'],
  [{ train: { rollbackFactor: 1 } }, 'train.rollbackFactor is 1, expected a number > 0 and < 1'],
  [{ train: { maxNonFinite: 0 } }, 'train.maxNonFinite is 0, expected an integer >= 1'],
  [{ optimizer: { type: 'adm' } }, `optimizer.type is 'adm', expected ${OPTIMIZERS}; did you mean "adam"?`],
  [{ optimizer: { type: 7 } }, `optimizer.type is 7, expected ${OPTIMIZERS}`],
  [{ optimizer: { type: 'adam-w' } }, `optimizer.type is 'adam-w', expected ${OPTIMIZERS}; did you mean "adamw"?`],
  [{ optimizer: { type: 'nesterov', momentum: 1 } }, 'optimizer.momentum is 1, expected a number >= 0 and < 1'],
  [{ optimizer: { type: 'adamw', weightDecay: -1 } }, 'optimizer.weightDecay is -1, expected "auto" or a number >= 0'],
  [
    { optimizer: { weightDecay: 0.1 } },
    'optimizer.weightDecay is 0.1, expected no weightDecay with optimizer.type "adam"; "adamw", "momentum", ' +
      '"nesterov", "rmsprop", "lion" and "sgd" have it',
  ],
  [
    { optimizer: { type: 'momentum', momentum: 0.9 } },
    'optimizer.momentum is 0.9, expected no momentum with optimizer.type "momentum"; "nesterov" has it',
  ],
  [{ train: { labelSmoothing: 1 } }, 'train.labelSmoothing is 1, expected a number >= 0 and < 1'],
  [{ train: { classWeights: 'even' } }, `train.classWeights is 'even', expected "balanced" or an object or null`],
  [{ train: { classWeights: { a: -1 } } }, 'train.classWeights.a is -1, expected a number >= 0'],
  [{ train: { clipValue: 0 } }, 'train.clipValue is 0, expected a number > 0 or null'],
  [{ train: { maxNorm: 0 } }, 'train.maxNorm is 0, expected a number > 0 or null'],
  [{ train: { clipNorm: -1 } }, 'train.clipNorm is -1, expected a number > 0 or null'],
  [{ train: { ema: { decay: 1 } } }, 'train.ema.decay is 1, expected a number > 0 and < 1 or null'],
  [{ model: { norm: 'group' } }, 'model.norm is \'group\', expected "none", "batch" or "layer"'],
  [{ model: { normMomentum: 0 } }, 'model.normMomentum is 0, expected a number > 0 and <= 1'],
  [{ model: { normEpsilon: 0 } }, 'model.normEpsilon is 0, expected a number > 0'],
  [{ model: { inputDropout: 1 } }, 'model.inputDropout is 1, expected a number >= 0 and < 1'],
  [
    { model: { dropout: [0.5] } },
    'model.dropout is [ 0.5 ], expected a number, or an array of 2, because model.hidden has 2 layers',
  ],
  [
    { model: { norm: 'batch' }, compute: { allReduce: 'buffers' } },
    'compute.allReduce is \'buffers\', expected "fused", because model.norm is "batch"',
  ],
  [
    { model: { norm: 'batch' }, train: { batchSize: 1, accumulateSteps: 64 } },
    'train.batchSize is 1, expected 2 or more, because model.norm is "batch", which makes every value 0 in a ' +
      'mini-batch of one sample (each mini-batch of train.accumulateSteps is normalised by itself); model.norm "layer" ' +
      'takes single samples',
  ],
  [
    { model: { norm: 'layer', hidden: [8, 1] } },
    'model.hidden.1 is 1, expected 2 or more, because model.norm is "layer", which makes every value 0 in a layer ' +
      'of one unit',
  ],
  [{ optimizer: { learningRate: 0 } }, 'optimizer.learningRate is 0, expected a number > 0'],
  [{ optimizer: { type: 'sgd', learningRate: '0.1' } }, "optimizer.learningRate is '0.1', expected a number > 0"],
  [{ optimizer: { beta1: 1 } }, 'optimizer.beta1 is 1, expected a number >= 0 and < 1'],
  [{ optimizer: { epsilon: 0 } }, 'optimizer.epsilon is 0, expected a number > 0'],
  [
    { optimizer: { type: 'sgd', beta1: 0.9 } },
    'optimizer.beta1 is 0.9, expected no beta1 with optimizer.type "sgd"; "adam", "adamw", "momentum" and "lion" have it',
  ],
  [
    { optimizer: { type: 'momentum', epsilon: 1 } },
    'optimizer.epsilon is 1, expected no epsilon with optimizer.type "momentum"; "adam", "adamw" and "rmsprop" have it',
  ],
  [{ schedule: { type: 'cosin' } }, `schedule.type is 'cosin', expected ${SCHEDULES}; did you mean "cosine"?`],
  [{ schedule: { type: 'step', everyEpochs: 0 } }, 'schedule.everyEpochs is 0, expected an integer >= 1'],
  [{ schedule: { type: 'step', factor: 0 } }, 'schedule.factor is 0, expected a number > 0 and <= 1'],
  [{ schedule: { type: 'exponential', factor: 2 } }, 'schedule.factor is 2, expected a number > 0 and <= 1'],
  [{ schedule: { type: 'cosine', minimum: 2 } }, 'schedule.minimum is 2, expected a number from 0 to 1'],
  [{ schedule: { type: 'cosine', per: 'batch' } }, `schedule.per is 'batch', expected "epoch" or "step"`],
  [{ schedule: { type: 'one-cycle', pctStart: 30 } }, 'schedule.pctStart is 30, expected a number from 0 to 1'],
  [{ schedule: { type: 'one-cycle', divFactor: 0 } }, 'schedule.divFactor is 0, expected a number >= 1'],
  [{ schedule: { type: 'one-cycle', finalDivFactor: 0 } }, 'schedule.finalDivFactor is 0, expected a number >= 1'],
  [{ schedule: { warmup: 3 } }, 'schedule.warmup is 3, expected an object'],
  [{ schedule: { warmup: { steps: -1 } } }, 'schedule.warmup.steps is -1, expected an integer >= 0'],
  [{ schedule: { warmup: { epochs: 0.5 } } }, 'schedule.warmup.epochs is 0.5, expected an integer >= 0'],
  [{ schedule: { warmup: { from: 1 } } }, 'schedule.warmup.from is 1, expected a number >= 0 and < 1'],
  [
    { schedule: { warmup: { zzz: 1 } } },
    'unknown key "schedule.warmup.zzz"; known in schedule.warmup: epochs, steps, from',
  ],
  [
    { schedule: { type: 'step', per: 'step' } },
    'schedule.per is \'step\', expected no per with schedule.type "step"; "inverse-sqrt", "exponential", "cosine" and ' +
      '"one-cycle" have it',
  ],
  [{ schedule: { decayRate: 0 } }, 'schedule.decayRate is 0, expected a number > 0'],
  [
    { schedule: { type: 'constant', decayRate: 2 } },
    'schedule.decayRate is 2, expected no decayRate with schedule.type "constant"; "inverse-sqrt" has it',
  ],
  [{ compute: { workers: 0 } }, 'compute.workers is 0, expected "auto" or an integer from 1 to 256'],
  [{ compute: { workers: 257 } }, 'compute.workers is 257, expected "auto" or an integer from 1 to 256'],
  [{ compute: { workers: 'all' } }, `compute.workers is 'all', expected "auto" or an integer from 1 to 256`],
  [
    { compute: { backend: 'one-dnn' } },
    `compute.backend is 'one-dnn', expected "auto", "reference", "wasm", "blas" or "onednn"; did you mean "onednn"?`,
  ],
  [{ compute: { library: '' } }, `compute.library is '', expected non-empty text or null`],
  [{ compute: { library: 3 } }, `compute.library is 3, expected non-empty text or null`],
  [{ compute: { precision: 'fp16' } }, `compute.precision is 'fp16', expected "f32", "bf16" or "auto"`],
  [{ compute: { allReduce: 'ring' } }, `compute.allReduce is 'ring', expected "fused" or "buffers"`],
  [{ compute: { shardRows: 0 } }, 'compute.shardRows is 0, expected "auto" or an integer >= 1'],
  [{ compute: { gradientGroups: 0 } }, 'compute.gradientGroups is 0, expected null or an integer from 1 to 256'],
  [{ compute: { machines: 'many' } }, `compute.machines is 'many', expected "auto", "off" or "mpi"`],
  [{ compute: { machinesTimeout: 0 } }, 'compute.machinesTimeout is 0, expected a number from 1 to 3600'],
  [{ compute: { maxRestarts: -1 } }, 'compute.maxRestarts is -1, expected an integer >= 0'],
  [{ checkpoint: { everyEpochs: 0 } }, 'checkpoint.everyEpochs is 0, expected an integer >= 1 or null'],
  [{ checkpoint: { everySteps: 1.5 } }, 'checkpoint.everySteps is 1.5, expected an integer >= 1 or null'],
  [{ checkpoint: { everySeconds: 0 } }, 'checkpoint.everySeconds is 0, expected a number > 0 or null'],
  [{ checkpoint: { atEnd: 1 } }, 'checkpoint.atEnd is 1, expected true or false'],
  [{ checkpoint: { keepLast: 0 } }, 'checkpoint.keepLast is 0, expected an integer >= 1'],
  [{ checkpoint: { keepBest: 'yes' } }, `checkpoint.keepBest is 'yes', expected true or false`],
  [{ log: { tensorboard: 'runs' } }, `log.tensorboard is 'runs', expected true or false`],
  // Unknown keys: the same word in another spelling, elsewhere, under another name, similar, and like nothing.
  [{ train: { accumulateSteps: 0 } }, 'train.accumulateSteps is 0, expected an integer >= 1'],
  [{ train: { batch_size: 1 } }, 'unknown key "train.batch_size"; did you mean "train.batchSize"?'],
  [{ train: { epoch: 1 } }, 'unknown key "train.epoch"; did you mean "train.epochs"?'],
  [{ epochs: 3 }, 'unknown key "epochs"; did you mean "train.epochs"?'],
  [{ train: { dropout: 0 } }, 'unknown key "train.dropout"; did you mean "model.dropout"?'],
  [{ lr: 3 }, 'unknown key "lr"; did you mean "optimizer.learningRate"?'],
  [{ optimiser: {} }, 'unknown key "optimiser"; did you mean "optimizer"?'],
  [{ sede: 1 }, 'unknown key "sede"; did you mean "seed"?'],
  [{ 'train.epochs': 3 }, 'unknown key "train.epochs"; in a file, write it as { "train": { "epochs": ... } }'],
  [
    { train: { zzz: 1 } },
    'unknown key "train.zzz"; known in train: epochs, batchSize, accumulateSteps, l2, loss, labelSmoothing, classWeights, clipValue, maxNorm, ' +
      'clipNorm, ema, earlyStopping, evaluateEverySteps, stopAfterSeconds, onNonFinite, rollbackFactor, maxNonFinite',
  ],
  [
    { zzz: 1 },
    'unknown key "zzz"; known at the top: $schema, name, seed, data, augment, model, train, optimizer, schedule, compute, ' +
      'checkpoint, log',
  ],
]

t.test('every wrong value is reported with its path, the value and the expected one', async t => {
  for (const [input, message] of wrong) t.equal(errorFor({ data: DIGITS, ...input }).message, `x: ${message}`)
  const messages = wrong.map(([, message]) => message)
  const untested = settings().filter(
    ({ path }) => !messages.some(message => message.startsWith(`${path} is `) || message.startsWith(`${path}.`)),
  )
  // These are in the next test.
  t.same(
    [...new Set(untested.map(({ path }) => path))],
    [
      ...[
        'data.dataset',
        'data.path',
        'data.testPath',
        'data.from',
        'data.testFraction',
        'data.task',
        'data.normalise',
        'data.query',
        'data.target',
        'data.weight',
        'data.columns',
      ],
      ...['data.missing.number', 'data.missing.category', 'data.missing.date', 'data.missing.target'],
      ...[
        'data.numbers.bins',
        'data.numbers.limit',
        'data.categories.max',
        'data.categories.buckets',
        'data.categories.above',
        'data.categories.embeddingSize',
        'data.split.column',
        'data.split.group',
        'data.split.time',
        'data.stream',
        'data.windowRows',
      ],
      ...['data.table.delimiter', 'data.table.header', 'data.table.decimal', 'data.table.dayFirst'],
      ...['data.npz.trainFeatures', 'data.npz.trainLabels'],
      ...[
        'data.npz.testFeatures',
        'data.npz.testLabels',
        'data.npz.order',
        'data.channels',
        'data.background',
        'data.imageSize',
        'data.preparation',
        'data.transpose',
      ],
      ...['data.validation', 'optimizer.beta2'],
    ],
  )
})

const TARGET =
  'data.target is true, expected non-empty text or an integer >= 0 or an array, each entry non-empty text or an integer >= 0 or null'
const KIND = `data.columns.zip is 'text', expected "number", "category", "boolean", "date" or "ignore" or an object with kind, missing or dayFirst`
const NORMALISE = `data.normalise is 'unit', expected its default, "auto", because data.dataset is "table", to which it does not apply`
const COLUMNS = `data.columns is { a: 'number' }, expected {}, because data.dataset is "digits", to which it does not apply`

t.test('errors of the data section', async t => {
  const sets = '"digits", "mnist", "fashion-mnist", "idx", "table", "npz", "images" or "memory"'
  const table = { dataset: 'table', path: 'a.csv' }
  for (const [input, message] of [
    [{}, `data.dataset is missing, expected ${sets}`],
    [{ data: {} }, `data.dataset is missing, expected ${sets}`],
    [{ data: { dataset: 'minst' } }, `data.dataset is 'minst', expected ${sets}; did you mean "mnist"?`],
    [{ data: { dataset: null } }, `data.dataset is null, expected ${sets}`],
    [
      { data: { ...table, table: { delimiter: '::' } } },
      `data.table.delimiter is '::', expected one character, or "auto"`,
    ],
    [{ data: { ...DIGITS, path: '' } }, `data.path is '', expected non-empty text or null`],
    [{ data: { dataset: 'mnist', path: 3 } }, 'data.path is 3, expected non-empty text or null'],
    [{ data: { ...DIGITS, validation: 1 } }, 'data.validation is 1, expected a number >= 0 and < 1'],
    [
      { data: { dataset: 'idx' } },
      'data.path is missing, expected the folder with the IDX files, because data.dataset is "idx"',
    ],
    [
      { data: { dataset: 'idx', path: null } },
      'data.path is null, expected the folder with the IDX files, because data.dataset is "idx"',
    ],
    [
      { data: { dataset: 'table' } },
      'data.path is missing, expected the file, folder or glob of the table, because data.dataset is "table"',
    ],
    [{ data: { ...table, testPath: 3 } }, 'data.testPath is 3, expected non-empty text or null'],
    [{ data: { ...table, testFraction: 0 } }, 'data.testFraction is 0, expected a number > 0 and < 1'],
    [
      { data: { ...table, task: 'z' } },
      `data.task is 'z', expected "auto", "classification", "multi-label" or "regression"`,
    ],
    [
      { data: { ...table, task: 'multi-label' }, train: { loss: 'cross-entropy' } },
      `train.loss is 'cross-entropy', expected "binary-cross-entropy" or null, because data.task is "multi-label"`,
    ],
    [
      { data: { ...table, task: 'multi-label' }, train: { classWeights: 'balanced' } },
      `train.classWeights is 'balanced', expected null, because data.task is "multi-label", in which a row has no single class; ` +
        'data.weight names a column of weights of the rows',
    ],
    [
      { data: { ...table, task: 'multi-label' }, train: { labelSmoothing: 0.1 } },
      'train.labelSmoothing is 0.1, expected 0, because data.task is "multi-label"',
    ],
    [
      { data: { ...table, task: 'multi-label', validation: 0.2 }, checkpoint: { bestMetric: 'validation-r2' } },
      `checkpoint.bestMetric is 'validation-r2', expected "auto", "validation-loss" or one of "validation-exact-match", ` +
        '"validation-macro-f1", "validation-roc-auc", "validation-average-precision", "validation-log-loss", "validation-brier", ' +
        '"validation-calibration-error", because data.task is "multi-label"',
    ],
    [
      { data: { dataset: 'images', path: 'x', task: 'multi-label' } },
      `data.task is 'multi-label', expected "classification", because data.dataset is "images"`,
    ],
    [
      { data: { ...DIGITS, normalise: 'z' } },
      `data.normalise is 'z', expected "auto", "none", "unit", "standardise" or "standardise-channels"`,
    ],
    [{ data: { ...DIGITS, from: 'all' } }, `data.from is 'all', expected "each" or "rank0"`],
    [{ data: { ...table, query: '' } }, "data.query is '', expected non-empty text or null"],
    [{ data: { ...table, target: true } }, TARGET],
    [{ data: { ...table, weight: 3 } }, 'data.weight is 3, expected non-empty text or null'],
    [
      { data: { ...DIGITS, weight: 'w' } },
      `data.weight is 'w', expected its default, null, because data.dataset is "digits", to which it does not apply`,
    ],
    [{ data: { ...table, columns: { zip: 'text' } } }, KIND],
    [
      { data: { ...table, columns: { zip: { kind: 'numbr' } } } },
      'data.columns.zip.kind is \'numbr\', expected "number", "category", "boolean", "date" or "ignore"; did you mean "number"?',
    ],
    [
      { data: { ...table, columns: { 'a.b': { missing: 'all' } } } },
      'data.columns.a.b.missing is \'all\', expected "fill", "row" or "error"',
    ],
    [
      { data: { ...table, columns: { zip: { mising: 'row' } } } },
      'unknown key "data.columns.zip.mising"; did you mean "data.columns.zip.missing"?',
    ],
    [
      { data: { ...table, columns: { zip: { format: 'x' } } } },
      'unknown key "data.columns.zip.format"; known in data.columns.zip: kind, missing, dayFirst',
    ],
    [{ data: { ...table, columns: [] } }, 'data.columns is [], expected an object'],
    [
      { data: { ...table, missing: { number: 'drop' } } },
      `data.missing.number is 'drop', expected "fill", "row" or "error"`,
    ],
    [{ data: { ...table, missing: { target: 'fill' } } }, `data.missing.target is 'fill', expected "row" or "error"`],
    [
      { data: { ...table, numbers: { bins: -1 } } },
      'data.numbers.bins is -1, expected "auto" or an integer from 0 to 256',
    ],
    [{ data: { ...table, numbers: { limit: 0 } } }, 'data.numbers.limit is 0, expected a number > 0 or null'],
    [{ data: { ...table, categories: { max: 0 } } }, 'data.categories.max is 0, expected an integer >= 1'],
    [{ data: { ...table, categories: { above: 'x' } } }, `data.categories.above is 'x', expected "hash" or "embed"`],
    [
      { data: { ...table, categories: { embeddingSize: 0 } } },
      'data.categories.embeddingSize is 0, expected an integer >= 1 or null',
    ],
    [{ data: { ...table, stream: 'x' } }, `data.stream is 'x', expected "auto", "always" or "never"`],
    [{ data: { ...table, windowRows: 0 } }, 'data.windowRows is 0, expected an integer >= 1 or null'],
    [{ data: { ...table, split: { group: 3 } } }, 'data.split.group is 3, expected non-empty text or null'],
    [
      { data: { ...table, split: { group: 'a', time: 'b' } } },
      "data.split.time is 'b', expected null, because data.split.group is set, and rows are split in one way",
    ],
    [
      { data: { ...table, testPath: 'b', split: { column: 'part' } } },
      "data.testPath is 'b', expected null, because data.split.column says which rows are test rows",
    ],
    [{ data: { ...table, table: { header: 1 } } }, 'data.table.header is 1, expected "auto" or true or false'],
    [{ data: { ...table, normalise: 'unit' } }, NORMALISE],
    [{ data: { ...DIGITS, columns: { a: 'number' } } }, COLUMNS],
    [{ data: { ...table, imageSize: [28] } }, IMAGE_SIZE],
    [
      { data: { dataset: 'images', path: 'a', imageSize: [5000, 28] } },
      'data.imageSize.0 is 5000, expected an integer from 1 to 4096',
    ],
    [
      { data: { ...DIGITS, preparation: 'z' } },
      `data.preparation is 'z', expected "auto", "mnist", "fashion-mnist" or "plain"`,
    ],
    [{ data: { dataset: 'idx', path: 'a', transpose: 1 } }, 'data.transpose is 1, expected true or false'],
    [
      { data: { dataset: 'npz', path: 'a', npz: { trainLabels: '' } } },
      `data.npz.trainLabels is '', expected non-empty text`,
    ],
    [{ data: { ...DIGITS, path: 'a' } }, `data.path is 'a', expected null, because the digits come with gradloom`],
    [{ data: DIGITS, optimizer: { beta2: 2 } }, 'optimizer.beta2 is 2, expected a number >= 0 and < 1'],
    [null, 'the experiment is null, expected an object'],
    [[], 'the experiment is [], expected an object'],
    [undefined, 'the experiment is undefined, expected an object'],
  ] as const) {
    t.equal(errorFor(input).message, `x: ${message}`)
  }
})

t.test('a name cannot leave the runs directory', async t => {
  for (const name of ['', '.', '..', '../x', 'a/b', 'a\\b', '.hidden', ' a', 'a\nb', 'a\0b', '-a', 'x'.repeat(101)]) {
    t.match(errorFor({ data: DIGITS, name }).message, /^x: name is .*, expected up to 100 letters, digits/)
  }
  for (const name of ['a', 'mnist-2', 'Größe 3', '数字', '_a.b+c', 'x'.repeat(100)]) {
    t.equal(resolveExperiment({ data: DIGITS, name }).experiment.name, name)
  }
})

t.test('all problems are in one error, with their count', async t => {
  const error = errorFor({ data: { dataset: 'idx', validation: 2 }, train: { epochs: 'many' }, sede: 1 }, ['seed=-4'])
  t.equal(
    error.message,
    [
      '5 problems in x:',
      '  data.validation is 2, expected a number >= 0 and < 1',
      '  data.path is missing, expected the folder with the IDX files, because data.dataset is "idx"',
      "  train.epochs is 'many', expected an integer >= 0",
      '  unknown key "sede"; did you mean "seed"?',
      '  --set seed=-4: seed is -4, expected an integer >= 0',
    ]
      .sort(byPlaceOf(error))
      .join('\n'),
  )
  t.equal(error.exitCode, 2)
  t.equal(error.name, 'ConfigError')
  t.equal((error as ExperimentError).problems.length, 5)
})

/** The order of problems without a line is of no interest. */
function byPlaceOf(error: Error): (a: string, b: string) => number {
  const lines = error.message.split('\n')
  return (a, b) => lines.indexOf(a) - lines.indexOf(b)
}

t.test('no prototype is ever polluted', async t => {
  for (const text of [
    '{"__proto__":{"x":1}}',
    '{"constructor":{"prototype":{"x":1}}}',
    '{"train":{"__proto__":{"x":1}}}',
  ]) {
    t.match(
      errorFor({ data: DIGITS, ...JSON.parse(text) }).message,
      /unknown key "(__proto__|constructor|train\.__proto__)"/,
    )
  }
  for (const override of ['__proto__.x=1', 'train.__proto__={"x":1}', 'constructor.prototype.x=1']) {
    t.match(errorFor({ data: DIGITS }, [override]).message, /unknown key/)
  }
  t.equal(Reflect.get({}, 'x'), undefined)
})

t.test('objects that JSON cannot express are refused', async t => {
  const cyclic: Record<string, unknown> = { data: DIGITS }
  cyclic.self = cyclic
  t.match(errorFor(cyclic).message, /unknown key "self"/)
  t.match(
    errorFor({ data: DIGITS, seed: Object.create(null) }).message,
    'x: seed is [Object: null prototype] {}, expected',
  )
  t.match(errorFor({ data: DIGITS, seed: 1n }).message, 'x: seed is 1n, expected an integer >= 0')
  t.match(errorFor({ data: DIGITS, seed: cyclic }, ['seed=1']).message, /expected a value that JSON can hold/)
})

t.test('any JSON value gives an experiment or a ConfigError', async t => {
  // Real keys with any values go deeper than arbitrary JSON would.
  const keys = [...new Set(settings().flatMap(({ path }) => path.split('.')))]
  const value = fc.jsonValue({ maxDepth: 3 })
  const section = fc.dictionary(fc.constantFrom(...keys, '__proto__', 'a.b'), value, { maxKeys: 4 })
  const likely = fc.dictionary(fc.constantFrom(...keys), fc.oneof(section, value), { maxKeys: 5 })
  let accepted = 0
  let refused = 0
  fc.assert(
    fc.property(fc.oneof(value, likely), fc.boolean(), (input, withData) => {
      const whole = withData && typeof input === 'object' && input !== null ? { ...input, data: DIGITS } : input
      try {
        resolveExperiment(whole)
        accepted++
      } catch (error) {
        refused++
        if (!(error instanceof GradloomError) || error.exitCode !== 2 || error.message === '') throw error
      }
    }),
    { numRuns: 1000 },
  )
  t.ok(accepted > 0, 'some were accepted')
  t.ok(refused > 0, 'some were refused')
})

t.test('every suggestion is a key that exists', async t => {
  const paths = settings().map(({ path }) => path)
  const mangled = fc
    .tuple(fc.constantFrom(...paths), fc.nat(30), fc.string({ maxLength: 2 }))
    .map(([path, at, extra]) => path.slice(0, at) + extra + path.slice(at + 1))
  let suggested = 0
  fc.assert(
    fc.property(mangled, path => {
      if (path.includes('=') || path === '' || isKnown(path.trim())) return
      const guess = /did you mean "(.*)"\?/.exec(errorFor({ data: DIGITS }, [`${path}=1`]).message)?.[1]
      if (guess !== undefined) suggested++
      return guess === undefined || isKnown(guess)
    }),
    { numRuns: 500 },
  )
  t.ok(suggested > 100, 'most slips have a suggestion')
})
