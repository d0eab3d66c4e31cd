/** `gradloom export`: writes weights for other programs. Main thread; the work is in src/export. */
import type { Argv, CommandModule } from 'yargs'
import type { ExportFormat } from '../export/export.js'
import { jsonObject, savedRun, single } from './options.js'

interface ExportArguments {
  run: string
  out: string
  format?: ExportFormat
  dtype: 'f32' | 'bf16'
  json: boolean
}

const FORMATS = ['npz', 'safetensors', 'onnx', 'tfjs', 'pytorch'] as const satisfies readonly ExportFormat[]

export const exportCommand: CommandModule<object, ExportArguments> = {
  command: 'export <run>',
  describe: 'Write weights for other programs',
  builder: yargs =>
    yargs
      .positional('run', savedRun)
      .option('out', { describe: 'File to write', ...single('out'), demandOption: true })
      .option('format', {
        describe:
          'NumPy, safetensors (a model of gradloom), ONNX, model.json of TensorFlow.js with weights beside it, or a state dictionary of PyTorch in safetensors',
        choices: FORMATS,
        defaultDescription: "by --out's name",
      })
      .option('dtype', {
        describe: 'Number type in safetensors: bf16 halves the size and keeps 8 significant bits',
        choices: ['f32', 'bf16'] as const,
        default: 'f32' as const,
      })
      .option('json', jsonObject)
      .example('$0 export runs/mine --out weights.npz', 'numpy.load(...)["layers.0.weight"], (inputs, units)')
      .example('$0 export runs/mine --out model.safetensors --dtype bf16', 'a small file that predict and serve open')
      .example('$0 export runs/mine --out net.safetensors --format pytorch', "for nn.Sequential's load_state_dict")
      .example('$0 export runs/mine --out model.onnx', 'pixels / 255, or the columns of a table, to probabilities')
      .example(
        '$0 export runs/mine --out web/model.json',
        "tf.loadLayersModel('model.json') in a browser",
      ) as Argv<ExportArguments>,
  handler: async ({ run, out, format, dtype, json }) => {
    const { exportWeights, formatOf } = await import('../export/export.js')
    const exported = await exportWeights(run, out, {
      ...(out !== '-' && { format: format ?? formatOf(out) }),
      dtype: dtype === 'bf16' ? 'BF16' : 'F32',
    })
    const shapes = exported.parameters.map(({ name, shape }) => `  ${name} (${shape.join(', ')})`)
    process.stdout.write(json ? `${JSON.stringify(exported)}\n` : `${out}: ${exported.format}\n${shapes.join('\n')}\n`)
  },
}
