/** `gradloom data`: lists, fetches and verifies the data sets that gradloom knows by name, and shows the user's own. Main thread. */
import { resolve } from 'node:path'
import type { Argv, CommandModule } from 'yargs'
import { fromCurrentFolder } from '../config/paths.js'
import { type FetchedFile, fetchDataset } from '../data/fetch.js'
import { KNOWN } from '../data/known.js'
import { cacheDir } from '../data/places.js'
import { LISTED_NAMES, type ListedDataset, type ListedName, listDatasets, verifyDataset } from '../data/verify.js'
import { ConfigError } from '../errors.js'
import { formatBytes, formatCount, formatCounted, shellWord } from '../format.js'
import { type DescribeArguments, describe, describeOptions } from './data-describe.js'
import { fetchProgress } from './fetch-progress.js'
import { watchInterrupts } from './interrupt.js'
import { integerOption, jsonObject, setOption, single } from './options.js'
import { checkOut, savePicture } from './save-picture.js'

const name = { describe: 'Data set', choices: LISTED_NAMES, demandOption: true } as const

export const dataCommand: CommandModule = {
  command: 'data',
  describe: 'List, fetch, verify, preview and describe data sets',
  builder: (yargs: Argv) =>
    yargs
      .command(
        'list',
        'List data sets: installed or not, where, and how large',
        command => command.option('json', jsonObject).example('$0 data list', 'which data sets are installed'),
        ({ json }) => list(json),
      )
      .command(
        'fetch <name>',
        'Download a data set, or continue an interrupted download',
        command =>
          command
            .positional('name', name)
            .option('to', {
              describe: 'Folder for the files',
              type: 'string',
              requiresArg: true,
              defaultDescription: "the user's cache",
            })
            .option('base-url', {
              describe: 'Server to use instead of the public ones; GRADLOOM_MIRROR does the same',
              type: 'string',
              requiresArg: true,
            })
            .option('json', jsonObject)
            .example('$0 data fetch mnist', 'into the cache, where training finds it')
            .example('$0 data fetch mnist --to data/mnist', 'then train with --set data.path="$PWD/data/mnist"')
            .example('$0 data fetch mnist --base-url https://mirror.example/mnist/', 'from your own server'),
        ({ name, to, baseUrl, json }) => fetch(name, { to, baseUrl }, json),
      )
      .command(
        'verify <name>',
        'Check format, counts and digests of the files that training would use',
        command =>
          command
            .positional('name', name)
            .option('path', { describe: 'Check the files in this folder', type: 'string', requiresArg: true })
            .option('json', jsonObject)
            .example('$0 data verify mnist', 'the files that training would use')
            .example('$0 data verify mnist --path data/mnist', 'the files in a folder'),
        ({ name, path, json }) => verify(name, path, json),
      )
      .command(
        'preview <experiment>',
        'Draw training images as augmentation transforms them in each epoch',
        command =>
          command
            .positional('experiment', { describe: 'Experiment file, JSON', type: 'string', demandOption: true })
            .option('set', setOption)
            .option('images', {
              describe: 'Number of images, chosen by the seed',
              ...single('images'),
              defaultDescription: '10',
            })
            .option('epochs', {
              describe: 'Number of epochs to show for each',
              ...single('epochs'),
              defaultDescription: '9',
            })
            .option('out', {
              describe: 'PNG file to write',
              ...single('out'),
              defaultDescription: 'preview.png',
            })
            .option('json', jsonObject)
            .example('$0 data preview mine.json --set augment.rotate=15', 'writes preview.png'),
        args => preview(args),
      )
      .command(
        'describe <experiment>',
        'Show the columns of a table: types, roles, missing values, distributions',
        describeOptions,
        args => describe(args as DescribeArguments),
      )
      .example('$0 data list', 'which data sets are installed')
      .example('$0 data fetch fashion-mnist', 'download into the cache')
      .epilogue(
        'gradloom looks for files in the folder data.path of the experiment; without it in $GRADLOOM_DATA/<name>, ' +
          "$GRADLOOM_DATA, the user's cache ($GRADLOOM_CACHE moves it), and /usr/share/datasets/<name>.",
      )
      .demandCommand(1, 'data: no subcommand is given, expected list, fetch, verify, preview or describe'),
  handler: () => {},
}

const MOST_PREVIEWS = 10_000

interface PreviewArguments {
  experiment: string
  set: string[]
  images?: string | undefined
  epochs?: string | undefined
  out?: string | undefined
  json: boolean
}

