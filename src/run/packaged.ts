/** Models that come with gradloom, usable by name in place of a run. Main thread. */
import { fileURLToPath } from 'node:url'

export const PACKAGED_MODELS = ['mnist', 'fashion-mnist'] as const

/** Absolute path of the weights; null if there is no model of that name. */
export function packagedModel(name: string): string | null {
  if (!(PACKAGED_MODELS as readonly string[]).includes(name)) return null
  return fileURLToPath(new URL(`../../../models/${name}.safetensors`, import.meta.url))
}
