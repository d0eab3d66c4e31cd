/**
 * Exchanges in which each rank sends every other one something else: gradients of groups of rows or samples, each to the rank that owns
 * the tile. Every rank knows all pieces, so nobody has to say what is sent. Runs in workers.
 */
import { addRuns, copyRuns, type Runs } from './regions.js'
import type { RankTeam, Region } from './stage.js'

const BYTES = 4

/** Words that one rank has and another one needs. */
export interface Piece {
  readonly from: number
  readonly to: number
  readonly words: number
  /** Where both ranks have them; null: in the buffer itself, where they are also if a rank sends them to itself. */
  readonly runs: Runs | null
}

export interface Slices {
  /** Word of the arena where a piece lies in the buffer of this rank; -1: it has no part in it. By piece. */
  readonly at: Int32Array
  /** Pieces that this rank copies to the buffer before the exchange, and from it after. */
  readonly packed: readonly number[]
  readonly taken: readonly number[]
  /** Bytes and places by rank: those that are sent, then those that come. */
  readonly sent: Ranges
  readonly received: Ranges
  /** Bytes of the largest part that one rank sends another. */
  readonly largest: number
}

export interface Ranges {
  readonly bytes: Int32Array
  readonly places: Int32Array
}

/** Places of the pieces in the buffer of a rank, from word `first` of it on: what it keeps, what it sends, what it gets, each by rank. */
export function placeSlices(
  pieces: readonly Piece[],
  { rank, size, buffer }: RankTeam,
  first = buffer.slicesAt - buffer.at,
): Slices {
  const at = new Int32Array(pieces.length).fill(-1)
  const sizes = new Float64Array(size * size)
  for (const { from, to, words } of pieces) if (from !== to) sizes[from * size + to] += words
  let end = first
  const place = (of: (piece: Piece) => boolean): { readonly first: number; readonly words: number } => {
    const first = end
    for (const [i, piece] of pieces.entries()) {
      if (!of(piece)) continue
      at[i] = buffer.at + end
      end += piece.words
    }
    return { first, words: end - first }
  }
  place(({ from, to, runs }) => from === rank && to === rank && runs === null)
  const ranks = Array.from({ length: size }, (_, other) => other)
  const none = { first: end, words: 0 }
  const sent = ranks.map(other => (other === rank ? none : place(({ from, to }) => from === rank && to === other)))
  const received = ranks.map(other => (other === rank ? none : place(({ from, to }) => from === other && to === rank)))
  if (end > buffer.words) throw new RangeError(`exchange: needs ${end} words, expected at most ${buffer.words}`)
  const copied = (of: (piece: Piece) => boolean) =>
    [...pieces.keys()].filter(i => pieces[i].runs !== null && pieces[i].from !== pieces[i].to && of(pieces[i]))
  return {
    at,
    packed: copied(({ from }) => from === rank),
    taken: copied(({ to }) => to === rank),
    sent: rangesOf(sent),
    received: rangesOf(received),
    largest: BYTES * sizes.reduce((a, b) => Math.max(a, b), 0),
  }
}

const rangesOf = (ranges: readonly { readonly first: number; readonly words: number }[]): Ranges => ({
  bytes: Int32Array.from(ranges, ({ words }) => BYTES * words),
  places: Int32Array.from(ranges, ({ first }) => BYTES * first),
})

/** A piece that lies where it is needed. */
export function pieceOfRegion(from: number, to: number, region: Region): Piece {
  const runs: Runs = []
  const words = addRuns(runs, region)
  return { from, to, words, runs }
}

export const copyPiece = ({ arena }: RankTeam, { runs }: Piece, at: number, back: boolean): void =>
  copyRuns(arena, runs!, at, back)
