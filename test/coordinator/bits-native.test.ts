/** Bar "bits" for the native backends, and how near they are to wasm. */
import t from 'tap'
import { nativeCandidates } from '../helpers/native.js'
import { bitsLab, distance } from './bits-lab.js'

const { digestOf, weightsAfter } = bitsLab(t)

for (const { backend, skip } of await nativeCandidates()) {
  const { name } = backend as { name: 'blas' | 'onednn' }
  t.test(
    `${name}: workers 1, 2, 3, 4, 7 give one digest, near that of wasm after 6 steps (2e-5)`,
    { skip },
    async t => {
      const digests: (string | null)[] = []
      for (const workers of [1, 2, 3, 4, 7]) digests.push(await digestOf({ workers, backend: name }))
      t.match(digests[0], /^[0-9a-f]{64}$/)
      t.strictSame(digests, Array(5).fill(digests[0]))
      const worst = distance(
        await weightsAfter({ workers: 2, backend: name }, 6),
        await weightsAfter({ workers: 2, backend: 'wasm' }, 6),
      )
      t.ok(worst > 0 && worst < 2e-5, `largest difference ${worst}`)
    },
  )

  t.test(`${name}: buffers agrees with fused: weights differ by less than 2e-5 after 6 steps`, { skip }, async t => {
    const worst = distance(
      await weightsAfter({ workers: 2, backend: name }, 6),
      await weightsAfter({ workers: 3, backend: name, allReduce: 'buffers', shardRows: 32 }, 6),
    )
    t.ok(worst < 2e-5, `largest difference ${worst}`)
  })
}