async function preview({ experiment, set, out = 'preview.png', json, ...counts }: PreviewArguments): Promise<void> {
  const images = integerOption('data preview', 'images', counts.images ?? '10', 1)
  const epochs = integerOption('data preview', 'epochs', counts.epochs ?? '9', 1)
  if (images * epochs > MOST_PREVIEWS) {
    throw new ConfigError(
      `gradloom data preview: ${images} x ${epochs} images, expected at most ${MOST_PREVIEWS} in all`,
    )
  }
  checkOut('data preview', out)
  const [{ loadExperiment }, { previewImages }, { drawPreview }, { isPlain }] = await Promise.all([
    import('../config/load.js'),
    import('../coordinator/preview.js'),
    import('../picture/preview.js'),
    import('../augment/transform.js'),
  ])
  const loaded = await loadExperiment(
    experiment,
    set.map(text => fromCurrentFolder(text)),
  )
  const shown = await previewImages(loaded, { images, epochs })
  await savePicture(out, drawPreview(shown))
  const rows = shown.rows.map(({ index, className }) => ({ index, className }))
  if (json) print({ out, epochs, images: rows })
  else process.stdout.write(`preview  ${out}: ${formatCounted(images, 'image')} in ${formatCounted(epochs, 'epoch')}\n`)
  if (isPlain(loaded.experiment.augment)) {
    process.stderr.write('note: the experiment changes nothing; see `augment` in docs/experiment.md\n')
  }
}

async function list(json: boolean): Promise<void> {
  const sets = await listDatasets()
  if (json) {
    print({ datasets: sets })
    return
  }
  const rows = sets.map(set => [
    set.name,
    `${formatCount(set.trainRows)} + ${formatCount(set.testRows)}`,
    `${set.height} x ${set.width}`,
    String(set.classes),
    formatBytes(set.imageBytes),
    whereOf(set),
  ])
  process.stdout.write(table([['name', 'train + test', 'image', 'classes', 'in memory', 'where'], ...rows]))
}

function whereOf({ name, where, bytesOnDisk }: ListedDataset): string {
  if (name === 'digits') return 'comes with gradloom'
  if (where === null || bytesOnDisk === null) return `not installed; npx gradloom data fetch ${name}`
  return `${where} (${formatBytes(bytesOnDisk)})`
}

async function fetch(
  name: ListedName,
  options: { readonly to: string | undefined; readonly baseUrl: string | undefined },
  json: boolean,
): Promise<void> {
  if (name === 'digits') {
    if (json) print({ name, to: null, files: [] })
    else process.stdout.write('digits comes with gradloom: nothing to fetch\n')
    return
  }
  const to = options.to === undefined ? cacheDir(name) : resolve(options.to)
  const abort = new AbortController()
  const progress = fetchProgress(process.stderr.isTTY === true)
  const interrupt = watchInterrupts(
    () => abort.abort(),
    () => progress.stop(),
  )
  try {
    const files = await fetchDataset(KNOWN[name], {
      to,
      baseUrl: options.baseUrl ?? (process.env.GRADLOOM_MIRROR || undefined),
      signal: abort.signal,
      onEvent: event => progress.show(event),
    })
    report(name, to, files, json)
  } catch (error) {
    const exitCode = interrupt.exitCode()
    if (exitCode === undefined) throw error
    progress.stop()
    process.stderr.write('interrupted; the same command continues the download\n')
    process.exitCode = exitCode
  } finally {
    progress.stop()
    interrupt.dispose()
  }
}

function report(name: ListedName, to: string, files: readonly FetchedFile[], json: boolean): void {
  if (json) {
    print({ name, to, files })
    return
  }
  const present = files.every(({ status }) => status === 'present')
  process.stdout.write(present ? `${name} is already in ${to}: nothing to fetch\n` : `${name} is in ${to}\n`)
}

async function verify(name: ListedName, path: string | undefined, json: boolean): Promise<void> {
  const verification = await verifyDataset(name, { path })
  if (json) {
    print(verification)
  } else {
    for (const { path, problem } of verification.files) {
      process.stdout.write(problem === null ? `${path}: OK\n` : `${path}: WRONG: ${problem}\n`)
    }
    if (!verification.ok && name !== 'digits') {
      process.stderr.write(`hint: npx gradloom data fetch ${name} --to ${shellWord(verification.where)}\n`)
    }
  }
  if (!verification.ok) process.exitCode = 1
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}

/** Pads columns to their widest cell; the last one is not padded. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column])).join('  ')
  return rows.map(row => `${line(row).trimEnd()}\n`).join('')
}
