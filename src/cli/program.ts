/**
 * The command line: list of commands, form of usage errors, exit codes.
 * Main thread. A command's module is loaded when it is used, so that `--help` answers at once.
 */
import { inspect } from 'node:util'
import yargs, { type ArgumentsCamelCase, type Argv, type CommandModule } from 'yargs'
import { ConfigError, GradloomError } from '../errors.js'
import { gradloomVersion } from '../version.js'
import { watchReading } from './reading-progress.js'
import { checkCommand, isUsage, type KnownCommand, usageError } from './usage.js'

interface Entry extends KnownCommand {
  readonly describe: string
  readonly load: () => Promise<CommandModule>
}

export const COMMANDS: readonly Entry[] = [
  {
    name: 'init',
    command: 'init [data]',
    describe: 'Write an experiment for your own data; asks on a terminal',
    load: async () => erased((await import('./init.js')).initCommand),
  },
  {
    name: 'train',
    command: 'train <experiment>',
    describe: 'Train the network of an experiment file',
    load: async () => erased((await import('./train.js')).trainCommand),
  },
  {
    name: 'resume',
    command: 'resume <run>',
    describe: 'Continue a run from its newest checkpoint',
    load: async () => erased((await import('./resume.js')).resumeCommand),
  },
  {
    name: 'reproduce',
    command: 'reproduce <run>',
    describe: 'Train a run again and compare the bits',
    load: async () => erased((await import('./reproduce.js')).reproduceCommand),
  },
  {
    name: 'list',
    command: 'list [folder]',
    describe: 'List runs: status, epochs, scores, time and size',
    load: async () => erased((await import('./list.js')).listCommand),
  },
  {
    name: 'checkpoint',
    command: 'checkpoint',
    group: true,
    describe: 'Inspect and verify checkpoints, remove old ones',
    load: async () => (await import('./checkpoint.js')).checkpointCommand,
  },
  {
    name: 'evaluate',
    command: 'evaluate <run>',
    describe: 'Score the weights of a run or a checkpoint',
    load: async () => erased((await import('./evaluate.js')).evaluateCommand),
  },
  {
    name: 'sweep',
    command: 'sweep <sweep>',
    describe: 'Train many variants of an experiment; the same command continues a stopped sweep',
    load: async () => erased((await import('./sweep.js')).sweepCommand),
  },
  {
    name: 'compare',
    command: 'compare <runs..>',
    describe: 'Show runs side by side, with the settings in which they differ',
    load: async () => erased((await import('./compare.js')).compareCommand),
  },
  {
    name: 'predict',
    command: 'predict <run>',
    describe: 'Predict test samples, your own pictures or the rows of a table',
    load: async () => erased((await import('./predict.js')).predictCommand),
  },
  {
    name: 'activations',
    command: 'activations <run>',
    describe: "Draw every layer's activations, or the weights of the first layer",
    load: async () => erased((await import('./activations.js')).activationsCommand),
  },
  {
    name: 'report',
    command: 'report <runs..>',
    describe: 'Write a report about a run, or a comparison of several',
    load: async () => erased((await import('./report.js')).reportCommand),
  },
  {
    name: 'serve',
    command: 'serve <runs..>',
    describe: 'Draw digits or fill in a row for a network, and watch runs in the browser',
    load: async () => erased((await import('./serve.js')).serveCommand),
  },
  {
    name: 'export',
    command: 'export <run>',
    describe: 'Write weights for other programs',
    load: async () => erased((await import('./export.js')).exportCommand),
  },
  {
    name: 'data',
    command: 'data',
    group: true,
    describe: 'List, fetch, verify, preview and describe data sets',
    load: async () => (await import('./data.js')).dataCommand,
  },
  {
    name: 'config',
    command: 'config',
    group: true,
    describe: 'Check, show and document experiment files',
    load: async () => (await import('./config.js')).configCommand,
  },
  {
    name: 'doctor',
    command: 'doctor',
    describe: 'Check whether training works on this machine, and with which backends',
    load: async () => erased((await import('./doctor.js')).doctorCommand),
  },
]

const WIDEST_HELP = 110
/** Command that prints the shell completion script. */
const COMPLETION = 'completion'
const COMPLETION_TEXT = 'Print a script that completes commands in bash, zsh or fish'
/** Argument that the script passes; the program's name and the words so far follow it. */
const ASKS_COMPLETIONS = '--get-yargs-completions'

/** Command with its argument type erased. Its own builder ensures that its handler gets the arguments it declares. */
function erased<Arguments>(command: CommandModule<object, Arguments>): CommandModule {
  return command as CommandModule
}

