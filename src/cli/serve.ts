/** `gradloom serve`: starts the server, prints its address, stops it on a signal. Main thread. */
import type { Argv, CommandModule } from 'yargs'
import type { BackendName } from '../inference/model.js'
import { watchInterrupts } from './interrupt.js'
import { backendOption, integerOption, portOption, single } from './options.js'

interface ServeArguments {
  runs: string[]
  port?: string
  host?: string
  allowHost: string[]
  rate?: string
  backend?: BackendName
}

export const serveCommand: CommandModule<object, ServeArguments> = {
  command: 'serve <runs..>',
  describe: 'Draw digits or fill in a row for a network, and watch runs in the browser',
  builder: yargs =>
    yargs
      .positional('runs', {
        describe: 'Run directories, including runs in progress, or .safetensors files',
        ...{ type: 'string', array: true, demandOption: true },
      })
      .option('port', {
        describe: 'Port to listen on; 0: any that is free',
        defaultDescription: '4747, or any that is free',
        ...single('port'),
      })
      .option('host', {
        describe: 'Address to listen on; anything but the default is reachable from other computers',
        defaultDescription: '127.0.0.1',
        ...single('host'),
      })
      .option('allow-host', {
        describe: 'Additional host name by which browsers may reach it; may be repeated',
        ...{ type: 'string', array: true, nargs: 1, default: [], defaultDescription: 'none' },
      })
      .option('rate', {
        describe: 'Limit of requests per second from one address',
        defaultDescription: '10000',
        ...single('rate'),
      })
      .option('backend', backendOption)
      .example('$0 serve runs/mine', 'then open the address that it prints')
      .example('$0 serve runs/*', 'several runs side by side')
      .epilogue(
        'Ctrl-C stops it after the pending requests. docs/serve.md has the JSON API.',
      ) as unknown as Argv<ServeArguments>,
  handler: runServe,
}

const PAGES = {
  '/draw': "draw, and see the network's predictions",
  '/form': 'fill in the columns of a row, and see the prediction',
} as const

async function runServe(args: ServeArguments): Promise<void> {
  const port = portOption('serve', args.port)
  const rate = args.rate === undefined ? undefined : integerOption('serve', 'rate', args.rate, 1)
  const [{ pagesOf, Registry }, { startServer }] = await Promise.all([
    import('../serve/registry.js'),
    import('../serve/server.js'),
  ])
  const registry = await Registry.of(args.runs)
  let stop = () => {}
  const stopped = new Promise<void>(resolve => {
    stop = resolve
  })
  const interrupt = watchInterrupts(
    signal => {
      process.stderr.write(`${signal}: answering pending requests; press again to quit at once\n`)
      stop()
    },
    () => {},
  )
  try {
    const server = await startServer({
      ...{ registry, port, allowHosts: args.allowHost },
      ...(args.host !== undefined && { host: args.host }),
      ...(rate !== undefined && { rate }),
      backend: args.backend,
      onOpened: (run, backend) => process.stderr.write(`${run}: predictions are computed in ${backend}\n`),
    })
    const ids = registry.list().map(({ id }) => id)
    for (const page of await pagesOf(registry)) process.stdout.write(`${server.url}${page}   ${PAGES[page]}\n`)
    process.stdout.write(`${server.url}/watch  curves, progress, mistakes\n`)
    process.stderr.write(`serving ${ids.join(', ')}; Ctrl-C stops\n`)
    await stopped
    const unanswered = await server.stop()
    if (unanswered > 0)
      process.stderr.write(`connections closed without an answer, because they took too long: ${unanswered}\n`)
  } finally {
    interrupt.dispose()
  }
}
