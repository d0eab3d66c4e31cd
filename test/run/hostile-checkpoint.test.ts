/** Bar "garbage in": damaged and hostile checkpoints give a CheckpointError, in bounded memory, or are whole. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { RunError } from '../../src/errors.js'
import { CheckpointError } from '../../src/formats/safetensors.js'
import { loadState, type NamedWeights, saveWeights } from '../../src/run/checkpoint-file.js'
import { inspectCheckpoint, verifyCheckpoint } from '../../src/run/inspect.js'
import { parseTrainingState, type TrainingState } from '../../src/run/training-state.js'
import fc from '../helpers/fast-check.js'

/** Damaged files; GRADLOOM_TEST_CASES=10000 is the long form. */
const CASES = Number(process.env.GRADLOOM_TEST_CASES ?? 2_500)
const LIMIT_BYTES = 400 * 2 ** 20

const tensor = (name: string, shape: number[]): NamedWeights => {
  const data = new Float32Array(shape.reduce((a, b) => a * b))
  for (let i = 0; i < data.length; i++) data[i] = Math.sin(i + name.length)
  return { name, shape, data }
}
const parameters = [tensor('layers.0.weight', [3, 2]), tensor('layers.0.bias', [2])]
const moments = [tensor('layers.0.weight.moment0', [3, 2]), tensor('layers.0.bias.moment0', [2])]
const training: TrainingState = {
  sums: { loss: 1, correct: 2, rows: 3 },
  validation: null,
  standing: { best: null, waited: 0, plateau: 0, rateFactor: 1 },
  best: { step: 7, metric: 'loss', value: -1 },
  ...{ rollback: 7, rollbackBefore: null, nonFinite: 0, rateFactor: 1, seconds: 1, rows: 3 },
  bits: { backend: 'wasm', library: null, allReduce: 'fused', shardRows: 9, data: ['abc'] },
}

const dir = t.testdir({})
const whole = join(dir, 'whole.safetensors')
await saveWeights(whole, parameters, { step: 7, epoch: 1, rowsSeen: 3, experiment: { name: 'a' }, training }, moments)
const bytes = readFileSync(whole)
const headerLength = Number(bytes.readBigUInt64LE())
const header = JSON.parse(bytes.subarray(8, 8 + headerLength).toString())
const data = bytes.subarray(8 + headerLength)

/** A damaged digit of the version makes a file of a newer gradloom, which is no damage. */
const isExpected = (error: unknown) =>
  error instanceof CheckpointError || (error instanceof RunError && error.message.includes('formatVersion'))

/** Calls all readers of checkpoints. Returns whether they accepted the file. */
async function read(file: string): Promise<boolean> {
  const outcomes = await Promise.allSettled([
    verifyCheckpoint(file),
    inspectCheckpoint(file),
    loadState(
      file,
      parameters.map(({ name, shape, data }) => ({ name, shape, data: new Float32Array(data.length) })),
      moments.map(({ name, shape, data }) => ({ name, shape, data: new Float32Array(data.length) })),
    ).then(checkpoint => parseTrainingState(file, checkpoint.training)),
  ])
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected' && !isExpected(outcome.reason)) throw outcome.reason
  }
  return outcomes[2].status === 'fulfilled'
}

let count = 0
let taken = 0
async function survives(content: Uint8Array): Promise<void> {
  const file = join(dir, 'case.safetensors')
  writeFileSync(file, content)
  if (await read(file)) taken++
  count++
}

const fileOf = (json: string, rest: Uint8Array = data): Buffer => {
  const text = Buffer.from(json)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, text, rest])
}

t.test('the undamaged file is read', async t => {
  t.ok(await read(whole))
  t.ok(await read(whole), 'twice')
})

t.test(`${CASES} damaged and hostile files: a CheckpointError, or all digests hold`, async t => {
  const before = process.memoryUsage.rss()
  const position = fc.nat(bytes.length - 1)
  const flips = fc.array(fc.tuple(position, fc.nat(7)), { minLength: 1, maxLength: 8 })
  const numRuns = CASES / 5
  await fc.assert(
    fc.asyncProperty(position, length => survives(bytes.subarray(0, length))),
    { numRuns: Math.min(numRuns, bytes.length) },
  )
  await fc.assert(
    fc.asyncProperty(flips, async list => {
      const copy = Buffer.from(bytes)
      for (const [at, bit] of list) copy[at] ^= 1 << bit
      await survives(copy)
    }),
    { numRuns },
  )
  await fc.assert(
    fc.asyncProperty(position, position, fc.uint8Array({ maxLength: 40 }), async (from, to, insert) => {
      await survives(Buffer.concat([bytes.subarray(0, from), insert, bytes.subarray(to)]))
    }),
    { numRuns },
  )
  // A header that is JSON, and close to the right one.
  const names = Object.keys(header)
  const number = fc.oneof(fc.integer({ min: -8, max: 200 }), fc.constantFrom(2 ** 53, 2 ** 60, 1e308, 0.5, -0))
  const hostileValue = fc.oneof(
    ...[number, fc.array(number, { maxLength: 4 }), fc.string(), fc.constant(null)],
    fc.constantFrom('F32', 'BF16', 'F64', 'f32', '../../etc/passwd', '__proto__'),
    fc.json({ maxDepth: 6 }).map(text => JSON.parse(text)),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...names, '../x', '__proto__', 'layers.0.weight.moment1'),
      fc.constantFrom('dtype', 'shape', 'data_offsets', 'extra'),
      hostileValue,
      async (name, key, value) => {
        await survives(fileOf(JSON.stringify({ ...header, [name]: { ...header[name], [key]: value } })))
      },
    ),
    { numRuns },
  )
  // Metadata that are strings, and hostile inside.
  const deep = (depth: number) => `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`
  const inner = fc.oneof(
    ...[
      fc.string(),
      fc.json({ maxDepth: 4 }),
      fc.constantFrom('{}', 'null', deep(100), deep(200_000), '{"__proto__":1}'),
    ],
    fc
      .constantFrom(...Object.keys(training), 'other')
      .chain(key => hostileValue.map(value => JSON.stringify({ ...training, [key]: value }))),
  )
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...Object.keys(header.__metadata__), 'other'), inner, async (key, value) => {
      await survives(fileOf(JSON.stringify({ ...header, __metadata__: { ...header.__metadata__, [key]: value } })))
    }),
    { numRuns: numRuns + Math.max(0, numRuns - bytes.length) },
  )
  t.ok(count >= CASES, `${count} cases, ${taken} of them whole`)
  t.ok(taken > 0 && taken < CASES / 4, 'some changes are harmless, most are not')
  const grown = process.memoryUsage.rss() - before
  t.ok(grown < LIMIT_BYTES, `memory grew by ${Math.round(grown / 2 ** 20)} MB, less than 400`)
})

t.test('lengths beyond the file, and a header of many megabytes, take no memory', async t => {
  const before = process.memoryUsage.rss()
  for (const length of [2n ** 60n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 40n, BigInt(bytes.length)]) {
    const copy = Buffer.from(bytes)
    copy.writeBigUInt64LE(length)
    await survives(copy)
  }
  await survives(fileOf(`{"a":${'['.repeat(4_000_000)}`))
  await survives(fileOf(`{${Array.from({ length: 200_000 }, (_, i) => `"t${i}":{}`).join(',')}}`))
  t.ok(process.memoryUsage.rss() - before < LIMIT_BYTES)
})
