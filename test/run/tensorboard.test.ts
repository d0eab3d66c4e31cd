/** Event files for TensorBoard, read with a reader of our own that takes nothing but what the formats allow. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { crc32c } from '../../src/formats/crc32c.js'
import { resolveExperiment, resume, train } from '../../src/index.js'
import type { TrainEvent } from '../../src/run/events.js'
import { TensorboardLog } from '../../src/run/tensorboard.js'
import { until } from '../helpers/until.js'

interface ReadEvent {
  wallTime: number
  step: number
  fileVersion?: string
  scalars: Record<string, number>
  restarts: boolean
}

type Wire = Map<number, (number | Buffer)[]>

t.test('CRC-32C: the examples of RFC 3720, appendix B.4, and the usual check', t => {
  const bytes = (of: (i: number) => number) => Uint8Array.from({ length: 32 }, (_, i) => of(i))
  t.equal(crc32c(bytes(() => 0)), 0x8a9136aa)
  t.equal(crc32c(bytes(() => 0xff)), 0x62a8ab43)
  t.equal(crc32c(bytes(i => i)), 0x46dd794e)
  t.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
  t.end()
})

t.test('a run with log.tensorboard: every scalar of metrics.jsonl, to f32, and resuming starts over', async t => {
  const runDir = join(t.testdir(), 'run')
  const experiment = resolveExperiment({
    data: { dataset: 'digits', validation: 0.1 },
    model: { hidden: [12], dropout: 0 },
    train: { epochs: 2, batchSize: 512 },
    compute: { workers: 1, backend: 'wasm' },
    log: { tensorboard: true },
  })
  const startedAt = Date.now() / 1000 - 1
  const stop = new AbortController()
  await train(experiment, {
    runDir,
    signal: stop.signal,
    onEvent: event => event.type === 'epoch' && stop.abort(),
  })
  const [first] = filesOf(runDir)
  t.match(first, /^events\.out\.tfevents\.\d{10}\..+/)
  const before = eventsOf(join(runDir, 'tensorboard', first))
  t.equal(before[0].fileVersion, 'brain.Event:2')
  t.same(scalarsIn(before), scalarsOfMetrics(runDir))
  t.ok(before.every(({ wallTime }) => wallTime >= startedAt && wallTime <= Date.now() / 1000))

  const nameOfNow = () => `events.out.tfevents.${Math.floor(Date.now() / 1000)}.`
  await until('a file made now has another name', () => !first.startsWith(nameOfNow()))
  const { summary } = await resume(runDir)
  const files = filesOf(runDir)
  t.equal(files.length, 2)
  const after = eventsOf(join(runDir, 'tensorboard', files[1]))
  const restart = after.find(({ restarts }) => restarts)
  const resumedAt = JSON.parse(readFileSync(join(runDir, 'manifest.json'), 'utf8')).resumes[0].step
  t.equal(restart?.step, resumedAt + 1, 'what was written of later steps is dropped')
  const kept = before.filter(({ step, scalars }) => step <= resumedAt && scalars['test/loss'] === undefined)
  const all = [...kept, ...after]
  t.same(scalarsIn(all), scalarsOfMetrics(runDir), 'both files together say what metrics.jsonl does')
  t.same(after.at(-1)?.scalars['test/accuracy'], Math.fround(summary.test!.accuracy!))
})

t.test('without log.tensorboard no event file is written', async t => {
  const runDir = join(t.testdir(), 'run')
  await train(
    resolveExperiment({
      data: { dataset: 'digits' },
      train: { epochs: 0 },
      model: { hidden: [4] },
      compute: { workers: 1 },
    }),
    { runDir },
  )
  t.notOk(readdirSync(runDir).includes('tensorboard'))
})

t.test('a loss of NaN is written as NaN', async t => {
  const folder = t.testdir()
  const log = await TensorboardLog.open(folder, message => t.fail(message))
  const score = { loss: Number.NaN, accuracy: 0.5 }
  log.append({ type: 'evaluation', step: 300, validation: score } satisfies TrainEvent, 0)
  await log.close()
  const [, { step, scalars }] = eventsOf(join(folder, readdirSync(folder)[0]))
  t.strictSame({ step, scalars }, { step: 300, scalars: { 'validation/loss': Number.NaN, 'validation/accuracy': 0.5 } })
})

const filesOf = (runDir: string): string[] => readdirSync(join(runDir, 'tensorboard')).sort()

/** `tag@step` and value, in order. */
function scalarsIn(events: readonly ReadEvent[]): [string, number][] {
  return events
    .flatMap(({ step, scalars }) =>
      Object.entries(scalars).map(([tag, value]): [string, number] => [`${tag}@${step}`, value]),
    )
    .sort(([a], [b]) => (a < b ? -1 : 1))
}

