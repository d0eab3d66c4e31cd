/** `gradloom predict`: predictions for test images or pictures. Main thread; the engine is loaded when it runs. */
import type { Argv, CommandModule } from 'yargs'
import { ConfigError } from '../errors.js'
import type { Answer } from '../inference/ask.js'
import type { BackendName } from '../inference/model.js'
import type { Predictor } from '../inference/predictor.js'
import { FORMATS, type Format } from '../inference/table/formats.js'
import { backendOption, countOption, integerOption, jsonObject, savedRun, single, singleOptional } from './options.js'
import { paintFor } from './paint.js'
import { checkOut, savePicture } from './save-picture.js'
import { colourDepth, imageLines } from './terminal-image.js'

interface PredictArguments {
  run: string
  index: string[]
  random?: string
  wrong?: string
  image: string[]
  seed: string
  data?: string
  keep: string[]
  format?: Format
  out?: string
  backend?: BackendName
  json: boolean
}

const RANDOM = 1
const WRONG = 10
/** Limit of images in one call: a contact sheet of that many takes about 100 MB while it is drawn. */
const MOST_IMAGES = 1000

export const predictCommand: CommandModule<object, PredictArguments> = {
  command: 'predict <run>',
  describe: 'Predict test samples, your own pictures or the rows of a table',
  builder: yargs =>
    yargs
      .positional('run', savedRun)
      .option('index', {
        describe: 'Index of a test image, from 0; may be repeated',
        ...{ type: 'string', array: true, nargs: 1, default: [], defaultDescription: 'none' },
      })
      .option('random', {
        describe: `Number of random test images (${RANDOM} if no number is given)`,
        ...singleOptional('random'),
      })
      .option('wrong', {
        describe: `Number of mistakes on the test images, the most confident first; for regression, rows with the largest errors; for multi-label, rows with a wrong label, the worst first (${WRONG} if no number is given)`,
        ...singleOptional('wrong'),
      })
      .option('image', {
        describe: 'Picture files of any size: PNG, JPEG, WebP, AVIF, TIFF, GIF',
        ...{ type: 'string', array: true, default: [], defaultDescription: 'none' },
      })
      .option('seed', { describe: 'Seed for --random', ...single('seed'), default: '1' })
      .option('data', {
        describe:
          'Predict every row of this table: a file, a folder or a glob; columns by name, the target is not needed',
        ...single('data'),
      })
      .option('keep', {
        describe: 'Column of the data to write beside the predictions; may be repeated',
        ...{ type: 'string', array: true, nargs: 1, default: [], defaultDescription: 'none' },
      })
      .option('format', {
        describe: 'Format of the predictions of --data',
        choices: FORMATS,
        defaultDescription: 'by the ending of --out; csv on stdout',
      })
      .option('out', {
        describe: 'File to write: the predictions of --data (.csv, .ndjson, .parquet); else a contact sheet, a PNG',
        ...single('out'),
      })
      .option('backend', backendOption)
      .option('json', jsonObject)
      .example('$0 predict runs/mine', 'a random test image and its prediction')
      .example('$0 predict runs/mine --index 3 --index 1200', 'these two')
      .example('$0 predict runs/mine --wrong 25 --out wrong.png', 'the most confident mistakes, as a picture')
      .example('$0 predict runs/mine --image seven.png photo.jpg', 'your own pictures')
      .example('$0 predict runs/mine --data new.csv --out predictions.csv --keep id', 'every row of a table')
      .epilogue(
        'Pictures are prepared as the training data were (data.preparation): digits as MNIST, scaled into 20 x 20 pixels, ' +
          'centred by their centre of mass, dark on light inverted. The steps are printed. Without a selection: --random.',
      ) as Argv<PredictArguments>,
  handler: runPredict,
}

