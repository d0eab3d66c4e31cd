/** Feature maps side by side, as one grid of values. Pure; any thread. */
import type { InputShape } from '../tensor/input-shape.js'

export interface Mosaic {
  readonly width: number
  readonly height: number
  /** Index in the values of the cell in this column and row; null: a cell between two maps, or behind the last. */
  indexAt(column: number, row: number): number | null
}

/** Maps (height, width, channels) in rows of maps, about square together, with a cell between them. */
export function mosaicOf({ height, width, channels }: InputShape): Mosaic {
  const across = Math.max(1, Math.min(channels, Math.round(Math.sqrt((channels * (height + 1)) / (width + 1)))))
  const down = Math.ceil(channels / across)
  return {
    width: across * (width + 1) - 1,
    height: down * (height + 1) - 1,
    indexAt(column, row) {
      const [x, y] = [column % (width + 1), row % (height + 1)]
      const map = Math.floor(row / (height + 1)) * across + Math.floor(column / (width + 1))
      return x === width || y === height || map >= channels ? null : (y * width + x) * channels + map
    },
  }
}

/** `16 maps of 14 x 14`, width first, as pictures are said. */
export const mapsTitle = ({ height, width, channels }: InputShape): string =>
  `${channels} ${channels === 1 ? 'map' : 'maps'} of ${width} x ${height}`
