/** A run directory made by hand, the same each time: nothing is trained, and no clock is asked. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { resolveExperiment } from '../../src/config/load.js'
import { type TestResults, textOf } from '../../src/report/test-results.js'

export interface FixedRun {
  readonly name?: string
  readonly epochs?: number
  readonly classNames?: readonly string[]
  /** Lines of metrics.jsonl on top of those of the epochs. */
  readonly events?: readonly object[]
  /** Loss of an epoch, in place of one that falls. */
  readonly lossOf?: (epoch: number) => number | string | null
  /** Leave out: the summary, as of a killed run; the scores in it; the answers; the times of workers; all of metrics.jsonl. */
  readonly without?: readonly ('summary' | 'scores' | 'answers' | 'times' | 'metrics' | 'manifest')[]
  /** In the summary. */
  readonly error?: string
  /** In place of the usual. */
  readonly manifest?: object
  /** Lines added to metrics.jsonl, as they are. */
  readonly tail?: string
}

const SHA = 'ab'.repeat(32)
const SIDE = 6
const STEPS = 20

/** Numbers from 0 to 1 that look random: a linear congruential generator, Numerical Recipes. */
function numbers(seed = 1): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** Writes it to `dir`, which must not exist. */
export function writeFixedRun(dir: string, run: FixedRun = {}): string {
  const { name = 'fixed', epochs = 4, classNames = ['cat', 'dog', 'owl', 'yak'], without = [] } = run
  const left = (part: (typeof without)[number]) => without.includes(part)
  const write = (file: string, content: object) =>
    writeFileSync(join(dir, file), `${JSON.stringify(content, null, 2)}\n`)
  mkdirSync(join(dir, 'checkpoints'), { recursive: true })
  const { experiment } = resolveExperiment({
    name,
    data: { dataset: 'idx', path: '/nowhere' },
    model: { hidden: [8, 5], dropout: 0.1 },
    train: { epochs: Math.max(epochs, 1), batchSize: 32 },
    compute: { workers: 2, backend: 'wasm' },
  })
  write('resolved.json', experiment)
  if (!left('manifest')) write('manifest.json', run.manifest ?? manifestOf(name))
  const widths = [SIDE * SIDE, 8, 5, classNames.length]
  if (!left('metrics')) {
    const lines = [
      { type: 'start', name, widths, stepsPerEpoch: STEPS },
      ...epochEvents(run, epochs),
      ...(run.events ?? []),
    ]
    writeFileSync(
      join(dir, 'metrics.jsonl'),
      lines.map(line => `${JSON.stringify(line)}\n`).join('') + (run.tail ?? ''),
    )
  }
  if (!left('answers')) writeFileSync(join(dir, 'test-results.json'), textOf(answersOf(classNames, widths)))
  const scores = left('scores') ? { train: null, test: null } : SCORES
  write(left('summary') ? 'unused.json' : 'summary.json', {
    ...{ name, status: run.error === undefined ? 'completed' : 'failed', error: run.error, seed: 1 },
    ...{ backend: 'wasm', precision: 'f32', workers: 2, shardRows: 16, allReduce: 'fused' },
    ...{ epochs, steps: epochs * STEPS, rowsSeen: epochs * 640, seconds: epochs * 0.25, samplesPerSecond: 2560 },
    ...{ parameters: 369, ...scores, weightsSha256: SHA, checkpoint: `checkpoints/step-${epochs * STEPS}.safetensors` },
  })
  return dir
}

const SCORES = {
  train: { loss: 0.3125, accuracy: 0.90625 },
  validation: { loss: 0.375, accuracy: 0.875 },
  test: { loss: 0.40625, accuracy: 0.8125 },
}

