/** Shell completion: commands, their subcommands, options and the choices of options. Main thread; prints nothing. */
import yargs, { type Argv, type CommandModule } from 'yargs'

interface Completable {
  readonly name: string
  /** Name with positional arguments; those are not options. */
  readonly command: string
  readonly load: () => Promise<CommandModule>
}

interface Handler {
  readonly original?: string
  readonly builder?: unknown
}

/** Part of yargs that its types leave out. */
interface Inside {
  getOptions(): { key: Record<string, unknown>; choices: Record<string, readonly unknown[]>; hiddenOptions: string[] }
  getInternalMethods(): { getCommandInstance(): { getCommandHandlers(): Record<string, Handler> } }
}

/** Words that could replace the last of `words`. Empty: a file name, which shells complete themselves. */
export async function completionsOf(words: readonly string[], commands: readonly Completable[]): Promise<string[]> {
  const current = words.at(-1) ?? ''
  const before = words.slice(0, -1)
  const entry = commands.find(({ name }) => name === before[0])
  const starting = (names: readonly string[]) => names.filter(name => name.startsWith(current)).sort()
  if (entry === undefined) return starting([...commands.map(({ name }) => name), 'completion', '--help', '--version'])
  let built = await builtBy((await entry.load()).builder)
  const inner = handlersOf(built)[before[1] ?? '']
  if (inner !== undefined) built = await builtBy(inner.builder)
  const { key, choices } = (built as unknown as Inside).getOptions()
  const previous = before.at(-1)?.replace(/^--/, '') ?? ''
  if (before.at(-1)?.startsWith('--') && choices[previous]) return starting(choices[previous].map(String))
  if (current.startsWith('-')) {
    const positional = [...`${entry.command} ${inner?.original ?? ''}`.matchAll(/[<[]([\w-]+)/g)].map(
      ([, name]) => name,
    )
    const names = Object.keys(key).filter(name => name.length > 1 && !/[A-Z]/.test(name) && !positional.includes(name))
    return starting([...new Set([...names, 'help'])].map(name => `--${name}`))
  }
  return inner === undefined && before.length === 1 ? starting(Object.keys(handlersOf(built))) : []
}

async function builtBy(builder: unknown): Promise<Argv> {
  const fresh = yargs([])
  return typeof builder === 'function' ? ((await builder(fresh)) ?? fresh) : fresh
}

const handlersOf = (built: Argv): Record<string, Handler> => {
  const handlers = (built as unknown as Inside).getInternalMethods().getCommandInstance().getCommandHandlers()
  return Object.fromEntries(Object.entries(handlers).filter(([name]) => !name.startsWith('$')))
}
