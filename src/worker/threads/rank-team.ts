/** What a program needs of its layout: the tensors of the state, and this rank among the others. Runs in workers. */
import { viewSlot } from '../../tensor/arena.js'
import { viewVector, viewWeight } from '../network/views.js'
import type { Layout } from '../plan/layout.js'
import type { RunPlan } from '../plan/run-plan.js'
import type { ProgramParts, RankTeam } from '../program/stage.js'
import { Meeting } from './meeting.js'

export function stateTensors({ parameters }: Layout, memory: WebAssembly.Memory): ProgramParts['state'] {
  const of = (isWeight: boolean) => parameters.filter(({ parameter: { kind } }) => (kind === 'weight') === isWeight)
  return {
    weights: of(true).map(slots => viewWeight(memory, slots)),
    vectors: of(false).map(slots => viewVector(memory, slots)),
  }
}

/** The place where this rank meets those that it shares memory with; null: there are none. */
export function meetingOf({ host, spinTurns }: RunPlan, { control, meeting }: Layout, memory: WebAssembly.Memory) {
  if (!host || !meeting) return null
  const [words, heads] = [viewSlot(memory, meeting.words).data, viewSlot(memory, meeting.heads).data]
  return new Meeting({ ...host, spinTurns, control: viewSlot(memory, control).data, words, heads })
}

export function rankTeam(plan: RunPlan, { control, exchange }: Layout, memory: WebAssembly.Memory): RankTeam {
  const { words, buffer, slicesAt, moments } = exchange!
  return {
    ...{ rank: plan.ranks!.rank, size: plan.ranks!.size, spinTurns: plan.spinTurns },
    control: viewSlot(memory, control).data,
    words: viewSlot(memory, words).data,
    arena: new Int32Array(memory.buffer),
    buffer: {
      at: buffer.byteOffset / 4,
      words: Math.floor(buffer.shape[0] / 4),
      slicesAt: (buffer.byteOffset + slicesAt) / 4,
      tiles: moments.tiles / 4,
    },
  }
}
