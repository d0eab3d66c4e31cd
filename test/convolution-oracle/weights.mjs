/**
 * Weights of a small network with two convolutions, batch norm and pooling before and after 20 steps of Adam over all samples, for
 * parity.py beside this file, which trains the same network in PyTorch and compares. No test runs it: PyTorch is not installed in CI.
 *
 *   npm run build && node test/convolution-oracle/weights.mjs FOLDER && /usr/bin/python3 test/convolution-oracle/parity.py FOLDER
 */
const folder = process.argv[2]
if (!folder) throw new Error('FOLDER is missing, expected where the data and weights are written')
const base = new URL('../../dist', import.meta.url).pathname
const { writeTinyData } = await import(`${base}/test/helpers/tiny-data.js`)
const { resolveExperiment } = await import(`${base}/src/config/load.js`)
const { prepareSession } = await import(`${base}/src/coordinator/prepare.js`)
const { Session } = await import(`${base}/src/coordinator/session.js`)
const { writeFileSync } = await import('node:fs')
const path = writeTinyData(`${folder}/data`, { train: 200, test: 20, height: 12, width: 10, classes: 4 })
const out = {}
for (const backend of ['wasm', 'onednn']) {
  const { experiment, baseDir } = resolveExperiment({
    data: { dataset: 'idx', path },
    model: {
      convolutions: [{ filters: 6 }, { filters: 9, pool: { size: 2 } }],
      hidden: [16],
      norm: 'batch',
      dropout: 0,
    },
    train: { epochs: 40, batchSize: 200, l2: 0 },
    schedule: { type: 'constant' },
    compute: { workers: 2, backend },
  })
  const session = await Session.start(
    await prepareSession(experiment, baseDir, { purpose: 'train', splits: ['train', 'test'] }),
    experiment,
  )
  await session.pool.all('initialise', worker => worker.initialise())
  const take = () => session.parameters().map(({ name, data }) => [name, [...data]])
  const before = take()
  await session.pool.all('run', worker => worker.run(0, 20))
  out[backend] = { before, after: take() }
  await session.close()
}
writeFileSync(`${folder}/weights.json`, JSON.stringify(out))
process.exit(0)
