/** `gradloom doctor` in several processes: one report, with what was measured between them. */
import t from 'tap'
import { gradloomRanks, hasMpi } from '../helpers/mpi.js'

t.test('one report for all ranks, with library, hosts and the speed of exchanges', async t => {
  if (!hasMpi(t, 'openmpi')) return
  const { code, stdout, stderr } = await gradloomRanks('openmpi', 2, ['doctor', '--json'])
  t.equal(code, 0, stderr)
  const { mpi } = JSON.parse(stdout)
  t.match(mpi.launcher, 'mpirun of Open MPI, rank 0 of 2')
  t.match(mpi.ranks, { library: /^Open MPI v/, hosts: [{ ranks: 2 }], boundToOneCore: 0 })
  t.ok(mpi.ranks.latencyUs > 0 && mpi.ranks.bytesPerSecond > 0, JSON.stringify(mpi.ranks))
})

t.test('ranks that do not find each other are a problem, reported once', async t => {
  if (!hasMpi(t, 'mpich')) return
  // What npx does: the connection to the launcher is closed.
  const command = ['sh', '-c', 'exec "$@" 6<&- 5<&- 7<&- 8<&- 9<&-', 'sh', process.execPath, 'dist/src/cli/main.js']
  const { code, stdout, stderr } = await gradloomRanks('mpich', 2, ['doctor'], { command })
  t.not(code, 0)
  t.equal(stdout.match(/Training does not work here/g)?.length, 1, stdout)
  t.equal((stdout + stderr).match(/^ {2}PMI_FD is \d+, expected an open connection/gm)?.length, 1, stdout)
})
