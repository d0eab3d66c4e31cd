/**
 * Convolutions in machine code: each shape's kernels are assembled when a thread opens its plan and binds its network. Any thread.
 *
 * Test: node dist/test/kernels/x64/convolutions.test.js   Bench: npm run bench -- conv
 */
import type { PatchKernels, PatchSizes } from '../products.js'
import { type ArgumentBlock, type BoundKernel, openBlock } from './argument-block.js'
import { type Loadable, wordsOf } from './calling-convention.js'
import { VECTOR_BYTES } from './constants.js'
import { clear, MOST_VECTORS, patchGradient, patchProduct } from './convolution-kernels.js'
import { CLEAR, patchGradientSignature, patchProductSignature } from './product-signatures.js'
import { mayLeaveOutZeros } from './sparse-products.js'

const BLOCK_BYTES = 128

const ANY: PatchSizes = { size: 1, run: 1, width: 1, step: 0, rowStep: 0, pictureRow: 0, vectors: 1, bRow: 0, cRow: 0 }
const PRODUCT = wordsOf(patchProductSignature(ANY))
const CLEARED = wordsOf(CLEAR)
const GRADIENT = wordsOf(patchGradientSignature(ANY))

/** Null where this CPU or this system cannot: on the same ones as products that skip zeros, whose note on bits stands for both. */
export async function openPatches(memory: WebAssembly.Memory): Promise<PatchKernels | null> {
  if (!mayLeaveOutZeros()) return null
  const block = await openBlock(memory, BLOCK_BYTES)
  if (!block) return null
  const { words } = block
  const panelsOf = bindPanels(block)
  const [runClear] = block.bind([clear()])
  return {
    clear(to, vectors) {
      words[CLEARED.to] = to
      words[CLEARED.vectors] = vectors
      runClear()
    },
    product(sizes) {
      const panels = panelsOf('product', patchProduct, sizes)
      return (a, b, c, rows) => {
        words[PRODUCT.a] = a
        words[PRODUCT.rows] = rows
        for (const { run, at } of panels) {
          words[PRODUCT.b] = b + at
          words[PRODUCT.c] = c + at
          run()
        }
      }
    },
    gradient(sizes) {
      const panels = panelsOf('gradient', patchGradient, sizes)
      return (a, b, c, rows, adds) => {
        words[GRADIENT.a] = a
        words[GRADIENT.rows] = rows
        words[GRADIENT.adds] = Number(adds)
        for (const { run, at } of panels) {
          words[GRADIENT.b] = b + at
          words[GRADIENT.c] = c + at
          run()
        }
      }
    },
  }
}

/** Vectors of a row of the result that code is made for, and where they begin. */
interface Panel {
  readonly run: BoundKernel
  readonly at: number
}

/** Same sizes, same code. */
function bindPanels(block: ArgumentBlock) {
  const known = new Map<string, BoundKernel>()
  const bind = (key: string, make: () => Loadable): BoundKernel => {
    const kernel = known.get(key) ?? block.bind([make()])[0]
    known.set(key, kernel)
    return kernel
  }
  return (name: string, make: (sizes: PatchSizes) => Loadable, sizes: PatchSizes): Panel[] =>
    Array.from({ length: Math.ceil(sizes.vectors / MOST_VECTORS) }, (_, i) => {
      const vectors = Math.min(MOST_VECTORS, sizes.vectors - i * MOST_VECTORS)
      const ofPanel = { ...sizes, vectors }
      return {
        run: bind(`${name} ${Object.values(ofPanel).join(' ')}`, () => make(ofPanel)),
        at: i * MOST_VECTORS * VECTOR_BYTES,
      }
    })
}