/** Scalars that `metrics.jsonl` has. */
function scalarsOfMetrics(runDir: string): [string, number][] {
  const found: [string, number][] = []
  const add = (step: number, prefix: string, values: Record<string, number>) => {
    for (const [name, value] of Object.entries(values)) found.push([`${prefix}/${name}@${step}`, Math.fround(value)])
  }
  for (const line of readFileSync(join(runDir, 'metrics.jsonl'), 'utf8').trimEnd().split('\n')) {
    const { type, step, validation, summary, loss, accuracy, learningRate, samplesPerSecond } = JSON.parse(line)
    if (type === 'steps') {
      add(step, 'train', { loss, accuracy, learning_rate: learningRate, samples_per_second: samplesPerSecond })
    }
    if (validation) add(step, 'validation', validation)
    if (type === 'end') add(summary.steps, 'test', summary.test)
  }
  return found.sort(([a], [b]) => (a < b ? -1 : 1))
}

function eventsOf(file: string): ReadEvent[] {
  return recordsOf(readFileSync(file)).map(record => {
    const event = fieldsOf(record)
    const scalars: Record<string, number> = {}
    const [summary] = event.get(5) ?? []
    if (summary !== undefined) {
      for (const value of fieldsOf(summary as Buffer).get(1)!) {
        const [[tag], [simple]] = [1, 2].map(field => fieldsOf(value as Buffer).get(field)!)
        scalars[(tag as Buffer).toString()] = (simple as Buffer).readFloatLE()
      }
    }
    const [version] = event.get(3) ?? []
    const [session] = event.get(7) ?? []
    return {
      wallTime: (event.get(1)![0] as Buffer).readDoubleLE(),
      step: (event.get(2)?.[0] as number) ?? 0,
      ...(version !== undefined && { fileVersion: version.toString() }),
      scalars,
      restarts: session !== undefined && fieldsOf(session as Buffer).get(1)![0] === 1,
    }
  })
}

/** Throws where a length or a digest is wrong, or a record is cut off. */
function recordsOf(bytes: Buffer): Buffer[] {
  const records: Buffer[] = []
  const check = (from: number, to: number) => {
    const crc = crc32c(bytes.subarray(from, to))
    const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
    if (bytes.readUInt32LE(to) !== masked) throw new Error(`CRC of bytes ${from} to ${to}`)
  }
  let at = 0
  while (at < bytes.length) {
    const length = Number(bytes.readBigUInt64LE(at))
    check(at, at + 8)
    check(at + 12, at + 12 + length)
    records.push(bytes.subarray(at + 12, at + 12 + length))
    at += 12 + length + 4
  }
  return records
}

/** Fields of a message by number: varints as numbers, all else as bytes. */
function fieldsOf(bytes: Buffer): Wire {
  const fields: Wire = new Map()
  let at = 0
  const varint = () => {
    let [value, factor] = [0, 1]
    for (;;) {
      const byte = bytes.readUInt8(at++)
      value += (byte & 127) * factor
      if (byte < 128) return value
      factor *= 128
    }
  }
  while (at < bytes.length) {
    const key = varint()
    const [field, wire] = [Math.floor(key / 8), key % 8]
    let value: number | Buffer
    if (wire === 0) value = varint()
    else {
      const size = wire === 1 ? 8 : wire === 5 ? 4 : wire === 2 ? varint() : Number.NaN
      if (!(at + size <= bytes.length)) throw new Error(`field ${field} of wire type ${wire} at byte ${at}`)
      value = bytes.subarray(at, at + size)
      at += size
    }
    fields.set(field, [...(fields.get(field) ?? []), value])
  }
  return fields
}
