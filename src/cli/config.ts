/** `gradloom config`: checks, shows and documents experiments. Runs on the main thread; starts no other. */
import { basename } from 'node:path'
import type { Argv, CommandModule } from 'yargs'
import { differences } from '../config/diff.js'
import { loadExperiment } from '../config/load.js'
import { experimentMarkdown } from '../config/markdown.js'
import { fromCurrentFolder } from '../config/paths.js'
import { ExperimentError } from '../config/problems.js'
import { experimentJsonSchema } from '../config/settings.js'
import { ConfigError } from '../errors.js'
import { jsonObject, setOption } from './options.js'

export const configCommand: CommandModule = {
  command: 'config',
  describe: 'Check, show and document experiment files',
  builder: (yargs: Argv) =>
    yargs
      .command(
        'check <files..>',
        'Validate experiment files, and list all problems',
        command =>
          command
            .positional('files', { describe: 'Experiment files', type: 'string', array: true, demandOption: true })
            .option('set', setOption)
            .option('json', jsonObject)
            .example('$0 config check configs/*.json', 'every problem in them; exit code 2 if there is one'),
        ({ files, set, json }) =>
          check(
            files,
            set.map(text => fromCurrentFolder(text)),
            json,
          ),
      )
      .command(
        'show <file>',
        'Print an experiment as JSON with every default filled in',
        command =>
          command
            .positional('file', { describe: 'Experiment file', type: 'string', demandOption: true })
            .option('set', setOption)
            .option('diff', { describe: 'Only what differs from the defaults', type: 'boolean', default: false })
            .example('$0 config show configs/mnist.json --diff', 'only what differs from the defaults'),
        ({ file, set, diff }) =>
          show(
            file,
            set.map(text => fromCurrentFolder(text)),
            diff,
          ),
      )
      .command(
        'schema',
        'Print the JSON Schema of experiment files',
        command =>
          command
            .option('markdown', {
              describe: 'Print the settings as a Markdown page instead',
              type: 'boolean',
              default: false,
            })
            .example('$0 config schema > experiment.schema.json', 'for editors that check JSON'),
        ({ markdown }) => {
          process.stdout.write(markdown ? experimentMarkdown() : toJson(experimentJsonSchema()))
        },
      )
      .demandCommand(1, 'config: no subcommand is given, expected check, show or schema')
      .example('$0 config check configs/*.json', 'every problem in them')
      .example('$0 config show configs/mnist.json --diff', 'only what differs from the defaults'),
  handler: () => {},
}

async function check(files: readonly string[], overrides: readonly string[], json: boolean): Promise<void> {
  const results = []
  for (const path of files) {
    const error = await errorIn(path, overrides)
    results.push({ path, ok: error === null, ...(error && { error: error.message, problems: problemsOf(error) }) })
    if (json) continue
    if (error === null) process.stdout.write(`${path}: OK\n`)
    else process.stderr.write(`${error.message}\n${error.hint === undefined ? '' : `hint: ${error.hint}\n`}`)
  }
  if (json) process.stdout.write(toJson({ ok: results.every(({ ok }) => ok), files: results }))
  if (results.some(({ ok }) => !ok)) process.exitCode = 2
}

async function errorIn(path: string, overrides: readonly string[]): Promise<ConfigError | null> {
  try {
    await loadExperiment(path, overrides)
    return null
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
}

function problemsOf(error: ConfigError): object[] {
  if (!(error instanceof ExperimentError)) return []
  return error.problems.map(({ keys, message, line, override }) => ({ path: keys.join('.'), message, line, override }))
}

async function show(path: string, overrides: readonly string[], diff: boolean): Promise<void> {
  const { experiment } = await loadExperiment(path, overrides)
  process.stdout.write(toJson(diff ? differences(experiment, basename(path, '.json')) : experiment))
}

function toJson(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
