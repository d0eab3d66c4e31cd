import t from 'tap'
import { startSettingsOf } from '../../src/cli/machines.js'
import { bindsRanks, coresOfRank, launchedBy, lostLauncher } from '../../src/ffi/mpi/launcher.js'
import { START_MS, startMsOf } from '../../src/machines/exit.js'

t.test('launchers are told apart by their variables', t => {
  const openMpi = { OMPI_COMM_WORLD_RANK: '1', OMPI_COMM_WORLD_SIZE: '4', OMPI_COMM_WORLD_LOCAL_SIZE: '2' }
  t.match(launchedBy(openMpi), { family: 'open-mpi', rank: 1, size: 4, localSize: 2 })
  const mpich = { PMI_RANK: '0', PMI_SIZE: '2', PMI_FD: '6', MPI_LOCALNRANKS: '2' }
  t.match(launchedBy(mpich), { family: 'mpich', launcher: 'mpirun of MPICH', rank: 0, size: 2, localSize: 2 })
  t.match(launchedBy({ PMI_PORT: 'host:1', PMI_ID: '3' }), { family: 'mpich', rank: 3, size: null })
  const slurm = {
    SLURM_PROCID: '2',
    SLURM_NODEID: '1',
    SLURM_STEP_NUM_TASKS: '5',
    SLURM_STEP_TASKS_PER_NODE: '2(x2),1',
  }
  t.match(launchedBy({ ...slurm, PMIX_RANK: '2' }), {
    family: 'open-mpi',
    launcher: 'srun --mpi=pmix',
    size: 5,
    localSize: 2,
  })
  t.match(launchedBy({ ...slurm, PMI_RANK: '2', PMI_SIZE: '5' }), {
    family: 'mpich',
    launcher: 'srun --mpi=pmi2',
    localSize: 2,
  })
  t.end()
})

t.test('no launcher: no variables, one process, a batch script', t => {
  t.equal(launchedBy({}), null)
  t.equal(launchedBy({ OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '1' }), null)
  t.equal(launchedBy({ SLURM_PROCID: '0', SLURM_NTASKS: '2' }), null)
  t.equal(launchedBy({ PMI_RANK: 'x', PMI_SIZE: '2' }), null)
  t.end()
})

t.test('a lost connection to the launcher is noticed', t => {
  t.equal(lostLauncher({}), null)
  t.equal(
    lostLauncher({ PMI_FD: '6' }, () => true),
    null,
  )
  t.match(
    lostLauncher({ PMI_FD: '6' }, () => false),
    'PMI_FD is 6, expected an open connection',
  )
  t.end()
})

t.test('cores of a rank: those it is bound to, else its share', t => {
  t.equal(coresOfRank(8, false, 4), 2)
  t.equal(coresOfRank(2, false, 3), 1)
  t.equal(coresOfRank(8, false, null), 8)
  t.equal(coresOfRank(1, true, 2), 1)
  t.equal(bindsRanks({ OMPI_MCA_orte_bound_at_launch: '1' }), true)
  t.equal(bindsRanks({}), false)
  t.end()
})

t.test('time to start MPI: of the experiment, but at least 5 s; a variable of the environment goes before it', t => {
  t.equal(startMsOf(undefined, {}), START_MS)
  t.equal(startMsOf(2, {}), 5000)
  t.equal(startMsOf(30, {}), 30_000)
  t.equal(startMsOf(30, { GRADLOOM_MPI_START_SECONDS: '2.5' }), 2500)
  for (const text of ['', '0', 'x', '4000']) {
    t.throws(() => startMsOf(30, { GRADLOOM_MPI_START_SECONDS: text }), {
      message: `GRADLOOM_MPI_START_SECONDS is ${JSON.stringify(text)}, expected seconds: more than 0, at most 3600`,
    })
  }
  t.end()
})

t.test('settings of the command line that count before ranks have met: the last of each', t => {
  t.match(startSettingsOf([]), { machines: 'auto', machinesTimeout: undefined })
  const overrides = [
    'compute.machinesTimeout=3',
    'train.epochs=2',
    'compute.machinesTimeout=20',
    'compute.machines="off"',
  ]
  t.match(startSettingsOf(overrides), { machines: 'off', machinesTimeout: 20 })
  t.match(startSettingsOf(['compute.machines=off', 'compute.machines=mpi']), { machines: 'auto' })
  t.end()
})
