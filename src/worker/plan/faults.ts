/** Codes of values that are not finite, as tasks return them, and their messages. Pure; any thread. */

/** Codes of the place where a value first stopped being finite. The smallest wins: forward before loss before backward. */
export const fault = {
  forward: (layer: number): number => 1 + layer,
  loss: 1_000_000,
  gradient: (layer: number): number => 1_500_000 + layer,
  /** Deltas appear from the last layer down. */
  backward: (layer: number): number => 2_000_000 - layer,
  embeddingGradient: (column: number): number => 1_800_000 + column,
  /** State of a layer's parameters, found in a snapshot. */
  state: (layer: number): number => 3_000_000 + layer,
  embeddingState: (column: number): number => 4_000_000 + column,
}

/** True if the weights themselves are not finite: no other mini-batch would help. */
export const isOfState = (code: number): boolean => code > 2_000_000

/** Message of a code of `fault`. */
export function faultText(code: number): string {
  if (code === fault.loss) return 'the loss is not finite'
  if (code < fault.loss) return `layer ${code - 1}: outputs are not finite`
  if (code >= 1_800_000 && code < 1_900_000) return `embedding ${code - 1_800_000}: the gradient is not finite`
  if (code < 1_900_000) return `layer ${code - 1_500_000}: the gradient is not finite`
  if (!isOfState(code)) return `layer ${2_000_000 - code}: deltas are not finite`
  if (code >= 4_000_000) return `embedding ${code - 4_000_000}: vectors or their moments are not finite`
  return `layer ${code - 3_000_000}: weights or their moments are not finite`
}
