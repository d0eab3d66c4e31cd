/** Codes of what is not finite, as tasks return them, and their words. Pure; any thread. */

/** Where a number first stopped being finite. The smallest code wins: forward before loss before backward. */
export const fault = {
  forward: (layer: number): number => 1 + layer,
  loss: 1_000_000,
  gradient: (layer: number): number => 1_500_000 + layer,
  /** Deltas appear from the last layer down. */
  backward: (layer: number): number => 2_000_000 - layer,
  /** Found in a snapshot: the state of a layer's parameters. */
  state: (layer: number): number => 3_000_000 + layer,
}

/** Whether the weights themselves are not finite: no other mini-batch would help. */
export const isOfState = (code: number): boolean => code > 2_000_000

/** The words for a code of `fault`. */
export function faultText(code: number): string {
  if (code === fault.loss) return 'the loss is not finite'
  if (code < fault.loss) return `layer ${code - 1}: outputs are not finite`
  if (code < 1_900_000) return `layer ${code - 1_500_000}: the gradient is not finite`
  if (!isOfState(code)) return `layer ${2_000_000 - code}: deltas are not finite`
  return `layer ${code - 3_000_000}: weights or their moments are not finite`
}
