/**
 * The matrix products of one training step of the reference network as a native library gets them in a run: row-major,
 * forward and backward pass in the blocks of their grid, the gradients in tiles. Weights take 80 MB, each product finds its own as far away
 * as in a step. One thread; any.
 *
 * `B` rows of the batch, `I` inputs and `O` outputs of a layer.
 */

import { loadBackend } from '../src/kernels/backends.js'
import { openProducts } from '../src/kernels/native/open-products.js'
import type { NativeLibrary, ProductForm } from '../src/kernels/products.js'
import { createArena, Reservations, type Slot, viewSlot } from '../src/tensor/arena.js'
import { divideGrid } from '../src/worker/plan/grid.js'
import { layerTiles } from '../src/worker/plan/tiles.js'
import {
  fill,
  inStepOrder,
  longEnough,
  type Piece,
  type Product,
  type ProductKind,
  type Products,
} from './gemm-products.js'
import { CACHED_FLOATS, cachedProduct } from './native.js'
import { REFERENCE_BATCH, REFERENCE_WIDTHS } from './reference-network.js'

const FLOAT_BYTES = 4
/** Elements that a row is padded to, a cache line. */
const LINE = 16

/** A row-major matrix: its place, and elements from row to row. */
interface Rows {
  readonly slot: Slot<'float32'>
  readonly elems: number
}

/** c (m, n) at `c` from a and b at element offsets. */
interface Block {
  readonly m: number
  readonly n: number
  readonly k: number
  readonly a: number
  readonly b: number
  readonly c: number
}

export async function buildNativeProducts(library: NativeLibrary): Promise<Products & { readonly cachedSize: string }> {
  const backend = await loadBackend(library.backend)
  const widths = REFERENCE_WIDTHS
  const at = new Reservations()
  const matrix = (rows: number, cols: number): Rows => {
    const elems = Math.ceil(cols / LINE) * LINE
    return { slot: at.reserve('', 'float32', [rows, elems]), elems }
  }
  const activations = widths.map(width => matrix(REFERENCE_BATCH, width))
  const deltas = widths.map(width => matrix(REFERENCE_BATCH, width))
  const weights = widths.slice(1).map((outputs, i) => matrix(widths[i], outputs))
  // Tiles depend on the network and the backend alone.
  const tiles = layerTiles({ widths, batchSize: REFERENCE_BATCH, workers: 1, clipNorm: null }, backend)
  const gradients = weights.map((_, layer) => {
    const own = tiles.filter(tile => tile.layer === layer).map(({ tile }) => tile)
    const longest = (from: 'input' | 'output') =>
      Math.max(...own.map(tile => tile[`${from}End`] - tile[`${from}Start`]))
    return matrix(longest('input'), longest('output'))
  })
  const cached = at.reserve('', 'float32', [CACHED_FLOATS])
  const memory = createArena(at.bytes)
  for (const { slot } of [...activations, ...deltas, ...weights, ...gradients]) fill(viewSlot(memory, slot).data)
  const open = await openProducts(library, 'f32', memory)

  const pieces = (form: ProductForm, c: Rows, a: Rows, b: Rows, blocks: readonly Block[]): Piece[] => {
    const place = ({ slot }: Rows, elems: number) => open.base + slot.byteOffset + elems * FLOAT_BYTES
    return blocks.map(({ m, n, k, ...offset }) => {
      const multiply = open.gemm.bind({ form, m, n, k, lda: a.elems, ldb: b.elems, ldc: c.elems, accumulate: false })
      const [to, left, right] = [place(c, offset.c), place(a, offset.a), place(b, offset.b)]
      return longEnough({ flops: 2 * m * n * k, run: () => multiply(left, right, to) })
    })
  }
  /** Blocks of a (B, cols) matrix; `bOf`: elements to the part of the weights that a column needs. */
  const grid = (c: Rows, a: Rows, cols: number, k: number, bOf: (column: number) => number): Block[] =>
    divideGrid(REFERENCE_BATCH, cols, k, backend).map(({ row, rows, columns }) => {
      const n = columns.end - columns.start
      return { m: rows, n, k, a: row * a.elems, b: bOf(columns.start), c: row * c.elems + columns.start }
    })
  const products = weights.flatMap((w, layer): Product[] => {
    const [inputs, outputs] = [widths[layer], widths[layer + 1]]
    const product = (kind: ProductKind, form: ProductForm, c: Rows, a: Rows, b: Rows, blocks: Block[]): Product => {
      const all = pieces(form, c, a, b, blocks)
      const [{ m, n, k }] = blocks
      return { kind, layer, m, n, k, stepFlops: 2 * REFERENCE_BATCH * inputs * outputs, pieces: () => all }
    }
    const [x, z, dx, dz] = [activations[layer], activations[layer + 1], deltas[layer], deltas[layer + 1]]
    const forward = product(
      'forward',
      'nn',
      z,
      x,
      w,
      grid(z, x, outputs, inputs, column => column),
    )
    const back = () =>
      product(
        'backward',
        'nt',
        dx,
        dz,
        w,
        grid(dx, dz, inputs, outputs, row => row * w.elems),
      )
    const ofTiles = tiles
      .filter(tile => tile.layer === layer)
      .map(({ tile: { inputStart, inputEnd, outputStart, outputEnd } }): Block => {
        const [m, n] = [inputEnd - inputStart, outputEnd - outputStart]
        return { m, n, k: REFERENCE_BATCH, a: inputStart, b: outputStart, c: 0 }
      })
    const weightGradient = product('weight gradient', 'tn', gradients[layer], x, dz, ofTiles)
    // Deltas of the input are never read.
    return layer === 0 ? [forward, weightGradient] : [forward, back(), weightGradient]
  })
  const micro = cachedProduct(open, memory, cached)
  return { products: inStepOrder(products), micro, cachedSize: micro.size }
}
