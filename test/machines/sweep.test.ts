/** Sweeps over several ranks: each takes whole runs, and a later call, over other ranks, runs none twice. */
import { spawnSync } from 'node:child_process'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { train } from '../../src/coordinator/new-run.js'
import { loadExperiment } from '../../src/index.js'
import { gradloomRanks, hasMpi } from '../helpers/mpi.js'
import { writeTinyData } from '../helpers/tiny-data.js'
import { until } from '../helpers/until.js'

const RATES = [0.001, 0.002, 0.003, 0.004, 0.005]

t.test(
  'five runs over two ranks, one of them killed, then over three: five results, none run twice, the same bits',
  async t => {
    if (!hasMpi(t, 'mpich') || !hasMpi(t, 'openmpi')) return
    const dir = t.testdir({})
    const experiment = join(dir, 'tiny.json')
    const sweep = join(dir, 'sweep.json')
    writeFileSync(
      experiment,
      JSON.stringify({
        data: { dataset: 'idx', path: writeTinyData(join(dir, 'data')) },
        model: { hidden: [24, 17] },
        train: { epochs: 3, batchSize: 100 },
        compute: { backend: 'wasm' },
      }),
    )
    writeFileSync(sweep, JSON.stringify({ experiment, grid: { 'optimizer.learningRate': RATES } }))
    const runs = join(dir, 'runs')
    const args = ['sweep', sweep, '--run-dir', runs, '--json', '--quiet']
    const summary = (index: number) => join(runs, `run-00${index + 1}`, 'summary.json')
    const isDone = (index: number) => {
      try {
        return JSON.parse(readFileSync(summary(index), 'utf8')).status === 'completed'
      } catch {
        return false
      }
    }
    const indices = RATES.map((_, i) => i)
    const ended = gradloomRanks('mpich', 2, args)
    await until('two runs are done', () => indices.filter(isDone).length >= 2)
    for (const pid of processesOf(runs).slice(0, 1)) process.kill(pid, 'SIGKILL')
    await ended
    await until('its processes have ended', () => processesOf(runs).length === 0)
    const before = indices.filter(isDone).map(index => [index, statSync(summary(index)).mtimeMs])
    t.ok(before.length >= 2)
    const { code, stdout, stderr } = await gradloomRanks('openmpi', 3, args)
    t.equal(code, 0, stderr)
    t.same(
      JSON.parse(stdout).runs.map(({ status }: { status: string }) => status),
      RATES.map(() => 'completed'),
    )
    for (const [index, mtimeMs] of before) t.equal(statSync(summary(index)).mtimeMs, mtimeMs, `run ${index} stays`)
    for (const [index, rate] of RATES.entries()) {
      const alone = await train(await loadExperiment(experiment, [`optimizer.learningRate=${rate}`]), { runDir: null })
      t.equal(JSON.parse(readFileSync(summary(index), 'utf8')).weightsSha256, alone.weightsSha256)
    }
  },
)

/** Processes that train runs in this folder, launchers excluded. */
function processesOf(runs: string): number[] {
  const { stdout } = spawnSync('pgrep', ['-f', `^[^ ]*node [^ ]*main.js sweep .*${runs}`], { encoding: 'utf8' })
  return stdout.split('\n').filter(Boolean).map(Number)
}
