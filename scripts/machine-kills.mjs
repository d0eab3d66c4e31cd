/**
 * Ends a random rank of runs over several, at random moments and inside the writing of checkpoints: by SIGKILL, by making it stand still,
 * exit or throw; then cuts the link between two hosts (network namespaces, as root). Resumes them with another number of ranks under another
 * MPI, and compares the final weights with those of one process.
 *
 *     node scripts/machine-kills.mjs [--kills 50] [--cuts 10] [--seed 1] [--most-seconds 10] [--large]
 *
 * `--large`: layers and groups of rows for which exchanges are under way while the workers compute (with GRADLOOM_HOST_MEMORY=0 on one host too).
 *
 * A decision is counted from the end of the rank, or the cut, until no process of any rank is left. Each line has it, and the load of the
 * machine: processes that wait for a core in the last minute. Ends with exit code 1 if a digest differs, a checkpoint cannot be read, or a
 * decision takes longer. Needs `npm run build`, Linux, and both MPIs (test/helpers/mpi.ts).
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { readCheckpoint } from '../dist/src/run/checkpoint-file.js'
import { TwoHosts } from '../dist/test/helpers/hosts.js'
import { launcherOf } from '../dist/test/helpers/mpi.js'
import { processesWhere } from '../dist/test/helpers/processes.js'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '50' },
    cuts: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    'most-seconds': { type: 'string', default: '10' },
    large: { type: 'boolean', default: false },
  },
})
const wanted = Number(values.kills)
const all = wanted + Number(values.cuts)
const root = mkdtempSync(join(tmpdir(), 'gradloom-machine-kills-'))
const experiment = join(root, 'experiment.json')
writeFileSync(
  experiment,
  JSON.stringify({
    data: { dataset: 'digits', validation: 0.1 },
    model: { hidden: values.large ? [1200, 900] : [60, 40], dropout: 0.3 },
    train: { epochs: 3, batchSize: 100 },
    compute: { backend: 'wasm', workers: 1, machinesTimeout: 5, gradientGroups: values.large ? 4 : null },
    checkpoint: { everySteps: 11 },
  }),
)
/** Signals that the hook turns into other ends. */
const hook = join(root, 'hook.mjs')
writeFileSync(
  hook,
  `process.on('SIGUSR2', () => process.exit(3))
process.on('SIGWINCH', () => { throw new Error('thrown by machine-kills.mjs') })\n`,
)
const ENDS = { SIGKILL: 'killed', SIGSTOP: 'stands still', SIGUSR2: 'exits', SIGWINCH: 'throws' }

/** Park and Miller 1988: the same kills for the same seed, as far as the machine's pace allows. */
let state = Number(values.seed)
function random() {
  state = (state * 48271) % 2147483647
  return state / 2147483647
}
const oneOf = list => list[Math.floor(random() * list.length)]

/** Processes of a rank, or of all, that were started for this folder. */
function processesOf(rank) {
  return processesWhere((args, pid) => {
    if (!args.includes(hook) || args.startsWith('mpi')) return false
    const variables = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0')
    const own = variables.find(text => /^(OMPI_COMM_WORLD_RANK|PMI_RANK)=/.test(text))
    return own !== undefined && (rank === undefined || own.endsWith(`=${rank}`))
  })
}

/** Runs gradloom in ranks; `plan(strike)` may arrange the end of one. Resolves with the exit code, and when it was struck. */
function ranks(mpi, count, args, plan, hosts) {
  return new Promise(done => {
    const main = [process.execPath, '--import', hook, resolve('dist/src/cli/main.js')]
    const launcher = hosts?.launch(mpi, count) ?? launcherOf(mpi, count)
    const child = spawn(launcher[0], [...launcher.slice(1), ...main, ...args])
    let text = ''
    child.stdout.on('data', data => (text += data))
    child.stderr.on('data', data => (text += data))
    let struck = null
    const end = () => {
      if (hosts) {
        struck = { at: Date.now(), how: `${mpi}, the link between the hosts of ${count} ranks is cut` }
        return hosts.cut()
      }
      const rank = Math.floor(random() * count)
      const signal = oneOf(Object.keys(ENDS))
      const [pid] = processesOf(rank)
      if (pid === undefined) return
      struck = { at: Date.now(), how: `${mpi}, rank ${rank} of ${count} ${ENDS[signal]}` }
      try {
        process.kill(Number(pid), signal)
      } catch {
        struck = null
      }
    }
    const cleanUp = plan?.(end, () => processesOf().length === count)
    // The daemon of a host that was cut off keeps the pipes open.
    child.on(hosts ? 'exit' : 'close', async code => {
      cleanUp?.()
      const ended = Date.now()
      while (processesOf().length > 0 && Date.now() - ended < 60_000) await delay(20)
      done({ code, text, struck, seconds: struck && (Date.now() - struck.at) / 1000 })
    })
  })
}

