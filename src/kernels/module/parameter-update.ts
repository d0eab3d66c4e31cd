/**
 * The update of a weight matrix and of a bias, for every backend over the WASM module: gradient, update, derived layout,
 * sum over buffers. Backends differ only in where a tile lies and in how its gradient is computed: `TileLayout` and
 * `BiasPart` say it. Runs in workers; writes the parameters, their moments and the thread's scratch.
 */
import type { OptimizerStep } from '../../model/optimizer.js'
import { byteOffsetOf } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type {
  BiasTensors,
  BiasUpdate,
  Columns,
  Range,
  TableUpdate,
  Tile,
  WeightTensors,
  WeightUpdate,
} from '../backend.js'
import { F32_BYTES } from '../layouts.js'
import { bindOptimizer, bindRuns, type EachRun } from './optimizers.js'

/** Storage and arithmetic of one weight matrix's tiles in a backend. A part of a tile is a tile. */
export interface TileLayout {
  /**
   * Visits the parts of a tile whose gradient fits the scratch. `prepare` is called before the parts of each range of
   * inputs, for what their gradients share.
   */
  eachPart(tile: Tile, visit: (part: Tile) => void, prepare?: (part: Tile) => void): void
  /**
   * True if a gradient that goes to a buffer is computed in these parts as well. False if the bits of a product depend
   * on its shape: then a tile is one product.
   */
  readonly splitsBuffers: boolean
  /** Reads the inputs of a part over the batch rows [row, row + rows) into the scratch; absent where nothing is needed. */
  prepare?(part: Tile, row: number, rows: number): void
  /**
   * Gradient of a part over the batch rows [row, row + rows), at byte offset g, with `stride` bytes from panel to panel or
   * row to row. Overwrites it, or adds to it.
   */
  gradient(g: number, stride: number, part: Tile, row: number, rows: number, accumulate: boolean): void
  /** Updates a part and its derived layouts from the gradient at g. */
  update(g: number, stride: number, part: Tile, step: OptimizerStep): void
  readonly eachRun: EachRun
  /** Byte offset of a part from the first weight of the matrix. */
  offsetOf(part: Tile): number
  /** Bytes from panel to panel or row to row of the matrix, and of the dense gradient of a part. */
  readonly stride: number
  denseStride(part: Tile): number
  /** Place of a part in the moments; absent: as in the matrix. */
  readonly momentPlace?: MomentPlace
  /** Scales down the columns of the master that are longer than the limit. */
  limit(columns: Columns, limit: number): void
  /** Writes the derived layouts of a tile from the master. */
  derive(tile: Tile): void
}

/** Byte offset of a part from the first element of a moment, and bytes from panel to panel or row to row there. */
export type MomentPlace = (part: Tile) => { readonly offset: number; readonly stride: number }

/** Places in moments that are as large as the matrix, or in those of the tiles that a rank owns. `offsetIn`: of a part, with such a stride. */
export function bindMomentPlace(
  { owned }: WeightTensors,
  stride: number,
  offsetIn: (part: Pick<Tile, 'inputStart' | 'outputStart'>, stride: number) => number,
  denseStride: (tile: Tile) => number,
): MomentPlace {
  if (!owned) return part => ({ offset: offsetIn(part, stride), stride })
  return part => {
    const { tile, at } = owned.of(part)
    const dense = denseStride(tile)
    const within = { inputStart: part.inputStart - tile.inputStart, outputStart: part.outputStart - tile.outputStart }
    return { offset: at * F32_BYTES + offsetIn(within, dense), stride: dense }
  }
}

