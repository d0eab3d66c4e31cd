/** Errors of wrong usage, in the form of our other messages. Main thread; prints nothing. */
import { inspect } from 'node:util'
import { ConfigError } from '../errors.js'

export interface KnownCommand {
  readonly name: string
  /** Command with its arguments, as `--help` shows it and yargs parses it. Equal to the module's own; a test compares them. */
  readonly command: string
  /** True if it has subcommands. */
  readonly group?: true
}

/** Error of yargs for some mistakes, and of our own options for others. */
interface UsageProblem extends Error {
  readonly name: 'YError'
  /** Names of the options that the command knows. */
  readonly options?: readonly string[]
}
export function isUsage(error: unknown): error is UsageProblem {
  return error instanceof Error && error.name === 'YError'
}

/** Rejects a first word that is not a command; yargs would not name it. */
export async function checkCommand(args: readonly string[], commands: readonly KnownCommand[]): Promise<void> {
  const word = firstWord(args)
  const names = commands.map(({ name }) => name)
  if (word === undefined || word === 'help' || names.includes(word)) return
  throw new ConfigError(
    `gradloom: command is ${inspect(word)}, expected one of ${names.join(', ')}${await didYouMean(word, names)}`,
    { hint: 'npx gradloom --help' },
  )
}

/** Rewords what yargs found wrong. */
export async function usageError(
  args: readonly string[],
  problem: UsageProblem,
  commands: readonly KnownCommand[],
): Promise<ConfigError> {
  const entry = commands.find(({ name }) => name === firstWord(args))
  const words = entry ? commandWords(args, entry) : []
  const what = await reworded(args, problem, entry)
  // If the subcommand does not exist, show the help of its group.
  const known = what.startsWith(NO_SUCH_COMMAND) ? words.slice(0, -1) : words
  return new ConfigError(`${['gradloom', ...words].join(' ')}: ${what}`, {
    hint: ['npx gradloom', ...known, '--help'].join(' '),
  })
}

const NO_SUCH_COMMAND = 'there is no such command'

function firstWord(args: readonly string[]): string | undefined {
  return args.find(arg => !arg.startsWith('-'))
}

/** Words of a command: `data fetch` in a group, else the command's name alone. */
function commandWords(args: readonly string[], { name, group }: KnownCommand): string[] {
  const next = args[args.indexOf(name) + 1]
  return group && next !== undefined && !next.startsWith('-') ? [name, next] : [name]
}

async function reworded(
  args: readonly string[],
  { message, options = [] }: UsageProblem,
  entry: KnownCommand | undefined,
): Promise<string> {
  const [first, detail = ''] = message.split('\n').filter(line => line.trim() !== '')
  if (first.startsWith('Not enough non-option arguments')) {
    if (!entry) return 'no command is given'
    return entry.group ? 'an argument is missing' : `an argument is missing, expected gradloom ${entry.command}`
  }
  const [, needy] = /^Not enough arguments following: (.*)$/.exec(first) ?? []
  if (needy) return `--${needy} needs a value`
  const [, option, given, choices] = /Argument: (.*?), Given: (.*), Choices: (.*)$/.exec(detail) ?? []
  if (option) {
    const dashes = args.some(arg => arg.startsWith(`--${option}`)) ? '--' : ''
    return `${dashes}${option} is ${given}, expected one of ${choices}`
  }
  const [, unknown] = /^Unknown arguments?: (.*)$/.exec(first) ?? []
  if (unknown) return unknownArgument(args, unknown.split(', ')[0], options)
  const suggestion = /^Did you mean (.*)\?$/.exec(first)?.[1]
  if (suggestion) return `${NO_SUCH_COMMAND}; did you mean ${suggestion}?`
  return entry && message.startsWith(`${entry.name}: `) ? message.slice(entry.name.length + 2) : message
}

async function unknownArgument(args: readonly string[], name: string, options: readonly string[]): Promise<string> {
  const typed = args.map(arg => arg.split('=')[0]).find(arg => arg.startsWith('-') && arg.replace(/^-+/, '') === name)
  if (typed === undefined) return `argument ${inspect(name)} is not expected`
  return `unknown option ${typed}${await didYouMean(name, options, '--')}`
}

async function didYouMean(typed: string, known: readonly string[], prefix = ''): Promise<string> {
  const { nearest } = await import('../config/suggest.js') // loads the whole schema, which only mistakes need
  const close = nearest(
    typed,
    known.filter(name => name.length > 1),
  )
  return close === undefined ? '' : `; did you mean ${prefix}${close}?`
}
