/** The events of a run, as its `metrics.jsonl` has them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TrainEvent } from '../../src/run/events.js'

/** Every line must be whole. */
export const eventsIn = (runDir: string): TrainEvent[] =>
  readFileSync(join(runDir, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as TrainEvent)

/** Events of one type. */
export const eventsOfType = <T extends TrainEvent['type']>(
  runDir: string,
  type: T,
): Extract<TrainEvent, { type: T }>[] =>
  eventsIn(runDir).filter((event): event is Extract<TrainEvent, { type: T }> => event.type === type)
