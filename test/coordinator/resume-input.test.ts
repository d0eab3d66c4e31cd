/** A resumed run continues with the names, types and scales of its checkpoint, whatever the data would give today. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { resume } from '../../src/coordinator/resume.js'
import { readCheckpoint } from '../../src/run/checkpoint-file.js'

/** A run of gradloom 0.1 before bytes of a table were numbers, 2 epochs of 4 steps, and its data. */
const OLD = fileURLToPath(new URL('../../../test/fixtures/bytes-of-0.1', import.meta.url))
/** `weightsSha256` of the same experiment after 4 epochs, by the version that began the run. */
const AFTER_4 = '3dc04e16f25aceea3e9d9648c11713b93c484dd0ec6064dc227ce9c18c4615fd'

function copy(t: Test): { run: string; data: string } {
  const dir = join(t.testdir({}), 'copy')
  cpSync(OLD, dir, { recursive: true })
  return { run: join(dir, 'run'), data: join(dir, 'bytes.npz') }
}

t.test('a run on a table of bytes divided by 255 resumes with that scaling, with the same bits', async t => {
  const { run, data } = copy(t)
  const { trained, summary } = await resume(run, { dataPath: data, overrides: ['train.epochs=4'] })
  t.equal(trained, true)
  t.equal(summary.weightsSha256, AFTER_4)
  const { input } = await readCheckpoint(join(run, 'checkpoints', 'step-16.safetensors'))
  t.match(input, { dtype: 'uint8', scaling: null })
})

t.test('a scaling other than that of the completed steps is refused, even with allowChange', async t => {
  const { run, data } = copy(t)
  const asked = { dataPath: data, overrides: ['train.epochs=4', 'data.normalise=standardise'], allowChange: true }
  await t.rejects(resume(run, asked), {
    message: /data\.normalise: .*the state of the run does not fit/,
    hint: /train <experiment> --from/,
  })
})

t.test('the preparation of pictures may change: no step depends on it', async t => {
  const { run, data } = copy(t)
  await resume(run, { dataPath: data, overrides: ['train.epochs=3', 'data.preparation=plain'] })
  const { input } = await readCheckpoint(join(run, 'checkpoints', 'step-12.safetensors'))
  t.equal(input?.preparation, 'plain')
})
