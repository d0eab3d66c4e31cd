/** The `data` section of an experiment, as it is opened: every default filled in, invalid values unchanged. */
import { resolveExperiment } from '../../src/config/load.js'
import type { DataConfig } from '../../src/data/source.js'

export function dataConfig(data: Pick<DataConfig, 'dataset'> & Partial<DataConfig>): DataConfig {
  const { experiment } = resolveExperiment({ data: { dataset: 'mnist' } })
  return { ...experiment.data, ...data }
}
