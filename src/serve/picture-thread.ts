/**
 * The thread in which a server decodes pictures and prepares them for a network, as `predict --image` does. Apart from
 * the networks' thread, so that a large picture keeps nobody waiting but those who sent pictures.
 */

import { type Outcome, outcomeOf } from '../inference/outcome.js'
import type { PictureInput } from '../picture/preparation.js'
import { type Prepared, preparePicture } from '../picture/prepare.js'

export interface PictureTask {
  readonly where: string
  readonly bytes: Uint8Array
  readonly input: PictureInput
}

/** Largest picture from the network: decoded, it takes 16 MB. */
const MOST_PIXELS = 4e6

export default async function prepareTask(task: PictureTask): Promise<Outcome<Prepared>> {
  const { where, bytes, input } = task
  return outcomeOf(() => preparePicture(where, bytes, input, { mostPixels: MOST_PIXELS }))
}