async function runPredict(args: PredictArguments): Promise<void> {
  if (args.data !== undefined) {
    refuseOthers(args)
    const { predictRows } = await import('./predict-rows.js')
    return predictRows({ ...args, data: args.data, out: args.out, format: args.format, backend: args.backend })
  }
  for (const [option, given] of [
    ['keep', args.keep.length > 0],
    ['format', args.format !== undefined],
  ] as const) {
    if (given) throw new ConfigError(`gradloom predict: --${option} is given without --data, to which it belongs`)
  }
  const [{ Predictor }, { relative }] = await Promise.all([import('../inference/predictor.js'), import('node:path')])
  const indices = args.index.map(text => integerOption('predict', 'index', text, 0))
  const asked = indices.length > 0 || args.wrong !== undefined || args.image.length > 0
  const random = countOption('predict', 'random', args.random, RANDOM) ?? (asked ? 0 : RANDOM)
  const wrong = countOption('predict', 'wrong', args.wrong, WRONG)
  const seed = integerOption('predict', 'seed', args.seed, 0)
  if (args.out !== undefined) checkOut('predict', args.out)

  const predictor = await Predictor.open(args.run, { backend: args.backend })
  const answers = await ask(predictor, { indices, random, wrong, seed, files: args.image })
  if (args.out !== undefined) await saveSheet(args.out, answers, predictor)
  if (predictor.note !== null) process.stderr.write(`note: ${predictor.note}\n`)

  const { answerJson, answerLines } = await import('./predict-lines.js')
  if (args.json) {
    const checkpoint = relative(process.cwd(), predictor.source.checkpoint)
    const result = { checkpoint, note: predictor.note, out: args.out ?? null, predictions: answers.map(answerJson) }
    process.stdout.write(`${JSON.stringify(result)}\n`)
    return
  }
  const { height, width, channels, source } = predictor
  const isImage = source.input.dtype === 'uint8'
  const paint = paintFor(process.stdout)
  const depth = colourDepth(process.stdout)
  const blocks = answers.map(answer =>
    answerLines(
      answer,
      isImage ? imageLines({ pixels: answer.pixels, height, width, channels }, depth, columnsOf()) : [],
      paint,
    ).join('\n'),
  )
  if (answers.length === 0) blocks.push(`no mistakes: every test ${isImage ? 'image' : 'row'} is predicted correctly`)
  if (args.out !== undefined) blocks.push(`sheet    ${args.out}`)
  process.stdout.write(`${blocks.join('\n\n')}\n`)
}

/** Throws ConfigError for options that select test samples or pictures, beside --data. */
function refuseOthers({ index, random, wrong, image, json }: PredictArguments): void {
  const given = {
    '--index': index.length > 0,
    '--random': random !== undefined,
    '--wrong': wrong !== undefined,
    '--image': image.length > 0,
    '--json': json,
  }
  const other = Object.entries(given).find(([, isGiven]) => isGiven)?.[0]
  if (other === undefined) return
  const hint = other === '--json' ? '--format ndjson prints an object a row' : undefined
  throw new ConfigError(`gradloom predict: ${other} is given beside --data, expected one of them`, { hint })
}

interface Question {
  readonly indices: readonly number[]
  readonly random: number
  readonly wrong: number | null
  readonly seed: number
  readonly files: readonly string[]
}

async function ask(predictor: Predictor, { indices, random, wrong, seed, files }: Question): Promise<Answer[]> {
  const { askAboutFiles, askAboutTest } = await import('../inference/ask.js')
  const asked = [...indices]
  const answers: Answer[] = []
  if (indices.length > 0 || random > 0 || wrong !== null) {
    const { rowsByError } = await import('../inference/row-errors.js')
    const { findMistakes, labelMistakes, loadTestSamples, randomIndices, answersOf } = await import(
      '../inference/examples.js'
    )
    const test = await loadTestSamples(predictor)
    asked.push(...randomIndices(test, random, seed))
    if (wrong !== null) {
      const worstOf = {
        classification: () => findMistakes(predictor, test),
        'multi-label': () => labelMistakes(predictor, test),
        regression: () => rowsByError(answersOf(predictor, test)),
      } as const
      const worst = worstOf[predictor.task]()
      asked.push(...worst.slice(0, wrong).map(({ index }) => index))
    }
    checkCount(asked.length + files.length)
    answers.push(...askAboutTest(predictor, test, asked))
  }
  checkCount(asked.length + files.length)
  return [...answers, ...(await askAboutFiles(predictor, files))]
}

function checkCount(count: number): void {
  if (count <= MOST_IMAGES) return
  throw new ConfigError(`gradloom predict: ${count} images are asked for, expected at most ${MOST_IMAGES}`)
}

async function saveSheet(out: string, answers: readonly Answer[], shape: Predictor): Promise<void> {
  const [{ drawSheet }, { tileOf }] = await Promise.all([import('../picture/sheet.js'), import('./predict-lines.js')])
  await savePicture(out, drawSheet(answers.map(tileOf), shape))
}

/** Columns for an image; a file or a pipe gets the usual width of a terminal. */
const columnsOf = (): number => (process.stdout.columns || 80) - 1
