/** `gradloom init`: detects the kind of data, asks what it cannot detect, and writes an experiment. Main thread; never overwrites a file. */
import { writeFile } from 'node:fs/promises'
import { dirname, relative, resolve } from 'node:path'
import { createInterface } from 'node:readline/promises'
import type { CommandModule } from 'yargs'
import { TASKS, type Task } from '../config/tasks.js'
import type { ColumnProfile } from '../data/table/columns.js'
import { ConfigError } from '../errors.js'
import { formatNames, shellWord } from '../format.js'
import { type Detected, detect, taskOf } from './init-detect.js'
import { setOption, single } from './options.js'

interface InitArguments {
  data: string | undefined
  out: string | undefined
  target: string[]
  task: Task | undefined
  test: string | undefined
  set: string[]
  json: boolean
}

/** Longer side of pictures of several sizes: photographs as they are would be too much for a network of this kind. */
const MOST_SIDE = 64
/** Name of the experiment in messages. */
const NEW = 'the new experiment'
const USUAL_OUT = 'experiment.json'

export const initCommand: CommandModule<object, InitArguments> = {
  command: 'init [data]',
  describe: 'Write an experiment for your own data; asks on a terminal',
  builder: yargs =>
    yargs
      .positional('data', { describe: 'Data file, folder, or name of a data set', type: 'string' })
      .option('out', {
        describe: 'Experiment file to write; never overwritten',
        ...single('out'),
        defaultDescription: USUAL_OUT,
      })
      .option('target', {
        describe: 'Column to predict; may be repeated, for several numbers or yes/no labels',
        ...{ type: 'string', array: true, nargs: 1, default: [], defaultDescription: 'the last one' },
      })
      .option('task', {
        describe: 'What to predict',
        choices: TASKS,
        defaultDescription: 'detected from the target columns',
      })
      .option('test', { describe: 'File or folder with the test samples', ...single('test') })
      .option('set', setOption)
      .option('json', { describe: 'Print one JSON object: path and experiment', type: 'boolean', default: false })
      .example('$0 init flowers.csv', 'an experiment for a table, in experiment.json')
      .example('$0 init houses.csv --target price --out houses.json', 'with a target column and a file name'),
  handler: runInit,
}

type Asked = InitArguments & { readonly out: string }

async function runInit(given: InitArguments): Promise<void> {
  const args: Asked = { ...given, out: given.out ?? USUAL_OUT }
  const ask = process.stdin.isTTY && process.stderr.isTTY ? asker() : null
  try {
    const data = args.data ?? (await ask?.('Data (a file, a folder, or digits, mnist, fashion-mnist)'))
    if (!data) {
      throw new ConfigError('gradloom init: no data is given, expected a file, a folder or the name of a data set', {
        hint: 'npx gradloom init flowers.csv',
      })
    }
    const found = await detect(data)
    const { section, reasons } = await dataSection(data, found, args, ask)
    const baseDir = dirname(resolve(args.out))
    const experiment = await checked(await withSettings({ data: section }, args.set, baseDir), baseDir, reasons)
    const text = `${JSON.stringify(experiment, null, 2)}\n`
    await writeFile(args.out, text, { flag: 'wx' }).catch((cause: NodeJS.ErrnoException) => {
      const what =
        cause.code === 'EEXIST' ? 'exists already, expected a new file' : `cannot be written; ${cause.message}`
      throw new ConfigError(`${args.out}: ${what}`, { cause, hint: 'choose another file with --out' })
    })
    const next = `npx gradloom train ${shellWord(args.out)}`
    if (args.json) process.stdout.write(`${JSON.stringify({ path: resolve(args.out), experiment, next })}\n`)
    else process.stdout.write(`${[...reasons, `wrote ${args.out}`, '', `Next: ${next}`].join('\n')}\n`)
  } finally {
    ask?.close()
  }
}

type Ask = ReturnType<typeof asker>

function asker() {
  const prompt = createInterface({ input: process.stdin, output: process.stderr })
  const ask = async (question: string, usual = '') => {
    const answer = (await prompt.question(usual === '' ? `${question}: ` : `${question} [${usual}]: `)).trim()
    return answer === '' ? usual : answer
  }
  return Object.assign(ask, { close: () => prompt.close() })
}

