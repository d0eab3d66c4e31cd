/** `GET /runs` and what is below it. Server's thread. */
import { basename } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { GradloomError } from '../errors.js'
import { FILES } from '../run/manifest.js'
import { readMetrics } from './follow.js'
import type { Inference } from './inference.js'
import { OPERATIONS } from './operations.js'
import { findRun } from './predict.js'
import type { ImagesResponse, MistakesResponse, ModelFacts } from './protocol.js'
import { entryOf, experimentOf, type Registry, readOf, type ServedRun } from './registry.js'

/** Maximum size of the metrics in a response, in characters: about two hundred thousand events. */
const MOST_METRICS = 16 * 2 ** 20

interface OfRun {
  Params: { id: string }
}

export function addRunRoutes(app: FastifyInstance, registry: Registry, inference: Inference): void {
  app.route({ ...OPERATIONS.runs, handler: () => Promise.all(registry.list().map(entryOf)) })
  app.route<OfRun>({
    ...OPERATIONS.run,
    handler: async ({ params }) => {
      const run = findRun(registry, params.id)
      const { metrics, metricsAreWhole } = await metricsOf(run)
      return {
        ...(await entryOf(run)),
        experiment: await experimentOf(run),
        summary: (run.dir !== null && (await readOf(run.dir, FILES.summary))) || null,
        model: await modelOf(run, inference),
        ...{ metrics, metricsAreWhole },
      }
    },
  })
  app.route<OfRun & { Querystring: { count: number; turn: number } }>({
    ...OPERATIONS.images,
    handler: async ({ params, query }): Promise<ImagesResponse> => {
      const run = findRun(registry, params.id)
      const { height, width, channels } = await inference.facts(run)
      return { height, width, channels, ...(await inference.ask(run, { ask: 'spread', ...query })) }
    },
  })
  app.route<OfRun & { Querystring: { count: number; look: number } }>({
    ...OPERATIONS.mistakes,
    handler: async ({ params, query }): Promise<MistakesResponse> => {
      const run = findRun(registry, params.id)
      const { height, width, channels, classNames, checkpoint } = await inference.facts(run)
      const { mistakes, ...found } = await inference.ask(run, { ask: 'mistakes', ...query })
      return {
        ...{ height, width, channels, ...found, checkpoint: basename(checkpoint) },
        mistakes: mistakes.map(({ image, predicted: label, confidence }) => ({
          ...image,
          predicted: { label, className: classNames[label], confidence },
        })),
      }
    },
  })
}

/** Facts about the model; null for a run without weights. */
async function modelOf(run: ServedRun, inference: Inference): Promise<ModelFacts | null> {
  try {
    const facts = await inference.facts(run)
    return { ...facts, checkpoint: basename(facts.checkpoint) }
  } catch (error) {
    if (error instanceof GradloomError) return null
    throw error
  }
}

async function metricsOf({ dir }: ServedRun): Promise<{ metrics: object[]; metricsAreWhole: boolean }> {
  const metrics: object[] = []
  if (dir === null) return { metrics, metricsAreWhole: true }
  let place = null
  for (let length = 0; length < MOST_METRICS; ) {
    const read = await readMetrics(dir, place)
    if (read.restarted) metrics.length = 0
    if (read.lines.length === 0) return { metrics, metricsAreWhole: true }
    for (const line of read.lines) {
      metrics.push(JSON.parse(line))
      length += line.length
    }
    place = read.place
  }
  return { metrics, metricsAreWhole: false }
}
