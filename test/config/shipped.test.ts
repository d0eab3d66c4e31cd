/** Checked-in files agree with the code: the JSON Schema, the page about it, and the shipped experiments. */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import { differences } from '../../src/config/diff.js'
import { loadExperiment, resolveExperiment } from '../../src/config/load.js'
import { experimentMarkdown } from '../../src/config/markdown.js'
import { withValue } from '../../src/config/overrides.js'
import { valueAt } from '../../src/config/problems.js'
import { type ExperimentInput, experimentSchema } from '../../src/config/schema.js'
import { experimentJsonSchema, type SchemaNode, settings } from '../../src/config/settings.js'
import fc from '../helpers/fast-check.js'

t.test('schema/experiment.schema.json is current; if not: npm run schema', async t => {
  const checkedIn = readFileSync('schema/experiment.schema.json', 'utf8')
  t.equal(checkedIn, `${JSON.stringify(experimentJsonSchema(), null, 2)}\n`, 'npm run schema')
})

t.test('docs/experiment.md is current; if not: npm run schema', async t => {
  t.equal(readFileSync('docs/experiment.md', 'utf8'), experimentMarkdown(), 'npm run schema')
})

t.test('every key has help, and every key but data.dataset a default', async t => {
  const paths = settings().map(({ path }) => path)
  t.ok(paths.length >= 30, 'there are settings')
  t.same(
    settings()
      .filter(({ node }) => !node.description)
      .map(({ path }) => path),
    [],
  )
  const noDefault = settings()
    .filter(({ node }) => node.default === undefined)
    .map(({ path }) => path)
  t.same(noDefault, ['$schema', 'name', 'data.dataset'])
  const sections = Object.values(experimentJsonSchema().properties ?? {}).filter(
    ({ properties, oneOf }) => properties ?? oneOf,
  )
  t.equal(sections.length, 9)
  for (const { title, description } of [experimentJsonSchema(), ...sections]) t.ok(title && description)
})

t.test('every object of the schema is strict', async t => {
  let objects = 0
  const visit = (node: SchemaNode & { additionalProperties?: boolean | object }) => {
    if (node.type === 'object') {
      objects++
      // Names of columns are the user's.
      if (typeof node.additionalProperties !== 'object') t.equal(node.additionalProperties, false)
    }
    for (const child of [...Object.values(node.properties ?? {}), ...(node.oneOf ?? [])]) visit(child)
  }
  visit(experimentJsonSchema())
  t.equal(objects, 40)
})

/** Settings that a shipped experiment writes down even where they are defaults, so that its weights outlive a change of those. */
const ALWAYS = ['model.hidden', 'model.dropout', 'train.epochs', 'train.batchSize', 'train.l2']
/** Experiments that list the reference classifier's settings in full. */
const IN_FULL = ['mnist.json', 'fashion-mnist.json']

t.test(
  'every shipped experiment is valid, named after its file, and lists its network and length, and otherwise only settings that differ',
  async t => {
    const files = readdirSync('configs').filter(file => file.endsWith('.json'))
    for (const file of ['quickstart.json', 'mnist.json', 'fashion-mnist.json', 'smoke.json']) t.ok(files.includes(file))
    for (const file of files) {
      const { experiment, source } = await loadExperiment(join('configs', file))
      const { $schema, ...written } = JSON.parse(source) as ExperimentInput
      t.equal($schema, '../schema/experiment.schema.json', file)
      t.equal(experiment.name, basename(file, '.json'))
      let expected: unknown = differences(experiment)
      for (const path of ALWAYS) {
        const keys = path.split('.')
        t.not(valueAt(written, keys), undefined, `${file} lists ${path}`)
        expected = withValue(expected, keys, valueAt(experiment, keys))
      }
      if (IN_FULL.includes(file)) t.has(written, expected)
      else t.same(written, expected, `${file} has only what differs`)
    }
  },
)

t.test('an experiment and its differences from the defaults resolve to the same', async t => {
  const fraction = fc.constantFrom(0, 0.3, 0.9, 0.999)
  const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })
  const rate = optional(fc.constantFrom(0.001, 0.1, 3))
  const input = fc.record({
    name: optional(fc.constantFrom('experiment', 'a')),
    seed: optional(fc.constantFrom(1, 7)),
    data: fc.record({ dataset: fc.constant('mnist'), path: fc.constantFrom(null, 'x'), validation: fraction }),
    model: optional(fc.record({ hidden: fc.array(fc.integer({ min: 1, max: 9 })), dropout: fraction })),
    optimizer: optional(
      fc.oneof(
        fc.record({ learningRate: rate, beta2: fraction }),
        fc.record({ type: fc.constant('momentum'), learningRate: rate, beta1: fraction }),
        fc.record({ type: fc.constant('sgd'), learningRate: rate }),
      ),
    ),
    schedule: optional(fc.constantFrom({ type: 'constant' }, { decayRate: 1 }, { decayRate: 2 })),
    compute: optional(fc.record({ workers: fc.constantFrom('auto', 3) })),
  })
  fc.assert(
    fc.property(input, value => {
      const { experiment } = resolveExperiment(value)
      const short = differences(experiment, 'experiment')
      t.same(resolveExperiment(short).experiment, experiment)
    }),
    { numRuns: 200 },
  )
  t.same(differences(resolveExperiment({ data: { dataset: 'digits' } }).experiment, 'experiment'), {
    data: { dataset: 'digits' },
  })
})

t.test('a resolved experiment resolves to itself, and zod alone agrees', async t => {
  for (const optimizer of [{}, { type: 'sgd' }, { type: 'momentum' }]) {
    const { experiment } = resolveExperiment({ name: 'a', data: { dataset: 'digits' }, optimizer })
    t.same(resolveExperiment(JSON.parse(JSON.stringify(experiment))).experiment, experiment)
    t.same(experimentSchema.parse(experiment), experiment)
  }
})
