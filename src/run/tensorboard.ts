/**
 * A run's scalars for TensorBoard: an event file, which is a TFRecord file of protobuf messages `Event`. Main thread.
 *
 * Record: length (u64), its masked CRC-32C, the message, its masked CRC-32C, all little-endian.
 * https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
 * https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
 */
import { mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { SCORE_NAMES } from '../config/scores.js'
import { AppendLog } from '../files/append.js'
import { crc32c } from '../formats/crc32c.js'
import { double, encode, type Field, float, int, message, text } from '../formats/protobuf.js'
import type { Score, TrainEvent } from './events.js'

/** First record that TensorBoard expects; from version 2 on a new session drops what was written after its step. */
const VERSION = 'brain.Event:2'
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const
const SUMMARY = { value: 1, tag: 1, simpleValue: 2 } as const
const SESSION = { status: 1, start: 1 } as const
const MASK = 0xa282ead8

export class TensorboardLog {
  private constructor(private readonly log: AppendLog) {}

  /** Creates a new file in `folder`, which is created if it is missing. */
  static async open(folder: string, onWarning: (message: string) => void, now = Date.now()): Promise<TensorboardLog> {
    await mkdir(folder, { recursive: true })
    const name = `events.out.tfevents.${Math.floor(now / 1000)}.${hostname()}.${process.pid}`
    const log = await AppendLog.open(join(folder, name), 'TensorBoard events', onWarning)
    log.append(record(now / 1000, text(EVENT.fileVersion, VERSION)))
    return new TensorboardLog(log)
  }

  /** `time` is that of the event, in milliseconds. */
  append(event: TrainEvent, time: number): void {
    const found = scalarsOf(event)
    if (found === null) return
    const values = Object.entries(found.scalars).map(([tag, value]) =>
      message(SUMMARY.value, text(SUMMARY.tag, tag), float(SUMMARY.simpleValue, value)),
    )
    this.log.append(record(time / 1000, int(EVENT.step, found.step), message(EVENT.summary, ...values)))
  }

  /** Continues after this step: TensorBoard forgets what was written of later ones. */
  goBackTo(step: number, now = Date.now()): void {
    const session = message(EVENT.sessionLog, int(SESSION.status, SESSION.start))
    this.log.append(record(now / 1000, int(EVENT.step, Math.max(0, step + 1)), session))
  }

  close(): Promise<void> {
    return this.log.close()
  }
}

interface Scalars {
  readonly step: number
  readonly scalars: Readonly<Record<string, number>>
}

function scalarsOf(event: TrainEvent): Scalars | null {
  const scores = (split: string, score: Score): Record<string, number> =>
    Object.fromEntries(
      (['loss', 'accuracy', ...SCORE_NAMES] as const).flatMap(name => {
        const value = score[name]
        return typeof value === 'number' ? [[`${split}/${name}`, value]] : []
      }),
    )
  switch (event.type) {
    case 'steps': {
      const { step, learningRate, samplesPerSecond } = event
      const others = { 'train/learning_rate': learningRate, 'train/samples_per_second': samplesPerSecond }
      return { step, scalars: { ...scores('train', event), ...others } }
    }
    case 'epoch': {
      const { step, train, validation } = event
      // Steps events have the training loss and accuracy already.
      const ofTraining = typeof train?.r2 === 'number' ? { 'train/r2': train.r2 } : {}
      const all = { ...ofTraining, ...(validation && scores('validation', validation)) }
      return Object.keys(all).length > 0 ? { step, scalars: all } : null
    }
    case 'evaluation':
      return event.validation ? { step: event.step, scalars: scores('validation', event.validation) } : null
    case 'end':
      return event.summary.test ? { step: event.summary.steps, scalars: scores('test', event.summary.test) } : null
    default:
      return null
  }
}

function record(seconds: number, ...fields: readonly Field[]): Uint8Array {
  const data = encode(double(EVENT.wallTime, seconds), ...fields)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(data.length))
  return Buffer.concat([length, masked(length), data, masked(data)])
}

/** Masked CRC: a CRC over data that contain their own CRC detects little. */
function masked(of: Uint8Array): Buffer {
  const crc = crc32c(of)
  const out = Buffer.alloc(4)
  out.writeUInt32LE((((crc >>> 15) | (crc << 17)) + MASK) >>> 0)
  return out
}
