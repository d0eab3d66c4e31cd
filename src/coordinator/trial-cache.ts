/**
 * Times of trials, kept in the user's cache folder: the next run of the same network on this machine takes the same backend without
 * another trial. Main thread. A problem with the cache is not an error: then there is a trial again.
 *
 * An entry counts for the same steps (network, mini-batch, optimizer, data set) with the same code and libraries on the same kind of
 * CPU. It counts for any number of workers: what a file trains to must not depend on that.
 */
import { createHash } from 'node:crypto'
import { link, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as z from 'zod'
import { cacheFolder } from '../files/cache.js'
import type { ComputePair } from '../kernels/choose-compute.js'
import { cpuFlags } from '../kernels/cpu.js'
import { DECIDING_VARIABLES } from '../kernels/native/probe-cache.js'
import { gradloomVersion } from '../version.js'
import type { RunPlan } from '../worker/plan/run-plan.js'
import type { StepTime } from './trial-choice.js'

/** Version of the entries; changes with their form and with what a trial measures. */
const FORMAT = 1
/** Variables that change kernels of our own. */
const KERNEL_VARIABLES = /^GRADLOOM_(X64|BF16)$/
/** Code of the workers and of the kernels. */
const CODE = ['../worker/bundle/', '../kernels/module/'] as const

const entry = z.object({
  times: z
    .array(
      z.object({
        backend: z.enum(['wasm', 'blas', 'onednn']),
        precision: z.enum(['f32', 'bf16']),
        workers: z.int().min(1),
        ms: z.number().positive(),
      }),
    )
    .min(1),
})

/** File of the trial of a plan among these pairs. */
export async function trialFile(plan: RunPlan, dataset: string, pairs: readonly ComputePair[]): Promise<string> {
  const { platform, arch, versions, env } = process
  const machine = [platform, arch, versions.node, cpus()[0]?.model, cpuFlags(), availableParallelism()]
  const environment = Object.entries(env).filter(
    ([name]) => DECIDING_VARIABLES.test(name) || KERNEL_VARIABLES.test(name),
  )
  const facts = [
    FORMAT,
    gradloomVersion(),
    await codeDigest(),
    machine,
    environment.sort(),
    stepOf(plan),
    dataset,
    pairs,
  ]
  const key = createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 32)
  return join(cacheFolder('trials'), `${key}.json`)
}

/** Everything of a plan that the time of a step depends on, but backend and workers, which a trial compares. */
function stepOf(plan: RunPlan) {
  const { widths, convolutions, features, embeddings, activation, dropout, inputDropout, norm, weighted, ema } = plan
  const { loss, l2, clipValue, clipNorm, maxNorm, batchSize, accumulateSteps, augmentation, optimizer, images } = plan
  return {
    ...{
      widths,
      convolutions,
      features,
      embeddings,
      activation,
      dropout,
      inputDropout,
      norm: norm.type,
      loss,
      weighted,
    },
    ...{ batchSize: Math.min(batchSize, images.train), accumulateSteps, augmentation, optimizer: optimizer.type },
    ...{ l2: l2 > 0, ema: ema !== null, clips: [clipValue, clipNorm, maxNorm].map(limit => limit !== null) },
    ...{ allReduce: plan.allReduce, input: plan.input, windows: plan.windows !== null },
  }
}

let digest: Promise<string> | undefined

/** SHA-256 of the code whose speed is measured; read once. */
function codeDigest(): Promise<string> {
  digest ??= (async () => {
    const hash = createHash('sha256')
    for (const folder of CODE.map(path => fileURLToPath(new URL(path, import.meta.url)))) {
      for (const name of (await readdir(folder)).filter(name => /\.(mjs|js|wasm)$/.test(name)).sort()) {
        hash.update(`${name}\n`).update(await readFile(join(folder, name)))
      }
    }
    return hash.digest('hex')
  })()
  return digest
}

/** null: none yet, or not readable. */
export async function readTimes(file: string): Promise<readonly StepTime[] | null> {
  try {
    return entry.parse(JSON.parse(await readFile(file, 'utf8'))).times
  } catch {
    return null
  }
}

/**
 * Keeps the times of a trial and returns those that count: of processes that tried at the same time, the first to be done decides for
 * all, so that they compute the same bits.
 */
export async function keepTimes(file: string, times: readonly StepTime[]): Promise<readonly StepTime[]> {
  const text = `${JSON.stringify({ times }, null, 2)}\n`
  const own = `${file}.${process.pid}.tmp`
  try {
    await mkdir(dirname(file), { recursive: true })
    await writeFile(own, text)
    try {
      await link(own, file)
      return times
    } catch {
      const first = await readTimes(file)
      // An entry that cannot be read, or a file system without links.
      if (!first) await rename(own, file)
      return first ?? times
    }
  } catch {
    // A full disk, a read-only home: the next run makes the trial again.
    return times
  } finally {
    await rm(own, { force: true }).catch(() => {})
  }
}
