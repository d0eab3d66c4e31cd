/** A server over runs, for the tests of a file. */
import type { Test } from 'tap'
import { resolveExperiment, train } from '../../src/index.js'
import { Registry } from '../../src/serve/registry.js'
import { type RunningServer, type ServeOptions, startServer } from '../../src/serve/server.js'

/** On a port that is free; stopped at the test's end. */
export async function served(
  t: Test,
  targets: readonly string[],
  options: Partial<ServeOptions> = {},
): Promise<RunningServer> {
  const server = await startServer({ registry: await Registry.of(targets), port: 0, ...options })
  t.teardown(() => server.stop())
  return server
}

/** Trains to about 96 % of the test digits in two seconds, with shifted and rotated images: for digits by hand. */
export async function trainForDrawings(runDir: string): Promise<string> {
  const experiment = resolveExperiment({
    name: 'drawings',
    data: { dataset: 'digits', validation: 0.1 },
    model: { hidden: [128], dropout: 0 },
    train: { epochs: 6, batchSize: 64, l2: 0 },
    optimizer: { learningRate: 0.002 },
    compute: { workers: 1, backend: 'wasm' },
  })
  await train(experiment, { runDir })
  return runDir
}

export interface Answer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: tests look into what it turns out to be
  readonly json: any
}

export async function ask(
  url: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(url + path, {
    ...(body !== undefined && { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) }),
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
  })
  return { status: response.status, json: await response.json() }
}
