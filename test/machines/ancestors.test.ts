import t from 'tap'
import { type Ancestor, watchLauncher } from '../../src/machines/ancestors.js'

const of = (name: string, parent: number, started = '1'): Ancestor => ({ name, parent, started })

/** Processes by number, of which 7 is the parent of this one. */
function watched(processes: Record<number, Ancestor>) {
  let parent = 7
  const isGone = watchLauncher(
    pid => processes[pid] ?? null,
    () => parent,
  )
  return {
    isGone,
    adopt(by: number) {
      parent = by
    },
  }
}

t.test('the launcher is watched, and what stands between', t => {
  const processes: Record<number, Ancestor> = {
    7: of('npm exec gradloom', 6),
    6: of('hydra_pmi_proxy', 5),
    5: of('mpirun.mpich', 1),
    1: of('init', 0),
  }
  const { isGone } = watched(processes)
  t.notOk(isGone())
  delete processes[5]
  t.notOk(isGone(), 'others end without it')
  processes[6] = of('another', 1, '2')
  t.ok(isGone(), 'another process has its number')
  processes[6] = of('hydra_pmi_proxy', 5)
  t.notOk(isGone())
  delete processes[7]
  t.ok(isGone())
  t.end()
})

t.test('without a launcher that is known, and without /proc, the parent is watched', t => {
  const processes: Record<number, Ancestor> = { 7: of('another', 6), 6: of('sh', 1), 1: of('init', 0) }
  const { isGone } = watched(processes)
  delete processes[6]
  t.notOk(isGone())
  delete processes[7]
  t.ok(isGone())
  const none = watched({})
  t.notOk(none.isGone())
  none.adopt(1)
  t.ok(none.isGone())
  t.end()
})
