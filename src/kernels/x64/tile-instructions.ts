/** Instructions of AMX, on tiles; assembler.ts adds all others. Pure; any thread. */
import { Encoder, NONE, PF2, PF3 } from './encoder.js'
import { type Address, type Tile, tileId } from './operands.js'

export abstract class TileInstructions extends Encoder {
  /** Loads the shapes of all tiles, 64 bytes. */
  ldtilecfg(from: Address): void {
    this.tile(NONE, 0x49, 0, plain(from))
  }

  tilerelease(): void {
    this.put(0xc4, 0xe2, 0x78, 0x49, 0xc0)
  }

  tilezero(to: Tile): void {
    this.tile(PF2, 0x49, tileId(to), { tile: 0 })
  }

  /** Loads a tile whose rows are `index` bytes apart (tileloadd). */
  tileload(to: Tile, from: Address): void {
    this.tile(PF2, 0x4b, tileId(to), strided(from))
  }

  tilestore(to: Address, from: Tile): void {
    this.tile(PF3, 0x4b, tileId(from), strided(to))
  }

  /** to (16, 16) f32 += a (16, 32) · b (32, 16), both bf16, b in pairs of rows; three different tiles. */
  tdpbf16ps(to: Tile, a: Tile, b: Tile): void {
    const ids = [to, a, b].map(tileId)
    if (new Set(ids).size < 3)
      throw new RangeError(`assembler: tdpbf16ps of tiles ${ids}, expected three different ones`)
    this.tile(PF3, 0x5c, ids[0], a, ids[2])
  }
}

/** An address that is no broadcast. */
function plain(address: Address): Address {
  if (address.broadcast) throw new TypeError('assembler: a broadcast to a tile, expected a plain address')
  return address
}

function strided(address: Address): Address {
  if (!address.index) throw new TypeError('assembler: a tile from an address without an index, expected its row stride')
  return plain(address)
}