/** Some time after the launcher has started all ranks: before that there is nothing of gradloom to end. */
const afterAWhile = typicalMs => (strike, areThere) => {
  let timer
  const looks = setInterval(() => {
    if (timer !== undefined || !areThere()) return
    clearInterval(looks)
    timer = setTimeout(strike, random() * typicalMs)
  }, 5)
  return () => {
    clearInterval(looks)
    clearTimeout(timer)
  }
}

/** While a checkpoint is being written: some time after its temporary file has appeared. */
const insideAWrite = folder => strike => {
  const skip = Math.floor(random() * 8)
  let seen = 0
  let watcher
  const timer = setInterval(() => {
    try {
      watcher ??= watch(folder, (_event, name) => {
        if (name?.endsWith('.tmp') && seen++ === skip) setTimeout(strike, random() * 8)
      })
    } catch {
      // The folder is not there yet.
    }
  }, 5)
  return () => {
    clearInterval(timer)
    watcher?.close()
  }
}

const digestOf = dir => JSON.parse(readFileSync(join(dir, 'summary.json'), 'utf8')).weightsSha256
const alone = join(root, 'alone')
await new Promise((done, fail) => {
  const args = ['dist/src/cli/main.js', 'train', experiment, '--run-dir', alone, '--quiet']
  spawn(process.execPath, args, { stdio: 'inherit' }).on('close', code => (code === 0 ? done() : fail(new Error(code))))
})
const expected = digestOf(alone)
const started = Date.now()
await ranks('openmpi', 2, ['train', experiment, '--run-dir', join(root, 'first'), '--quiet'])
const typicalMs = Date.now() - started

let [kills, differences, unreadable, late, runs, longest] = [0, 0, 0, 0, 0, 0]
while (kills < all) {
  const dir = join(root, `run-${runs++}`)
  // A run stays on its hosts: a lock of a process that was killed on another cannot be told from that of one that works.
  const most = kills < wanted ? wanted : all
  const hosts = kills < wanted ? undefined : new TwoHosts()
  for (let attempt = 0; ; attempt++) {
    const args = attempt === 0 ? ['train', experiment, '--run-dir', dir] : ['resume', dir]
    const plan =
      kills >= most ? undefined : kills % 2 === 0 ? afterAWhile(typicalMs) : insideAWrite(join(dir, 'checkpoints'))
    hosts?.cut(false)
    const count = hosts ? 2 : oneOf([2, 3])
    const ended = await ranks(oneOf(['openmpi', 'mpich']), count, [...args, '--quiet'], plan, hosts)
    hosts?.killAll()
    const files = filesOf(dir)
    for (const name of files ?? []) {
      await readCheckpoint(join(dir, 'checkpoints', name)).catch(error => {
        unreadable++
        process.stdout.write(`UNREADABLE ${error.message}\n`)
      })
    }
    const isDone = isCompleted(dir)
    // Not struck: a signal that came before the program could take it (SIGWINCH is then ignored), or after the last step.
    if (ended.struck && !(isDone && ended.code === 0)) note(ended)
    else if (!isDone && ended.code !== 0) throw new Error(`${args.join(' ')} ended with ${ended.code}: ${ended.text}`)
    if (isDone) break
    if (files === null || !readdirSync(dir).includes('resolved.json')) {
      rmSync(dir, { recursive: true, force: true })
      attempt = -1
    }
  }
  hosts?.close()
  if (digestOf(dir) !== expected) {
    differences++
    process.stdout.write(`DIFFERENT ${dir}\n`)
  }
  process.stdout.write(
    `${runs} runs, ${kills} ends, ${differences} differences, ${unreadable} unreadable, ${late} late, longest ${longest.toFixed(1)} s\n`,
  )
}
if (differences + unreadable + late > 0) process.exitCode = 1
else rmSync(root, { recursive: true, force: true })

/** Counts an end, and sees how long all took to follow. */
function note({ struck, seconds, text }) {
  kills++
  longest = Math.max(longest, seconds)
  const isLate = seconds > Number(values['most-seconds'])
  if (isLate) late++
  const load = loadavg()[0].toFixed(1)
  process.stdout.write(
    `${isLate ? 'LATE ' : ''}${seconds.toFixed(1)} s, load ${load}: ${struck.how}\n${isLate ? `${text}\n` : ''}`,
  )
}

/** Whole checkpoints of a run; null: it has no folder for them. */
function filesOf(dir) {
  try {
    return readdirSync(join(dir, 'checkpoints')).filter(name => !name.endsWith('.tmp'))
  } catch {
    return null
  }
}

function isCompleted(dir) {
  try {
    return JSON.parse(readFileSync(join(dir, 'summary.json'), 'utf8')).status === 'completed'
  } catch {
    return false
  }
}
