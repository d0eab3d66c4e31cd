/**
 * Products in bf16 on AMX, in machine code: the bits of oneDNN's, whose sums run in the same order through the same
 * instruction. A step of the reference network takes 0.95 times as long with them, for there is less around each call.
 * Prefetching the next weights while they compute was tried: it did not pay. Any thread.
 *
 * c (m, 64) is computed in blocks of 32 x 32: four tiles of sums, two of a, two of b.
 *
 * Test: node dist/test/kernels/x64/amx.test.js
 */

import { loadKoffi } from '../../ffi/koffi.js'
import { BF16_BYTES, BF16_DEPTH, BLOCK_ROW_BYTES, PAIR_BYTES } from '../layouts.js'
import type { BindBf16 } from '../products.js'
import { openBlock } from './argument-block.js'
import { type Assembler, at, R8, R9, R11, R14, R15, RAX, RBX, RCX, RDI, RDX, RSI, tmm } from './assembler.js'
import { begin, wordsOf } from './calling-convention.js'
import { obstacle } from './cpu.js'
import { AMX_PRODUCT } from './product-signatures.js'

const NEEDED = ['amx_tile', 'amx_bf16']
const [SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA] = [158, 0x1023, 18]

/** Rows of a tile, and bytes of a row. */
const [TILE_ROWS, TILE_BYTES] = [16, 64]
/** Rows of c that are computed at once. */
const ROWS = 2 * TILE_ROWS
/** Bytes of 32 rows of b, interleaved in pairs. */
const DEPTH_BYTES = (BF16_DEPTH / 2) * PAIR_BYTES

const CONFIG_AT = 64
const BLOCK_BYTES = 128
/** Configuration of the tiles: palette 1; bytes of a row from byte 16 on, rows from byte 48 on. */
function createConfig(): Uint8Array {
  const config = new Uint8Array(BLOCK_BYTES - CONFIG_AT)
  config[0] = 1
  for (let tile = 0; tile < 8; tile++) {
    config[16 + 2 * tile] = TILE_BYTES
    config[48 + tile] = TILE_ROWS
  }
  return config
}

/** One product; arguments: AMX_PRODUCT. */
function product(): Assembler {
  const { code, load, loadOffset } = begin(AMX_PRODUCT)
  const kept = [RBX, R14, R15]
  code.push(...kept)
  const [a, b, c, aStride, blockRow, blocks, depth] = [RCX, RDX, R8, R14, R15, R11, RAX]
  const [upper, lower, place] = [RSI, RBX, R9]
  const sums = [0, 1, 2, 3].map(tmm)
  code.ldtilecfg(at(RDI, CONFIG_AT))
  load(a, 'a')
  load(c, 'c')
  load(aStride, 'aStride')
  load(blocks, 'blocks')
  code.clear(blockRow)
  code.add(blockRow, BLOCK_ROW_BYTES)
  code.loop(blocks, 1, () => {
    for (const half of [0, 1]) {
      code.mov(upper, a)
      code.mov(lower, aStride)
      for (let rows = 1; rows < TILE_ROWS; rows *= 2) code.add(lower, lower)
      code.add(lower, a)
      code.mov(b, at(RDI))
      loadOffset(place, 'b')
      code.add(b, place)
      code.add(b, 2 * TILE_BYTES * half)
      load(depth, 'depth')
      for (const sum of sums) code.tilezero(sum)
      code.loop(depth, 1, () => {
        code.tileload(tmm(6), at(b, 0, blockRow))
        code.tileload(tmm(4), at(upper, 0, aStride))
        code.tdpbf16ps(sums[0], tmm(4), tmm(6))
        code.tileload(tmm(7), at(b, TILE_BYTES, blockRow))
        code.tdpbf16ps(sums[1], tmm(4), tmm(7))
        code.tileload(tmm(5), at(lower, 0, aStride))
        code.tdpbf16ps(sums[2], tmm(5), tmm(6))
        code.tdpbf16ps(sums[3], tmm(5), tmm(7))
        code.add(upper, TILE_BYTES)
        code.add(lower, TILE_BYTES)
        code.add(b, DEPTH_BYTES)
      })
      code.mov(place, c)
      code.add(place, 2 * TILE_BYTES * half)
      code.tilestore(at(place, 0, blockRow), sums[0])
      code.tilestore(at(place, TILE_BYTES, blockRow), sums[1])
      code.add(place, TILE_ROWS * BLOCK_ROW_BYTES)
      code.tilestore(at(place, 0, blockRow), sums[2])
      code.tilestore(at(place, TILE_BYTES, blockRow), sums[3])
    }
    code.mov(place, aStride)
    for (let rows = 1; rows < ROWS; rows *= 2) code.add(place, place)
    code.add(a, place)
    code.add(c, ROWS * BLOCK_ROW_BYTES)
  })
  code.tilerelease()
  code.pop(...kept)
  code.ret()
  return code
}

/** Reason why products on AMX cannot run here; null where they can. */
export async function amxObstacle(): Promise<string | null> {
  const missing = obstacle(NEEDED)
  if (missing) return missing
  const koffi = await loadKoffi()
  const syscall = koffi.load(null).func('long syscall(long number, long a, long b)')
  const refused = syscall(SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) !== 0
  return refused ? 'the system does not let this process use AMX (arch_prctl)' : null
}

/**
 * Products in the place of a library's, which keep sizes that are no whole blocks and sums that are added to others. Null
 * where this CPU or this system cannot. The code is assembled here, before the first product.
 */
export async function openAmx(memory: WebAssembly.Memory): Promise<((library: BindBf16) => BindBf16) | null> {
  if (await amxObstacle()) return null
  const block = await openBlock(memory, BLOCK_BYTES)
  if (!block) return null
  const { words, base } = block
  new Uint8Array(words.buffer, words.byteOffset).set(createConfig(), CONFIG_AT)
  const [run] = block.bind([{ signature: AMX_PRODUCT, code: product() }])
  const word = wordsOf(AMX_PRODUCT)

  return library =>
    ({ m, k, accumulate }) => {
      if (m % ROWS > 0 || accumulate) return library({ m, k, accumulate })
      return (a, b, c) => {
        words[word.a] = a - base
        words[word.b] = b - base
        words[word.c] = c - base
        words[word.aStride] = k * BF16_BYTES
        words[word.blocks] = m / ROWS
        words[word.depth] = k / BF16_DEPTH
        run()
      }
    }
}
