/**
 * Products in bf16 on AMX, in machine code: the bits of oneDNN's, whose sums run in the same order through the same
 * instruction. A step of the reference network takes 0.95 times as long with them, for they are called with less around
 * them. Asking for the next weights while they compute was tried: it did not pay. Any thread.
 *
 * c (m, 64) is computed in blocks of 32 x 32: four tiles of sums, two of a, two of b.
 *
 * Test: npx tap dist/test/tensor/amx.test.js
 */

import { loadKoffi } from '../ffi/koffi.js'
import { BF16_DEPTH } from '../layouts.js'
import type { BindBf16 } from '../products.js'
import { type Assembler, at, R8, R9, R11, R14, R15, RAX, RBX, RCX, RDI, RDX, RSI, tmm } from './assembler.js'
import { ARGUMENTS_WORD, begin, count, pointer } from './calling-convention.js'
import { mayRun } from './cpu.js'
import { openCode } from './executable-memory.js'

const NEEDED = ['amx_tile', 'amx_bf16']
const [SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA] = [158, 0x1023, 18]

/** Rows of a tile, and the bytes of each. */
const [TILE_ROWS, TILE_BYTES] = [16, 64]
/** Rows that are computed at once. */
const ROWS = 2 * TILE_ROWS
const STRIP_ROW_BYTES = 256
/** Of 32 rows of b in pairs. */
const DEPTH_BYTES = 4096
const BF16_BYTES = 2

const CONFIG_AT = 64
const BLOCK_BYTES = 128
/** Palette 1; eight tiles: bytes of a row at 16 and after, rows at 48 and after. */
function createConfig(): Uint8Array {
  const config = new Uint8Array(BLOCK_BYTES - CONFIG_AT)
  config[0] = 1
  for (let tile = 0; tile < 8; tile++) {
    config[16 + 2 * tile] = TILE_BYTES
    config[48 + tile] = TILE_ROWS
  }
  return config
}

/** product(a, b, c, aStride, m / 32, k / 32). */
function product(): Assembler {
  const code = begin()
  const kept = [RBX, R14, R15]
  code.push(...kept)
  const [a, b, c, aStride, stripRow, blocks, depth] = [RCX, RDX, R8, R14, R15, R11, RAX]
  const [upper, lower, place] = [RSI, RBX, R9]
  const sums = [0, 1, 2, 3].map(tmm)
  code.ldtilecfg(at(RDI, CONFIG_AT))
  pointer(code, a, 0)
  pointer(code, c, 2)
  count(code, aStride, 3)
  count(code, blocks, 4)
  code.clear(stripRow)
  code.add(stripRow, STRIP_ROW_BYTES)
  code.loop(blocks, 1, () => {
    for (const half of [0, 1]) {
      code.mov(upper, a)
      code.mov(lower, aStride)
      for (let rows = 1; rows < TILE_ROWS; rows *= 2) code.add(lower, lower)
      code.add(lower, a)
      code.mov(b, at(RDI))
      count(code, place, 1)
      code.add(b, place)
      code.add(b, 2 * TILE_BYTES * half)
      count(code, depth, 5)
      for (const sum of sums) code.tilezero(sum)
      code.loop(depth, 1, () => {
        code.tileload(tmm(6), at(b, 0, stripRow))
        code.tileload(tmm(4), at(upper, 0, aStride))
        code.tdpbf16ps(sums[0], tmm(4), tmm(6))
        code.tileload(tmm(7), at(b, TILE_BYTES, stripRow))
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
      code.tilestore(at(place, 0, stripRow), sums[0])
      code.tilestore(at(place, TILE_BYTES, stripRow), sums[1])
      code.add(place, TILE_ROWS * STRIP_ROW_BYTES)
      code.tilestore(at(place, 0, stripRow), sums[2])
      code.tilestore(at(place, TILE_BYTES, stripRow), sums[3])
    }
    code.mov(place, aStride)
    for (let rows = 1; rows < ROWS; rows *= 2) code.add(place, place)
    code.add(a, place)
    code.add(c, ROWS * STRIP_ROW_BYTES)
  })
  code.tilerelease()
  code.pop(...kept)
  code.ret()
  return code
}

/**
 * What multiplies in the place of a library's products, which take what is left: sizes that are no whole blocks, and
 * sums that are added to others. Null where this CPU, or this system, cannot. `base`: where the arena begins.
 */
export async function openAmx(base: number): Promise<((library: BindBf16) => BindBf16) | null> {
  if (!mayRun(NEEDED)) return null
  const koffi = await loadKoffi()
  const syscall = koffi.load(null).func('long syscall(long number, long a, long b)')
  if (syscall(SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) !== 0) return null
  const load = await openCode()
  if (!load) return null
  const run = load(product())
  const memory = new ArrayBuffer(BLOCK_BYTES)
  new BigUint64Array(memory)[0] = BigInt(base)
  new Uint8Array(memory).set(createConfig(), CONFIG_AT)
  const address = Number(koffi.address(memory))
  const words = new Uint32Array(memory)

  return library =>
    ({ m, k, accumulate }) => {
      if (m % ROWS > 0 || accumulate) return library({ m, k, accumulate })
      return (a, b, c) => {
        words[ARGUMENTS_WORD] = a - base
        words[ARGUMENTS_WORD + 1] = b - base
        words[ARGUMENTS_WORD + 2] = c - base
        words[ARGUMENTS_WORD + 3] = k * BF16_BYTES
        words[ARGUMENTS_WORD + 4] = m / ROWS
        words[ARGUMENTS_WORD + 5] = k / BF16_DEPTH
        run(address)
      }
    }
}
