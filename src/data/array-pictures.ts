/**
 * Pictures in arrays: which dimensions are height, width and channels, and their features in the one order that the rest has. Pure;
 * main thread.
 *
 * Letters: `N` rows, `H` height, `W` width, `C` channels.
 */
import { DataError } from '../errors.js'
import { lumaOf } from '../picture/colour.js'
import type { InputShape } from '../tensor/input-shape.js'
import type { Features } from './source.js'

export type ChannelOrder = 'auto' | 'channels-last' | 'channels-first'

export interface ArrayShape extends InputShape {
  /** True if the array is (N, C, H, W). */
  readonly isFirst: boolean
}

const isChannels = (size: number): boolean => size === 1 || size === 3

/** Shape of a row of (N), (N, F), (N, H, W), (N, H, W, C) or (N, C, H, W). Throws DataError for another, or where it may be either. */
export function rowShape(where: string, shape: readonly number[], order: ChannelOrder): ArrayShape {
  const [, ...dims] = shape
  const flat = { channels: 1, isFirst: false }
  if (dims.includes(0)) {
    throw new DataError(`${where}: shape is (${shape.join(', ')}), expected at least one number in each row`)
  }
  if (shape.length === 1) return { height: 1, width: 1, ...flat }
  if (shape.length === 2) return { height: 1, width: dims[0], ...flat }
  if (shape.length === 3) return { height: dims[0], width: dims[1], ...flat }
  const [first, , last] = dims
  if (shape.length === 4) {
    const found = settled(first, last, order)
    if (found === 'channels-last') return { height: dims[0], width: dims[1], channels: last, isFirst: false }
    if (found === 'channels-first') return { height: dims[1], width: dims[2], channels: first, isFirst: true }
    if (found === 'either') {
      throw new DataError(
        `${where}: shape is (${shape.join(', ')}), expected one dimension of channels, 1 or 3; both the second and the last may be it`,
        { hint: '--set data.npz.order=channels-last, or channels-first' },
      )
    }
  }
  throw new DataError(
    `${where}: shape is (${shape.join(', ')}), expected (rows, features), (rows, height, width), (rows, height, width, 1 or 3) or ` +
      `(rows, 1 or 3, height, width)${order === 'auto' ? '' : `; data.npz.order is "${order}"`}`,
  )
}

function settled(first: number, last: number, order: ChannelOrder): ChannelOrder | 'either' | null {
  if (order === 'channels-last') return isChannels(last) ? order : null
  if (order === 'channels-first') return isChannels(first) ? order : null
  // A last dimension of 1 is what libraries add to grey pictures.
  if (last === 1) return 'channels-last'
  if (first === 1) return 'channels-first'
  if (isChannels(first) && isChannels(last)) return 'either'
  return isChannels(last) ? 'channels-last' : isChannels(first) ? 'channels-first' : null
}

/** Features (N, H · W · C) with the channels of a pixel side by side. */
export function channelsLast<T extends Features>(features: T, { height, width, channels, isFirst }: ArrayShape): T {
  if (!isFirst || channels === 1) return features
  const out = new (features.constructor as new (length: number) => T)(features.length)
  const pixels = height * width
  for (let at = 0; at < features.length; at += pixels * channels) {
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < pixels; i++) out[at + i * channels + c] = features[at + c * pixels + i]
    }
  }
  return out
}

/** Features with another number of channels: colours as grey (Rec. 601 luma), or grey three times. */
export function withChannels<T extends Features>(features: T, from: number, to: number): T {
  if (from === to) return features
  const out = new (features.constructor as new (length: number) => T)((features.length / from) * to)
  const isBytes = features instanceof Uint8Array
  if (to === 3) for (let i = 0; i < out.length; i++) out[i] = features[Math.floor(i / 3)]
  else {
    for (let i = 0; i < out.length; i++) {
      const grey = lumaOf(features[3 * i], features[3 * i + 1], features[3 * i + 2])
      out[i] = isBytes ? Math.round(grey) : grey
    }
  }
  return out
}
