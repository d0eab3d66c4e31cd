/** Network and data of a run, opened once, and only if something has to be computed from them. Main thread. */
import type { MatchedSource } from '../data/match.js'
import { DataError } from '../errors.js'
import { openDataOf, type TestSamples, testSamplesOf } from '../inference/examples.js'
import { Predictor } from '../inference/predictor.js'
import type { MovedData } from '../run/locate-data.js'
import { FILES } from '../run/manifest.js'
import type { RunFiles } from './run-files.js'

export interface RunModel {
  readonly predictor: Predictor
  readonly data: MatchedSource
  readonly test: TestSamples
}

/** Opens on the first call. The result rejects with DataError where the data are missing, or are not those of the run. */
export function runModel(run: RunFiles, moved: MovedData = {}): () => Promise<RunModel> {
  let opened: Promise<RunModel> | undefined
  return () => {
    opened ??= openRunModel(run, moved)
    return opened
  }
}

async function openRunModel(run: RunFiles, moved: MovedData): Promise<RunModel> {
  const predictor = await Predictor.open(run.path)
  const data = await openDataOf(predictor, moved)
  const test = await testSamplesOf(predictor, data)
  refuseOtherData(run, test.files)
  if (data.fields) refuseOtherData(run, (await data.fields('test', [])).files)
  return { predictor, data, test }
}

/** Throws DataError where a file is not one of those that the run was trained on. */
function refuseOtherData({ manifest }: RunFiles, files: TestSamples['files']): void {
  const known = manifest?.data?.files
  if (!Array.isArray(known)) return
  const digests = new Set(known.map(file => file?.md5))
  const other = files.find(({ md5 }) => !digests.has(md5))
  if (other) throw new DataError(`${other.path}: MD5 is ${other.md5}, expected that of a file in ${FILES.manifest}`)
}
