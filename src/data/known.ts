/**
 * The data sets that gradloom knows by name: their files, contents, and URLs. A table and the
 * names of the files; any thread.
 */

/** The four files of an IDX data set. */
export type Role = 'trainImages' | 'trainLabels' | 'testImages' | 'testLabels'
export const ROLES: readonly Role[] = ['trainImages', 'trainLabels', 'testImages', 'testLabels']

/** The usual names, without `.gz`. */
export const BASE_NAMES: Readonly<Record<Role, string>> = {
  trainImages: 'train-images-idx3-ubyte',
  trainLabels: 'train-labels-idx1-ubyte',
  testImages: 't10k-images-idx3-ubyte',
  testLabels: 't10k-labels-idx1-ubyte',
}

export interface KnownFile {
  /** Length and MD5 of the content, uncompressed: mirrors may compress it in their own way. */
  readonly bytes: number
  readonly md5: string
}

export interface KnownDataset {
  readonly name: string
  readonly classNames: readonly string[]
  readonly height: number
  readonly width: number
  readonly trainRows: number
  readonly testRows: number
  readonly files: Readonly<Record<Role, KnownFile>>
  /** Base URLs, each ending in `/`; a file is at base + usual name + `.gz`. */
  readonly mirrors: readonly string[]
}

export const DIGIT_NAMES: readonly string[] = Array.from({ length: 10 }, (_, digit) => String(digit))

/** Data set like MNIST: 60,000 + 10,000 images of 28 x 28. */
function mnistLike(
  name: string,
  classNames: readonly string[],
  md5: Readonly<Record<Role, string>>,
  mirrors: readonly string[],
): KnownDataset {
  return {
    name,
    classNames,
    height: 28,
    width: 28,
    trainRows: 60_000,
    testRows: 10_000,
    files: {
      trainImages: { bytes: 16 + 60_000 * 784, md5: md5.trainImages },
      trainLabels: { bytes: 8 + 60_000, md5: md5.trainLabels },
      testImages: { bytes: 16 + 10_000 * 784, md5: md5.testImages },
      testLabels: { bytes: 8 + 10_000, md5: md5.testLabels },
    },
    mirrors,
  }
}

const mnist = mnistLike(
  'mnist',
  DIGIT_NAMES,
  {
    trainImages: '6bbc9ace898e44ae57da46a324031adb',
    trainLabels: 'a25bea736e30d166cdddb491f175f624',
    testImages: '2646ac647ad5339dbf082846283269ea',
    testLabels: '27ae3e4e09519cfbb04c329615203637',
  },
  ['https://ossci-datasets.s3.amazonaws.com/mnist/', 'https://storage.googleapis.com/cvdf-datasets/mnist/'],
)

// The authors publish the MD5 of their .gz files: 8d4fb7e6c68d591d4c3dfef9ec88bf0d, 25c81989df183df01b3e8a0aad5dffbe,
// bef4ecab320f06d8554ea6380940ec79, bb300cfdad3c16e7a12a480ee83cd310. Debian ships the same content compressed again.
const fashionMnist = mnistLike(
  'fashion-mnist',
  ['T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'],
  {
    trainImages: 'f4a8712d7a061bf5bd6d2ca38dc4d50a',
    trainLabels: '9018921c3c673c538a1fc5bad174d6f9',
    testImages: '8181f5470baa50b63fa0f6fddb340f0a',
    testLabels: '15d484375f8d13e6eb1aabb0c3f46965',
  },
  [
    'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
    'https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/',
  ],
)

/** The sets that consist of IDX files and can be fetched. */
export const KNOWN: Readonly<Record<'mnist' | 'fashion-mnist', KnownDataset>> = { mnist, 'fashion-mnist': fashionMnist }