async function dataSection(
  data: string,
  { dataset, reasons, columns, npz }: Detected,
  args: Asked,
  ask: Ask | null,
): Promise<{ section: Record<string, unknown>; reasons: string[] }> {
  const said = reasons.map(reason => `${data}: ${reason}`)
  const here = dirname(resolve(args.out))
  const pathOf = (path: string) => relative(here, resolve(path)) || '.'
  const path = ['digits', 'mnist', 'fashion-mnist'].includes(dataset) ? {} : { path: pathOf(data) }
  if (args.test !== undefined && dataset !== 'table' && dataset !== 'images') {
    throw new ConfigError(`gradloom init: --test is ${args.test}, expected none with data of the kind "${dataset}"`)
  }
  const test = args.test === undefined ? {} : { testPath: pathOf(args.test) }
  if (columns === null) {
    if (args.target.length > 0) {
      throw new ConfigError(
        `gradloom init: --target is ${args.target.join(', ')}, expected none; ${data} is not a table`,
      )
    }
    const task = args.task === undefined || args.task === 'classification' ? {} : { task: args.task }
    return { section: { dataset, ...path, ...test, ...(npz && { npz }), ...task }, reasons: said }
  }
  const targets = await targetsOf(columns, args, ask)
  const suggested = taskOf(targets)
  const task =
    args.task ??
    (((await ask?.('Task (classification, multi-label or regression)', suggested.task)) ?? suggested.task) as Task)
  if (!TASKS.includes(task)) {
    throw new ConfigError(
      `gradloom init: task is '${task}', expected ${TASKS.slice(0, -1).join(', ')} or ${TASKS.at(-1)}`,
    )
  }
  const names = targets.map(({ name }) => name)
  said.push(`target ${formatNames(names)}: ${task}${task === suggested.task ? `; ${suggested.reason}` : ''}`)
  const asked = task === suggested.task ? {} : { task }
  return {
    section: { dataset, ...path, ...test, target: names.length === 1 ? names[0] : names, ...asked },
    reasons: said,
  }
}

/** Columns to predict. */
async function targetsOf(columns: readonly ColumnProfile[], args: Asked, ask: Ask | null): Promise<ColumnProfile[]> {
  const names = columns.map(({ name }) => name).join(', ')
  const last = columns[columns.length - 1]
  const given =
    args.target.length > 0 ? args.target : [(await ask?.(`Column to predict, of ${names}`, last.name)) ?? last.name]
  return given.map(target => {
    const found = columns.find(({ name }) => name === target)
    if (found) return found
    throw new ConfigError(`gradloom init: the target is '${target}', expected a column of the table: ${names}`)
  })
}

/** The experiment that is written. */
interface Written {
  readonly data: object
}

/** The experiment with the settings of `--set`, which hints of errors name. Throws ExperimentError. */
async function withSettings(experiment: Written, set: readonly string[], baseDir: string): Promise<Written> {
  const { resolveExperiment } = await import('../config/load.js')
  const { applyOverride, parseOverride } = await import('../config/overrides.js')
  const { fromCurrentFolder } = await import('../config/paths.js')
  const overrides = set.map(text => fromCurrentFolder(text))
  resolveExperiment(experiment, { where: NEW, overrides, baseDir })
  let input: unknown = experiment
  for (const text of overrides) {
    const parsed = parseOverride(text)
    const result = 'message' in parsed ? parsed : applyOverride(input, parsed)
    if ('message' in result) throw new Error(`${text}: ${result.message}`) // it was accepted above
    input = result.input
  }
  return input as Written
}

/** A checked experiment: pictures of several sizes are all resized to one, which a reason says. */
async function checked(experiment: Written, baseDir: string, reasons: string[]): Promise<Written> {
  try {
    await check(experiment, baseDir)
    return experiment
  } catch (error) {
    const { PictureSizesError } = await import('../data/picture-reads.js')
    if (!(error instanceof PictureSizesError)) throw error
    const { height, width } = error.first
    const scale = Math.min(1, MOST_SIDE / Math.max(height, width))
    const imageSize = [height, width].map(side => Math.max(1, Math.round(scale * side)))
    const resized = { data: { ...experiment.data, imageSize } }
    await check(resized, baseDir)
    reasons.push(
      `pictures of several sizes: all are resized to ${imageSize[1]} x ${imageSize[0]}, as data.imageSize says; the first one has ${width} x ${height}`,
    )
    return resized
  }
}

/** Checks the new experiment before it is written: resolves it, and opens its data. */
async function check(experiment: object, baseDir: string): Promise<void> {
  const { resolveExperiment } = await import('../config/load.js')
  const { openDataset } = await import('../data/dataset.js')
  const { experiment: complete } = resolveExperiment(experiment, { where: NEW, baseDir })
  await openDataset(complete.data, { baseDir })
}
