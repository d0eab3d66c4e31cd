/**
 * Networks of a server: opened on the first request, reloaded when their run has written newer weights, and evaluated in
 * batches: in a thread of their own, so that HTTP never waits for arithmetic, or in the server's where that is short. Server's thread.
 *
 * Letters: `F` features of an image or a row, `C` classes or targets.
 */
import { stat } from 'node:fs/promises'
import { Piscina } from 'piscina'
import type { Features } from '../data/source.js'
import type { BackendName } from '../inference/model.js'
import { answerOf, type Outcome } from '../inference/outcome.js'
import { workOfRow } from '../inference/table/importance.js'
import type { Prepared } from '../picture/prepare.js'
import { openRun } from '../run/open.js'
import { Batcher } from './batcher.js'
import { TooBusyError } from './errors.js'
import type { Answers, InferenceTask, ModelKey, Question } from './inference-thread.js'
import type { PictureTask } from './picture-thread.js'
import type { ModelFacts } from './protocol.js'
import type { ServedRun } from './registry.js'

/** Maximum batch: twice what all connections of a usual load ask. */
const BATCH = 128
/** Images that may wait for a network, and picture files for the decoding thread, 4 MiB each at most. */
const MOST_WAITING = 4096
const MOST_PICTURES = 16
/** Minimum interval between checks for newer weights. */
const RENEW_MS = 2000

interface Model {
  readonly key: ModelKey
  readonly facts: ModelFacts
  readonly batcher: Batcher<Features, Float32Array>
}

interface Current {
  readonly model: Promise<Model>
  readonly checkedMs: number
}

export class Inference {
  readonly #networks = new Piscina<InferenceTask, Outcome<unknown>>({
    filename: new URL('./inference-thread.js', import.meta.url).href,
    ...{ minThreads: 0, maxThreads: 1, idleTimeout: Number.POSITIVE_INFINITY, recordTiming: false, execArgv: [] },
  })
  readonly #pictures = new Piscina<PictureTask, Outcome<Prepared>>({
    filename: new URL('./picture-thread.js', import.meta.url).href,
    ...{
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: 60_000,
      maxQueue: MOST_PICTURES,
      recordTiming: false,
      execArgv: [],
    },
  })
  readonly #current = new Map<string, Current>()
  readonly #backend: BackendName | undefined
  readonly #onOpened: (run: string, backend: string) => void

  /** `onOpened` is called with a run and what its network computes with, each time that new weights are opened. */
  constructor(backend?: BackendName, onOpened: (run: string, backend: string) => void = () => {}) {
    this.#backend = backend
    this.#onOpened = onOpened
  }

  /** Rejects with a GradloomError where a run has no weights yet, or they cannot be used. */
  async facts(run: ServedRun): Promise<ModelFacts> {
    return (await this.#model(run)).facts
  }

  /** Probabilities, or targets, (C) of each of the images (F), which must be of the network's size and kind. */
  async probabilities(run: ServedRun, images: readonly Features[]): Promise<Float32Array[]> {
    const { batcher } = await this.#model(run)
    return batcher.askAll(images)
  }

  async ask<Asked extends Question>(run: ServedRun, question: Asked): Promise<Answers[Asked['ask']]> {
    const { key } = await this.#model(run)
    return this.#ask(key, question)
  }

  /** Decodes a picture file and prepares it for the network of `facts`. */
  async prepare(where: string, bytes: Uint8Array, facts: ModelFacts): Promise<Prepared> {
    if (this.#pictures.queueSize >= MOST_PICTURES) {
      throw new TooBusyError(`pictures: ${MOST_PICTURES} are waiting, expected fewer`)
    }
    const { height, width, channels, preparation, background } = facts
    const input = { height, width, channels, preparation, background }
    return answerOf(await this.#pictures.run({ where, bytes, input } satisfies PictureTask))
  }

  async close(): Promise<void> {
    await Promise.all([this.#networks.destroy(), this.#pictures.destroy()])
  }

  async #ask<Asked extends Question>(model: ModelKey, question: Asked): Promise<Answers[Asked['ask']]> {
    return answerOf(await this.#networks.run({ model, question })) as Answers[Asked['ask']]
  }

  /**
   * Returns what computes the outputs (B, C) of a batch (B, F): in the networks' thread, or at once in this one where a batch is
   * short. The bits are the same.
   */
  async #outputsOf(key: ModelKey, { widths }: ModelFacts): Promise<(images: Features) => Promise<Float32Array>> {
    if (BATCH * workOfRow({ widths }) > SHORT_WORK) {
      return images => this.#ask(key, { ask: 'probabilities', images })
    }
    const { Predictor } = await import('../inference/predictor.js')
    const predictor = await Predictor.open(key.target, { backend: key.backend, threads: 1 })
    return async images => predictor.predict(images).data
  }

  #model(run: ServedRun): Promise<Model> {
    const now = performance.now()
    const current = this.#current.get(run.id)
    if (current && now - current.checkedMs < RENEW_MS) return current.model
    const model = this.#renew(run, current)
    this.#current.set(run.id, { model, checkedMs: now })
    // The next request tries again after a failure; waiting ones get the error.
    model.catch(() => {
      if (this.#current.get(run.id)?.model === model) this.#current.delete(run.id)
    })
    return model
  }

  async #renew(run: ServedRun, before: Current | undefined): Promise<Model> {
    const { checkpoint } = await openRun(run.target)
    const { mtimeMs, size } = await stat(checkpoint)
    const version = `${checkpoint} ${mtimeMs} ${size}`
    const known = await before?.model.catch(() => undefined)
    if (known?.key.version === version) return known
    const key: ModelKey = { run: run.id, target: run.target, version, backend: this.#backend }
    const facts = await this.#ask(key, { ask: 'facts' })
    this.#onOpened(run.id, facts.backend)
    const classes = facts.classNames.length
    const outputs = await this.#outputsOf(key, facts)
    const ask = async (images: readonly Features[]) => {
      const all = await outputs(joined(images))
      return images.map((_, i) => all.subarray(i * classes, (i + 1) * classes))
    }
    return { key, facts, batcher: new Batcher({ ask, mostInBatch: BATCH, mostWaiting: MOST_WAITING }) }
  }
}

/**
 * Products of a whole batch that take no longer than a millisecond or two: a message to another thread and back, with both threads
 * awake, cost a third of all requests (784-512-256-10, 32 connections).
 */
const SHORT_WORK = 1e8

function joined(images: readonly Features[]): Features {
  const size = images.length * (images[0]?.length ?? 0)
  const all = images[0] instanceof Float32Array ? new Float32Array(size) : new Uint8Array(size)
  for (const [i, image] of images.entries()) all.set(image, i * image.length)
  return all
}
