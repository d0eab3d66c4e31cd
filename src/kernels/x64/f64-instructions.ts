/** Instructions on numbers of 64 bits, eight in a vector; assembler.ts adds all others. Pure; any thread. */
import { MAP_0F, MAP_38, NONE, P66 } from './encoder.js'
import { type Operand, type Vector, vectorId } from './operands.js'
import { TileInstructions } from './tile-instructions.js'

/** Bytes of the f32 that become one vector. */
const HALF_BYTES = 32

export abstract class F64Instructions extends TileInstructions {
  vaddpd(to: Vector, a: Vector, b: Operand): void {
    this.evex({ map: MAP_0F, prefix: P66, opcode: 0x58, wide: true, reg: vectorId(to), vvvv: vectorId(a), rm: b })
  }

  /** to += a · b, rounded once. */
  vfmadd231pd(to: Vector, a: Vector, b: Operand): void {
    this.evex({ map: MAP_38, prefix: P66, opcode: 0xb8, wide: true, reg: vectorId(to), vvvv: vectorId(a), rm: b })
  }

  /** Eight f32 to f64: 32 bytes of memory, or the lower half of a vector. */
  vcvtps2pd(to: Vector, from: Operand): void {
    this.evex({ map: MAP_0F, prefix: NONE, opcode: 0x5a, reg: vectorId(to), rm: from, unit: HALF_BYTES })
  }
}
