/**
 * The thread in which a server decodes pictures and prepares them for a network, as `predict --image` does. Apart from
 * the networks' thread, so that a large picture keeps nobody waiting but those who sent pictures.
 */
import { decodePicture } from '../picture/picture.js'
import { type Prepared, preparationFor, prepare } from '../picture/prepare.js'
import { type Outcome, outcomeOf } from './outcome.js'

export interface PictureTask {
  readonly where: string
  readonly bytes: Uint8Array
  readonly dataset: string
  readonly height: number
  readonly width: number
}

/** Of a picture from the network: 160 MB while a JPEG of that size is decoded. */
const MOST_PIXELS = 4e6

export default async function preparePicture(task: PictureTask): Promise<Outcome<Prepared>> {
  const { where, bytes, dataset, height, width } = task
  return outcomeOf(async () => {
    const picture = await decodePicture(where, bytes, MOST_PIXELS)
    return prepare(where, picture, preparationFor(dataset, height, width), { height, width })
  })
}
