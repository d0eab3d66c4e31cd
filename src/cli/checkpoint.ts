/** `gradloom checkpoint`: inspects and verifies checkpoints, and removes old ones. Main thread. */
import { relative } from 'node:path'
import type { Argv, CommandModule } from 'yargs'
import { ConfigError, GradloomError } from '../errors.js'
import { formatBytes, formatCount, formatCounted } from '../format.js'
import { type Inspection, inspectCheckpoint, type TensorStatistics, verifyCheckpoint } from '../run/inspect.js'
import { checkpointFiles, type PruneOptions, pruneRun } from '../run/prune.js'
import { jsonObject, savedRun } from './options.js'

export const checkpointCommand: CommandModule = {
  command: 'checkpoint',
  describe: 'Inspect and verify checkpoints, remove old ones',
  builder: (yargs: Argv) =>
    yargs
      .command(
        'inspect <path>',
        'Show the position in training and statistics of every tensor',
        command =>
          command
            .positional('path', savedRun)
            .option('json', jsonObject)
            .example('$0 checkpoint inspect runs/mine', 'the newest checkpoint of a run')
            .example('$0 checkpoint inspect runs/mine/checkpoints/best', 'the one with the best score'),
        ({ path, json }) => inspect(path, json),
      )
      .command(
        'verify <path>',
        'Verify the digests of one checkpoint or of all checkpoints of a run',
        command =>
          command
            .positional('path', savedRun)
            .option('json', jsonObject)
            .example('$0 checkpoint verify runs/mine', 'all checkpoints of a run; exit code 1 if one is damaged'),
        ({ path, json }) => verify(path, json),
      )
      .command(
        'prune <run>',
        'Remove all but the newest checkpoints of a run; those that its summary or a rollback needs are kept',
        command =>
          command
            .positional('run', { describe: 'Run directory', type: 'string', demandOption: true })
            .option('keep-last', {
              describe: 'Number of newest whole checkpoints to keep',
              type: 'number',
              default: 1,
              requiresArg: true,
            })
            .option('keep-best', {
              describe: 'Keep the checkpoint with the best score',
              type: 'boolean',
              default: true,
            })
            .option('dry-run', { describe: 'Only print what would be removed', type: 'boolean', default: false })
            .option('json', jsonObject)
            .check(({ 'keep-last': last }) => {
              if (Number.isInteger(last) && last >= 1) return true
              throw new ConfigError(`--keep-last is ${last}, expected a whole number of at least 1`)
            })
            .example('$0 checkpoint prune runs/mine', 'keeps the newest one and the best one')
            .example('$0 checkpoint prune runs/mine --dry-run', 'what would be removed'),
        ({ run, keepLast, keepBest, dryRun, json }) => prune(run, { keepLast, keepBest, dryRun }, json),
      )
      .example('$0 checkpoint inspect runs/mine', 'the newest checkpoint of a run')
      .example('$0 checkpoint verify runs/mine', 'all of them; exit code 1 if one is damaged')
      .demandCommand(1, 'checkpoint: no subcommand is given, expected inspect, verify or prune'),
  handler: () => {},
}

async function inspect(target: string, json: boolean): Promise<void> {
  const [file] = await checkpointFiles(target)
  const found = await inspectCheckpoint(file)
  process.stdout.write(json ? `${JSON.stringify(found)}\n` : `${inspectionLines(found).join('\n')}\n`)
}

/** Exported for tests. */
export function inspectionLines({ file, bytes, checkpoint, parameters, moments, tensors }: Inspection): string[] {
  const { step, epoch, rowsSeen, weightsSha256, stateSha256, experiment } = checkpoint
  const { name, seed } = experiment as { name?: unknown; seed?: unknown }
  const rows = [['tensor', 'shape', 'type', 'bytes', 'min', 'max', 'mean', 'NaN', 'infinite'], ...tensors.map(cells)]
  return [
    `file        ${shown(file)}, ${formatBytes(bytes)}`,
    `experiment  ${String(name)}, seed ${String(seed)}`,
    `position    step ${formatCount(step)}, epoch ${formatCount(epoch)}, ${formatCounted(rowsSeen, 'sample')} seen`,
    `values      ${formatCounted(parameters, 'parameter')}, ${formatCounted(moments, 'optimizer value')}`,
    `weights     SHA-256 ${weightsSha256}`,
    `state       SHA-256 ${stateSha256}`,
    '',
    ...aligned(rows),
  ]
}

function cells({ name, shape, dtype, bytes, min, max, mean, nan, infinite }: TensorStatistics): string[] {
  const value = (number: number | null) => (number === null ? '-' : number.toPrecision(4))
  return [
    ...[name, shape.join(' x '), dtype, formatBytes(bytes)],
    ...[min, max, mean].map(value),
    ...[nan, infinite].map(String),
  ]
}

/** Pads text columns on the right and the last six columns, which are numeric, on the left. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
  return rows.map(row =>
    row
      .map((cell, column) => (column < 3 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  )
}

interface Verdict {
  readonly file: string
  readonly step: number | null
  /** null if the checkpoint is whole. */
  readonly problem: string | null
}

async function verify(target: string, json: boolean): Promise<void> {
  const verdicts: Verdict[] = []
  for (const file of await checkpointFiles(target)) {
    try {
      verdicts.push({ file, step: (await verifyCheckpoint(file)).step, problem: null })
    } catch (error) {
      if (!(error instanceof GradloomError)) throw error
      verdicts.push({ file, step: null, problem: error.message })
    }
  }
  const lines = verdicts.map(({ file, step, problem }) =>
    problem === null ? `whole    ${shown(file)}, step ${step}` : `DAMAGED  ${problem}`,
  )
  process.stdout.write(json ? `${JSON.stringify({ checkpoints: verdicts })}\n` : `${lines.join('\n')}\n`)
  if (verdicts.some(({ problem }) => problem !== null)) process.exitCode = 1
}

async function prune(run: string, options: PruneOptions, json: boolean): Promise<void> {
  const pruned = await pruneRun(run, options)
  if (json) {
    process.stdout.write(`${JSON.stringify(pruned)}\n`)
    return
  }
  const verb = options.dryRun ? 'would remove' : 'removed'
  const total = pruned.removed.reduce((sum, { bytes }) => sum + bytes, 0)
  const lines = pruned.removed.map(({ file, bytes }) => `${verb} ${shown(file)}, ${formatBytes(bytes)}`)
  const damaged = pruned.damaged.map(file => `DAMAGED  ${shown(file)} is kept, and does not count`)
  process.stdout.write(
    `${[...lines, ...damaged, `${verb} ${formatCounted(pruned.removed.length, 'checkpoint')}, ${formatBytes(total)}; ${pruned.kept.length} kept`].join('\n')}\n`,
  )
}

const shown = (file: string): string => relative(process.cwd(), file) || file
