/** Network and data of a run, opened once, and only if something has to be computed from them. Main thread. */
import type { MatchedSource } from '../data/match.js'
import { DataError } from '../errors.js'
import { openDataOf, type TestSamples, testSamplesOf } from '../inference/examples.js'
import type { BackendName } from '../inference/model.js'
import { Predictor } from '../inference/predictor.js'
import type { MovedData } from '../run/locate-data.js'
import { FILES } from '../run/manifest.js'
import type { RunFiles } from './run-files.js'

export interface RunModel {
  readonly predictor: Predictor
  readonly data: MatchedSource
  readonly test: TestSamples
}

export interface RunModelOptions extends MovedData {
  readonly backend?: BackendName | undefined
  /** Called when the network is opened: of which run, and what it computes with. */
  readonly onComputing?: (run: string, backend: string) => void
}

/** Opens on the first call. The result rejects with DataError where the data are missing, or are not those of the run. */
export function runModel(run: RunFiles, options: RunModelOptions = {}): () => Promise<RunModel> {
  let opened: Promise<RunModel> | undefined
  return () => {
    opened ??= openRunModel(run, options)
    return opened
  }
}

async function openRunModel(run: RunFiles, options: RunModelOptions): Promise<RunModel> {
  const predictor = await Predictor.open(run.path, { backend: options.backend })
  options.onComputing?.(run.run, `${predictor.backend.name}: ${predictor.backend.reason}`)
  const data = await openDataOf(predictor, options)
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
