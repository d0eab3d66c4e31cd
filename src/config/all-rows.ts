/** Advice on how to train on all rows of a data set. Pure; any thread. */

/** A test split of its own makes every row of the training file a training row. */
const ALL_ROWS_TRAIN: Readonly<Record<string, string>> = {
  table: 'with a test file of its own (data.testPath) all rows are trained on; that may be the same file as data.path',
  images:
    'with a test folder of its own (data.testPath) all pictures are trained on; that may be the same folder as data.path',
  npz: 'with test arrays of their own all rows are trained on; those may be the same: --set data.npz.testFeatures=x_train --set data.npz.testLabels=y_train',
  memory: 'with `test` samples of their own all samples are trained on; those may be the same ones',
}

/** Advice for `data.testFraction`; undefined for data sets that have a test part anyway. */
export const allRowsAdvice = (dataset: string): string | undefined => ALL_ROWS_TRAIN[dataset]
