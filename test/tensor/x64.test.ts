/**
 * Kernels in AVX-512 beside those of the WASM module that they stand in for: the same bits, over sizes that fill no
 * vector, strides, numbers that are subnormal, infinite or NaN; and the assembler beside bytes from the manual.
 */
import t from 'tap'
import { createArena } from '../../src/tensor/arena.js'
import { addressOf } from '../../src/tensor/kernels/native/memory.js'
import { openX64, X64_VARIABLE } from '../../src/tensor/kernels/native/x64/accelerate.js'
import {
  Assembler,
  at,
  broadcastAt,
  COMPARE,
  k,
  R8,
  R11,
  R14,
  RAX,
  RCX,
  RDI,
  zeroing,
  zmm,
} from '../../src/tensor/kernels/native/x64/assembler.js'
import { KERNELS } from '../../src/tensor/kernels/native/x64/kernels.js'
import { philox } from '../../src/tensor/random.js'
import { compileWasm } from '../../src/tensor/kernels/wasm/compile.js'
import { instantiateWasm, type WasmExports } from '../../src/tensor/kernels/wasm/exports.js'

t.test('assembler: as an assembler of the system spells it', t => {
  const code = new Assembler()
  const hex = (emit: () => void) => {
    const from = code.bytes.length
    emit()
    return Buffer.from(code.bytes.subarray(from)).toString('hex')
  }
  // From objdump, which read the same mnemonics.
  t.equal(hex(() => code.vmovups(zmm(0), at(RCX, 0, R11))), '62b17c4810441900', 'vmovups zmm0, [rcx + r11]')
  t.equal(hex(() => code.vmovups(at(R8, 64), zmm(31))), '62417c48117801', 'vmovups [r8 + 64], zmm31')
  t.equal(hex(() => code.vmulps(zmm(1), zmm(23), zmm(0))), '62f1444059c8', 'vmulps zmm1, zmm23, zmm0')
  t.equal(hex(() => code.vcmpps(k(1), zmm(27), zmm(25), COMPARE.greaterOrEqual)), '62912440c2c91d', 'vcmpps')
  t.equal(hex(() => code.vmovups(zmm(2), zmm(2), zeroing(k(1)))), '62f17cc910d2', 'vmovups zmm2{k1}{z}, zmm2')
  t.equal(hex(() => code.vpxor3d(zmm(2), zmm(3), broadcastAt(RDI, 0x94))), '62f36558255725' + '96', 'vpternlogd')
  t.equal(hex(() => code.add(R14, RAX)), '4c03f0', 'add r14, rax')
  t.equal(hex(() => code.add(RAX, -16)), '4881c0f0ffffff', 'add rax, -16')
  t.end()
})

const BYTES = 1 << 20
const { memory } = createArena({ bytes: 16 * BYTES, slots: [] })
