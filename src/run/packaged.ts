/** Models that come with gradloom, by the name that stands for a run. Main thread. */
import { fileURLToPath } from 'node:url'

export const PACKAGED_MODELS = ['mnist', 'fashion-mnist'] as const

/** Absolute path of the weights, or null where the name is not one of theirs. */
export function packagedModel(name: string): string | null {
  if (!(PACKAGED_MODELS as readonly string[]).includes(name)) return null
  return fileURLToPath(new URL(`../../../models/${name}.safetensors`, import.meta.url))
}