function epochEvents({ lossOf = epoch => 2 / (epoch + 1), without = [] }: FixedRun, epochs: number): object[] {
  return Array.from({ length: epochs }, (_, i) => i + 1).flatMap(epoch => {
    const step = epoch * STEPS
    const loss = lossOf(epoch)
    const [accuracy, learningRate, samplesPerSecond] = [1 - 0.5 / epoch, 0.001 / epoch, 2400 + 40 * epoch]
    const train = { loss, accuracy }
    const validation = { loss: typeof loss === 'number' ? loss + 0.1 : loss, accuracy: accuracy - 0.05 }
    const half = { computeMs: 60 + epoch, updateMs: 40, waitMs: 20 }
    const workers = [half, { ...half, computeMs: 55, waitMs: 25 + epoch }]
    const times = without.includes('times') ? {} : { workers }
    const rate = { learningRate, samplesPerSecond }
    return [
      ...[STEPS / 2, STEPS].map(at => ({
        ...{ type: 'steps', from: step - STEPS + at - STEPS / 2, step: step - STEPS + at, epoch, loss, accuracy },
        ...{ ...rate, ...times },
      })),
      { type: 'epoch', epoch, epochs, step, train, validation, ...rate, seconds: 0.25 },
      { type: 'checkpoint', step, file: `checkpoints/step-${step}.safetensors`, weightsSha256: SHA, seconds: 0.1 },
    ]
  })
}

function manifestOf(name: string): object {
  return {
    startedAt: '2026-01-31T12:00:00.000Z',
    backend: { name: 'wasm', reason: 'asked for', library: null, bitsDependOn: 'nothing' },
    workers: 2,
    data: {
      dataset: 'idx',
      rows: { train: 640, validation: 64, test: 48 },
      files: [{ path: `/data/${name}/t10k-images-idx3-ubyte`, bytes: 1744, md5: '0'.repeat(32), official: null }],
    },
    from: null,
    machine: {
      ...{ gradloom: '0.1.0', node: '20.19.0', v8: '11.3', os: 'linux 6.1 x64' },
      cpu: { model: 'Example CPU', cores: 8, available: 2 },
      memory: { totalBytes: 16e9, freeBytes: 8e9, limitBytes: null },
      wasm: { simd: true, threads: true },
    },
  }
}

function answersOf(classNames: readonly string[], widths: readonly number[]): TestResults {
  const next = numbers()
  const classes = classNames.length
  const images = 12 * classes
  const labels = Int32Array.from({ length: images }, (_, i) => i % classes)
  const predicted = labels.map(label => (next() < 0.8 ? label : Math.floor(next() * classes)))
  const confidence = Float32Array.from(labels, () => 0.3 + 0.7 * next())
  const pixels = () => Uint8Array.from({ length: SIDE * SIDE }, () => Math.floor(256 * next()))
  const wrong = [...labels.keys()]
    .filter(i => labels[i] !== predicted[i])
    .sort((a, b) => confidence[b] - confidence[a])
    .slice(0, 6)
  const kind = (layer: number) => (layer === 0 ? 'input' : layer === widths.length - 1 ? 'output' : 'hidden')
  return {
    ...{ weightsSha256: SHA, checkpoint: 'checkpoints/step-80.safetensors', note: null },
    ...{ height: SIDE, width: SIDE, channels: 1, classNames, labels, predicted, confidence },
    mistakes: wrong.map(index => ({
      ...{ index, truth: labels[index], pixels: pixels() },
      top: [predicted[index], labels[index]].map((label, i) => ({
        label,
        probability: i === 0 ? confidence[index] : (1 - confidence[index]) / 2,
      })),
    })),
    examples: wrong.slice(0, 1).map(index => ({
      ...{ index, truth: labels[index] },
      layers: widths.map((units, layer) => ({
        ...{ layer, kind: kind(layer), units },
        values: Float32Array.from({ length: units }, (_, unit) =>
          layer === widths.length - 1 ? Number(unit === predicted[index]) : Math.max(0, next() - 0.3),
        ),
      })),
    })),
  }
}
