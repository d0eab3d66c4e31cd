/** The models that come with gradloom: small, and as good as README says, on the official test images. */
import { statSync } from 'node:fs'
import t from 'tap'
import { evaluate } from '../../src/inference/evaluate.js'
import { Predictor } from '../../src/inference/predictor.js'
import { PACKAGED_MODELS, packagedModel } from '../../src/run/packaged.js'
import { officialData } from '../helpers/official-data.js'

const LEAST = { mnist: 0.985, 'fashion-mnist': 0.895 } as const
const MOST_BYTES = 1.5e6

for (const name of PACKAGED_MODELS) {
  t.test(`${name}: at most 1.5 MB, opened by its name, at least ${100 * LEAST[name]} %`, async t => {
    t.ok(statSync(packagedModel(name)!).size <= MOST_BYTES)
    const { classNames, source } = await Predictor.open(name)
    t.equal(classNames.length, 10)
    t.equal(source.experiment.data.path, null, 'no path of the machine that trained it')
    const dataPath = officialData(t, name)
    if (dataPath === null) return
    const { accuracy } = await evaluate(name, { dataPath, workers: 2 })
    t.ok(accuracy! >= LEAST[name], `accuracy ${accuracy}`)
  })
}
