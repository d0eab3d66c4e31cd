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
import { CLEAR, patchGradientSignature } from './product-signatures.js'
import { mayLeaveOutZeros } from './sparse-products.js'

const BLOCK_BYTES = 128

const ANY: PatchSizes = { size: 1, run: 1, width: 1, step: 0, rowStep: 0, pictureRow: 0, vectors: 1, bRow: 0, cRow: 0 }
const CLEARED = wordsOf(CLEAR)
/** Words of the arguments: those of a product are the first of a gradient's. */
const PATCHES = wordsOf(patchGradientSignature(ANY))

/** Null where this CPU or this system cannot: on the same ones as products that skip zeros, whose note on bits stands for both. */
export async function openPatches(memory: WebAssembly.Memory): Promise<PatchKernels | null> {
  if (!mayLeaveOutZeros()) return null
  const block = await openBlock(memory, BLOCK_BYTES)
  if (!block) return null
  const { words } = block
  const panelsOf = bindPanels(block)
  const [runClear] = block.bind([clear()])
  const bindRun =
    (panels: readonly Panel[]) =>
    (a: number, b: number, c: number, rows: number, adds = false): void => {
      words[PATCHES.a] = a
      words[PATCHES.rows] = rows
      words[PATCHES.adds] = Number(adds)
      for (const { run, at } of panels) {
        words[PATCHES.b] = b + at
        words[PATCHES.c] = c + at
        run()
      }
    }
  return {
    clear(to, vectors) {
      words[CLEARED.to] = to
      words[CLEARED.vectors] = vectors
      runClear()
    },
    product: sizes => bindRun(panelsOf('product', patchProduct, sizes)),
    gradient: sizes => bindRun(panelsOf('gradient', patchGradient, sizes)),
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
