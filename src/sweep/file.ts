/** A sweep's file: the experiment, and the settings that vary. Read and checked on the main thread, before any run. */
import { basename, dirname, resolve } from 'node:path'
import * as z from 'zod'
import { readText } from '../config/file.js'
import { parseJson } from '../config/syntax.js'
import { ConfigError } from '../errors.js'

const path = z.string().min(1)
const range = z
  .strictObject({
    min: z.number(),
    max: z.number(),
    /** Uniform in the logarithm. */
    log: z.boolean().default(false),
    /** Whole numbers, both ends included. */
    integer: z.boolean().default(false),
  })
  .refine(({ min, max }) => min < max, { error: 'min must be below max' })
  .refine(({ min, log }) => !log || min > 0, { error: 'min must be above 0 for a logarithmic range' })

const schema = z.strictObject({
  $schema: z.string().optional(),
  /** The experiment file that all runs start from, relative to the sweep's. */
  experiment: path,
  /** Settings of all runs: path to value. */
  set: z.record(path, z.unknown()).default({}),
  /** Path to values; every combination is a run. */
  grid: z.record(path, z.array(z.unknown()).min(1)).default({}),
  /** Number of random draws, each with a value from every range; combined with the grid. */
  random: z
    .strictObject({
      count: z.int().min(1),
      seed: z.int().min(0).default(1),
      ranges: z.record(path, z.union([range, z.strictObject({ choices: z.array(z.unknown()).min(1) })])),
    })
    .nullable()
    .default(null),
  /** Whole settings, each a variant of its own; combined with the grid and the draws. */
  list: z.array(z.record(path, z.unknown())).default([]),
  /** Seeds that every variant is run with; empty: the experiment's seed. */
  seeds: z.array(z.int().min(0)).default([]),
  /** Runs at a time; the cores are divided among them. */
  parallel: z.int().min(1).max(64).default(1),
  /**
   * Successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943): all variants train for a small part of the epochs, the
   * best 1/factor of them continue for factor times as many, and so on, in `rungs` rungs.
   */
  halving: z
    .strictObject({ factor: z.int().min(2).default(3), rungs: z.int().min(2).max(10).default(3) })
    .nullable()
    .default(null),
})

export type SweepFile = z.output<typeof schema>

export interface LoadedSweep {
  readonly sweep: SweepFile
  /** The file's name without `.json`. */
  readonly name: string
  /** Absolute. */
  readonly experimentPath: string
}

/** Throws ConfigError with all that is wrong with the file. */
export async function loadSweep(file: string): Promise<LoadedSweep> {
  const { value } = parseJson((await readText(file)).replace(/^\ufeff/, ''), file)
  const { data, error } = schema.safeParse(value)
  if (!data) {
    const problems = error.issues.map(issue => `${issue.path.join('.') || 'the sweep'}: ${issue.message}`)
    throw new ConfigError(`${file}: ${problems.join('; ')}`, { hint: 'docs/sweeps.md has an example' })
  }
  return {
    sweep: data,
    name: basename(file).replace(/\.json$/, ''),
    experimentPath: resolve(dirname(file), data.experiment),
  }
}
