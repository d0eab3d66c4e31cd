/** `gradloom activations`: every layer of a saved network as a picture. Main thread; the engine is loaded when it runs. */
import type { Argv, CommandModule } from 'yargs'
import { ConfigError } from '../errors.js'
import { formatCounted, formatNumber, formatPercent } from '../format.js'
import type { Predictor } from '../inference/predictor.js'
import { countOption, integerOption, savedRun, single, singleOptional } from './options.js'
import { checkOut, savePicture } from './save-picture.js'

interface ActivationsArguments {
  run: string
  index?: string
  image?: string
  weights?: string
  out?: string
  json: boolean
}

const WEIGHTS = 64
const MOST_WEIGHTS = 1024

export const activationsCommand: CommandModule<object, ActivationsArguments> = {
  command: 'activations <run>',
  describe: "Draw every layer's activations, or the weights of the first layer",
  builder: yargs =>
    yargs
      .positional('run', savedRun)
      .option('index', { describe: 'Index of a test image, from 0', ...single('index'), defaultDescription: '0' })
      .option('image', { describe: 'Picture file to use instead of a test image', ...single('image') })
      .option('weights', {
        describe: `Draw first-layer weights instead, of this many of the most important units (${WEIGHTS} if no number is given)`,
        ...singleOptional('weights'),
      })
      .option('out', { describe: 'PNG file to write', ...single('out') })
      .option('json', { describe: 'Print one JSON object with every value', type: 'boolean', default: false })
      .example('$0 activations runs/mine --index 3 --out layers.png', 'one panel per layer')
      .example(
        '$0 activations runs/mine --weights --out weights.png',
        'the patterns that the first layer responds to',
      ) as Argv<ActivationsArguments>,
  handler: runActivations,
}

async function runActivations(args: ActivationsArguments): Promise<void> {
  const { out, json } = args
  if ([args.index, args.image, args.weights].filter(option => option !== undefined).length > 1) {
    throw new ConfigError('gradloom activations: --index, --image, --weights are given together, expected one of them')
  }
  if (out !== undefined) checkOut('activations', out)
  if (out === undefined && !json) {
    throw new ConfigError('gradloom activations: --out is missing, expected a PNG to write, or --json', {
      hint: 'npx gradloom activations RUN --out layers.png',
    })
  }
  const weights = countOption('activations', 'weights', args.weights, WEIGHTS)
  if (weights !== null && weights > MOST_WEIGHTS) {
    throw new ConfigError(`gradloom activations: --weights is ${weights}, expected at most ${MOST_WEIGHTS}`)
  }
  const index = integerOption('activations', 'index', args.index ?? '0', 0)
  const { Predictor } = await import('../inference/predictor.js')
  const predictor = await Predictor.open(args.run)
  if (predictor.note !== null) process.stderr.write(`note: ${predictor.note}\n`)
  const lines =
    weights === null ? await showLayers(predictor, index, args) : await showWeights(predictor, weights, args)
  if (!json && out !== undefined) lines.push(`picture  ${out}`)
  process.stdout.write(`${lines.join('\n')}\n`)
}

async function showLayers(
  predictor: Predictor,
  index: number,
  { image, out, json }: ActivationsArguments,
): Promise<string[]> {
  const [{ askAboutFiles, askAboutTest }, { loadTestSamples }, { layerPanels, saidBy, summarizeLayers }] =
    await Promise.all([
      import('../inference/ask.js'),
      import('../inference/examples.js'),
      import('../inference/layers.js'),
    ])
  const [answer] =
    image === undefined
      ? askAboutTest(predictor, await loadTestSamples(predictor), [index])
      : await askAboutFiles(predictor, [image])
  const layers = summarizeLayers(predictor, answer.features)
  if (out !== undefined) {
    const { drawLayers } = await import('../picture/layers.js')
    await savePicture(out, drawLayers(layerPanels(predictor, layers)))
  }
  if (json) {
    const plain = layers.map(layer => ({ ...layer, values: [...layer.values] }))
    return [JSON.stringify({ index: answer.index, file: answer.file, out: out ?? null, layers: plain })]
  }
  const { values } = layers[layers.length - 1]
  const said =
    predictor.task === 'regression'
      ? answer.values.map(({ value }) => formatNumber(value)).join(', ')
      : saidBy(predictor.task, values, predictor.outputNames)
  return layers.map(({ layer, kind, units, active, least, most }) =>
    [
      `${kind} ${layer}`.padEnd(9),
      formatCounted(units, 'unit').padEnd(11),
      (kind === 'output' ? `predicts ${said}` : `${formatPercent(active, 0)} active`).padEnd(13),
      `from ${least.toPrecision(3)} to ${most.toPrecision(3)}`,
    ].join(' '),
  )
}

/** Shape of the inputs of the first layer; of embedded features they are a row. */
function shapeOf({ height, width, channels, widths }: Predictor) {
  const isWhole = widths[0] === height * width * channels
  return isWhole ? { height, width, channels } : { height: 1, width: widths[0], channels: 1 }
}

async function showWeights(
  predictor: Predictor,
  count: number,
  { out, json }: ActivationsArguments,
): Promise<string[]> {
  const [{ importantUnits }, { drawWeights }] = await Promise.all([
    import('../inference/layers.js'),
    import('../picture/layers.js'),
  ])
  const tiles = importantUnits(predictor, count)
  const [first] = predictor.convolutions
  const of = first ? formatCounted(first.window.output.channels, 'filter') : formatCounted(predictor.widths[1], 'unit')
  const title = `first layer: weights of ${tiles.length} of ${of}`
  const shape = first
    ? { ...first.window.input, height: first.window.size, width: first.window.size }
    : shapeOf(predictor)
  if (out !== undefined) await savePicture(out, drawWeights(title, tiles, shape))
  if (!json) return [title]
  return [
    JSON.stringify({ out: out ?? null, units: tiles.map(({ unit, values }) => ({ unit, weights: [...values] })) }),
  ]
}