/** Runs one command line. Prints its errors, and leaves the exit code in `process.exitCode`. */
export async function runCli(args: readonly string[]): Promise<void> {
  const isSilent = args.includes('--json') || args.includes('--quiet')
  const stopWatching = isSilent ? () => {} : watchReading({ stream: process.stderr })
  try {
    if (args[0] === COMPLETION && args.some(arg => ['--help', '-h'].includes(arg))) {
      process.stdout.write(`${await completionHelp()}\n`)
      return
    }
    const program = createProgram(withoutShell(args))
    if (args.length === 0) {
      program.showHelp('error')
      process.exitCode = 2
      return
    }
    if (args[0] === ASKS_COMPLETIONS) {
      const { completionsOf } = await import('./completion.js')
      process.stdout.write((await completionsOf(args.slice(2), COMMANDS)).map(word => `${word}\n`).join(''))
      return
    }
    if (args[0] !== COMPLETION) await checkCommand(args, COMMANDS)
    await runChosen(program)
  } catch (thrown) {
    const error = isUsage(thrown) ? await usageError(args, thrown, COMMANDS) : thrown
    process.stderr.write(`${messageFor(error)}\n`)
    process.exitCode = error instanceof GradloomError ? error.exitCode : 1
  } finally {
    stopWatching()
  }
}

/**
 * Thrown out of yargs with the command that it has found: after a handler yargs renders the help text, which takes longer than
 * the rest of its work, and nobody sees it.
 */
class Chosen extends Error {
  readonly run: () => Promise<void>

  constructor(run: () => Promise<void>) {
    super('a command is chosen')
    this.run = run
  }
}

/** Parses the command line and runs its command. Rejects with yargs's complaint or with the command's error. */
async function runChosen(program: Argv): Promise<void> {
  const chosen = await program.parseAsync().then(
    () => undefined, // help, version or a subcommand of a group, which has run
    (thrown: unknown) => {
      if (thrown instanceof Chosen) return thrown
      throw thrown
    },
  )
  await chosen?.run()
}

const SHELLS = ['bash', 'zsh', 'fish']

/** Takes the shell out of `completion bash`, a usual form: yargs, which writes the script, looks at the SHELL that a user has. */
function withoutShell(args: readonly string[]): readonly string[] {
  const [command, shell, ...more] = args
  if (command !== COMPLETION || shell === undefined) return args
  if (!SHELLS.includes(shell)) {
    throw new ConfigError(`gradloom completion: shell is ${inspect(shell)}, expected one of ${SHELLS.join(', ')}`, {
      hint: 'gradloom completion, without a shell, is for the one that you use',
    })
  }
  if (more.length > 0) {
    throw new ConfigError(`gradloom completion: argument ${inspect(more[0])} is not expected`, {
      hint: 'gradloom completion --help',
    })
  }
  process.env.SHELL = shell
  delete process.env.ZSH_NAME
  return [command]
}

function createProgram(args: readonly string[]): Argv {
  let inner: Argv | undefined
  const program = yargs([...args])
    // Completion needs a command of its own: shells do not complete after `npx gradloom`.
    .scriptName(args[0] === COMPLETION ? 'gradloom' : 'npx gradloom')
    .usage('gradloom: train neural networks on the cores of this machine\n\n$0 <command>')
    .example('$0 train configs/quickstart.json', 'real handwritten digits, in a minute')
    .example('$0 train --help', 'options of a command')
    .locale('en') // the rest of our messages are English too
    .wrap(Math.min(WIDEST_HELP, process.stdout.columns || WIDEST_HELP))
    // `--no-run-dir` would be a directory that is `false`.
    .parserConfiguration({ 'boolean-negation': false })
    .strict()
    .recommendCommands()
    .demandCommand(1)
    .exitProcess(false)
    .version(gradloomVersion())
    .help()
    .alias('h', 'help')
    .fail((message: string | null, error: Error | undefined) => {
      throw error ?? Object.assign(new Error(message ?? ''), { name: 'YError', options: optionsOf(inner) })
    })
  for (const { command, describe, load } of COMMANDS) {
    program.command({
      command,
      describe,
      builder: async (command: Argv) => {
        inner = command
        const { builder } = await load()
        return typeof builder === 'function' ? builder(command) : command
      },
      handler: (parsed: ArgumentsCamelCase) => {
        throw new Chosen(async () => (await load()).handler(parsed))
      },
    })
  }
  return program.completion(COMPLETION, COMPLETION_TEXT)
}

/** Help of `completion`: yargs prints the script whatever the options are. */
const completionHelp = (): Promise<string> =>
  yargs([])
    .scriptName('gradloom')
    .usage(`$0 ${COMPLETION} [shell]\n\n${COMPLETION_TEXT}`)
    .positional('shell', { describe: 'By default the shell that you use (SHELL)', choices: SHELLS })
    .example(`$0 ${COMPLETION} bash >> ~/.bashrc`, 'in new shells, if gradloom is on the path')
    .locale('en')
    .wrap(Math.min(WIDEST_HELP, process.stdout.columns || WIDEST_HELP))
    .version(false)
    .help()
    .alias('h', 'help')
    .getHelp()

/** Options of the command that is being parsed. The method is not in yargs's types; without it the list is empty. */
function optionsOf(inner: Argv | undefined): string[] {
  const { key = {} } = (inner as { getOptions?: () => { key?: object } } | undefined)?.getOptions?.() ?? {}
  return Object.keys(key)
}

/** Message of one of our errors, with its hint; for anything else, which is a defect, the stack. */
function messageFor(error: unknown): string {
  if (!(error instanceof GradloomError)) return error instanceof Error ? (error.stack ?? error.message) : inspect(error)
  return error.hint === undefined ? error.message : `${error.message}\nhint: ${error.hint}`
}
