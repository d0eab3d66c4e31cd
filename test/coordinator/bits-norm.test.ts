/** Bar "bits" for batch and layer norm, whose statistics are sums over rows that several workers wrote. */
import t from 'tap'
import type { ExperimentInput } from '../../src/config/schema.js'
import { nativeCandidates } from '../helpers/native.js'
import { bitsLab, distance } from './bits-lab.js'

const { digestOf, weightsAfter } = bitsLab(t)

for (const norm of ['batch', 'layer'] as const) {
  t.test(`${norm} norm and dropout: workers 1, 2, 3 and 7 and any shards give one digest`, async t => {
    // 50 rows a mini-batch, of the last 30; units that are no multiple of a panel.
    const more = {
      model: { hidden: [29, 13], norm, activation: norm === 'batch' ? 'relu' : 'gelu', dropout: 0.3 },
      train: { epochs: 2, batchSize: 50 },
    } satisfies Partial<ExperimentInput>
    const digests: (string | null)[] = []
    for (const [workers, shardRows] of [
      [1, 100],
      [2, 16],
      [3, 9],
      [7, 32],
    ] as const) {
      digests.push(await digestOf({ workers, shardRows, backend: 'wasm' }, more))
    }
    t.match(digests[0], /^[0-9a-f]{64}$/)
    t.strictSame(digests, Array(4).fill(digests[0]))
    const other = { ...more, model: { ...more.model, normEpsilon: 1e-3 } }
    t.not(await digestOf({ workers: 2, backend: 'wasm' }, other), digests[0], 'epsilon counts')
  })

  t.test(`${norm} norm: every backend agrees with wasm: state differs by less than 5e-5 after 6 steps`, async t => {
    const model = { hidden: [29, 13], norm, dropout: 0.3 }
    const wasm = await weightsAfter({ workers: 2, backend: 'wasm' }, 6, model)
    const natives = (await nativeCandidates()).filter(({ skip }) => !skip).map(({ backend }) => backend.name)
    for (const backend of ['reference', ...natives] as const) {
      const worst = distance(wasm, await weightsAfter({ workers: 3, backend }, 6, model))
      t.ok(worst > 0 && worst < 5e-5, `${backend}: largest difference ${worst}`)
    }
    t.equal(wasm.length, norm === 'batch' ? 14 : 10, 'running statistics too')
  })
}