/** `scratch`: byte offset of the memory for the gradient of one part. */
export function bindWeightUpdate(
  wasm: WasmExports,
  scratch: number,
  w: WeightTensors,
  layout: TileLayout,
): WeightUpdate {
  const { stride, eachRun } = layout
  const master = byteOffsetOf(w.master)
  const momentPlace = layout.momentPlace ?? (part => ({ offset: layout.offsetOf(part), stride }))
  const bytesOf = (tile: Tile): number => {
    let floats = 0
    layout.eachPart(tile, part =>
      eachRun(part, (_, n) => {
        floats += n
      }),
    )
    return floats * F32_BYTES
  }
  /** Visits the parts of a tile, each with the place of its gradient where they lie one after the other. */
  const eachPlaced = (
    at: number,
    tile: Tile,
    visit: (part: Tile, at: number) => void,
    prepare?: (part: Tile) => void,
  ) => {
    let next = at
    layout.eachPart(
      tile,
      part => {
        visit(part, next)
        eachRun(part, (_, n) => {
          next += n * F32_BYTES
        })
      },
      prepare,
    )
  }
  const preparing = (row: number, rows: number) =>
    layout.prepare ? (part: Tile) => layout.prepare?.(part, row, rows) : undefined
  return {
    fused(tile, rows, step) {
      const visit = (part: Tile) => {
        const dense = layout.denseStride(part)
        layout.gradient(scratch, dense, part, 0, rows, false)
        layout.update(scratch, dense, part, step)
      }
      layout.eachPart(tile, visit, preparing(0, rows))
    },
    accumulate(buffer, tile, row, rows, first) {
      const at = byteOffsetOf(buffer)
      const visit = (part: Tile) => layout.gradient(at + layout.offsetOf(part), stride, part, row, rows, !first)
      if (layout.splitsBuffers) layout.eachPart(tile, visit, preparing(row, rows))
      else visit(tile)
    },
    reduce(buffers, tile, step) {
      const [sum, ...others] = buffers.map(byteOffsetOf)
      layout.eachPart(tile, part => {
        if (others.length > 0) {
          eachRun(part, (offset, n) => {
            for (const other of others) wasm.add(sum + offset, other + offset, n)
          })
        }
        layout.update(sum + layout.offsetOf(part), stride, part, step)
      })
    },
    sum(to, buffers, tile, first) {
      const sum = byteOffsetOf(to)
      const [copied, ...added] = buffers.map(byteOffsetOf)
      layout.eachPart(tile, part =>
        eachRun(part, (offset, n) => {
          if (first) wasm.copy_rows(sum + offset, 0, copied + offset, 0, 1, n * F32_BYTES)
          else wasm.add(sum + offset, copied + offset, n)
          for (const other of added) wasm.add(sum + offset, other + offset, n)
        }),
      )
    },
    limit(columns, limit) {
      layout.limit(columns, limit)
      const outputEnd = Math.min(columns.end, w.outputs)
      layout.derive({ inputStart: 0, inputEnd: w.inputs, outputStart: columns.start, outputEnd })
    },
    ...bindRuns(wasm, master, eachRun),
    average(average, tile, share) {
      const place = momentPlace(tile)
      let at = byteOffsetOf(average) + place.offset
      eachRun(tile, (offset, n) => {
        wasm.approach(at, master + offset, n, share)
        at += place.stride
      })
    },
    tiles: {
      bytes: bytesOf,
      compute: (at, tile, row, rows) =>
        eachPlaced(
          at,
          tile,
          (part, place) => layout.gradient(place, layout.denseStride(part), part, row, rows, false),
          preparing(row, rows),
        ),
      add: (at, other, tile) => wasm.add(at, other, bytesOf(tile) / F32_BYTES),
      apply: (at, tile, step) =>
        eachPlaced(at, tile, (part, place) => layout.update(place, layout.denseStride(part), part, step)),
      store(buffer, at, tile, first) {
        let next = at
        const to = byteOffsetOf(buffer)
        layout.eachPart(tile, part =>
          eachRun(part, (offset, n) => {
            if (first) wasm.copy_rows(to + offset, 0, next, 0, 1, n * F32_BYTES)
            else wasm.add(to + offset, next, n)
            next += n * F32_BYTES
          }),
        )
      },
    },
  }
}

/** Some units of a bias, whose deltas lie in rows `stride` bytes apart. */
export interface BiasPart {
  /** Units before these. */
  readonly first: number
  /** A multiple of 4. */
  readonly units: number
  /** Byte offset of the deltas of batch row 0. */
  readonly dz: number
  readonly stride: number
}

/** `scratch`: byte offset of the memory for the gradient of the largest part. */
export function bindBiasUpdate(
  wasm: WasmExports,
  scratch: number,
  bias: BiasTensors,
  parts: readonly BiasPart[],
): BiasUpdate {
  const apply = bindOptimizer(wasm)
  const master = byteOffsetOf(bias.master)
  const moments = bias.moments.map(byteOffsetOf)
  const units = parts.reduce((sum, part) => sum + part.units, 0)

  const sumRows = (g: number, { dz, stride, units }: BiasPart, row: number, rows: number, accumulate: boolean) =>
    wasm.column_sums(g, dz + row * stride, stride, rows, units / 4, Number(accumulate))
  const update = (g: number, { first, units }: BiasPart, step: OptimizerStep) => {
    const offset = first * F32_BYTES
    const at = moments.map(moment => moment + offset)
    apply(master + offset, at, g, units, 'bias', step)
  }
  return {
    fused(rows, step) {
      for (const part of parts) {
        sumRows(scratch, part, 0, rows, false)
        update(scratch, part, step)
      }
    },
    accumulate(buffer, row, rows, first) {
      const at = byteOffsetOf(buffer)
      for (const part of parts) sumRows(at + part.first * F32_BYTES, part, row, rows, !first)
    },
    reduce(buffers, step) {
      const [sum, ...others] = buffers.map(byteOffsetOf)
      for (const other of others) wasm.add(sum, other, units)
      for (const part of parts) update(sum + part.first * F32_BYTES, part, step)
    },
  }
}

const VECTOR = 4

/** Binds the update of a table, which is flat, and padded with zeros to whole vectors. */
export function bindTableUpdate(wasm: WasmExports, { master, moments }: BiasTensors): TableUpdate {
  const apply = bindOptimizer(wasm)
  const at = byteOffsetOf(master)
  const momentsAt = moments.map(byteOffsetOf)
  const placeOf = ({ start, end }: Range) => [start * F32_BYTES, Math.ceil((end - start) / VECTOR) * VECTOR] as const
  return {
    reduce(buffers, range, step) {
      const [offset, n] = placeOf(range)
      const [sum, ...others] = buffers.map(buffer => byteOffsetOf(buffer) + offset)
      for (const other of others) wasm.add(sum, other, n)
      apply(
        at + offset,
        momentsAt.map(moment => moment + offset),
        sum,
        n,
        'bias',
        step,
      )
    },
    ...bindRuns<Range>(wasm, at, (range, visit) => visit(...placeOf(range))),
  }
}
