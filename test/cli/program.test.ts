import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import * as modules from 'node:module'
import t from 'tap'
import { COMMANDS, runCli } from '../../src/cli/program.js'
import { gradloom } from './run-cli.js'

const HELP = /Commands:\n {2}npx gradloom init \[data\] /

t.test('the list of commands has the summary of each command', async t => {
  for (const { command, describe, load } of COMMANDS) t.match(await load(), { command, describe }, command)
})

t.test('help and version go to stdout, and exit 0', async t => {
  const [help, version] = await Promise.all([gradloom(['--help']), gradloom(['--version'])])
  t.match(help, { code: 0, stdout: HELP, stderr: '' })
  t.match(version, { code: 0, stdout: `${JSON.parse(readFileSync('package.json', 'utf8')).version}\n`, stderr: '' })
})

t.test('compiled code is kept for the next command where Node.js can, unless its variable says no', async t => {
  const filesAfter = (variables: NodeJS.ProcessEnv) => {
    const folder = t.testdir()
    const { NODE_OPTIONS: _, NODE_COMPILE_CACHE: __, NODE_DISABLE_COMPILE_CACHE: ___, ...env } = process.env
    Object.assign(env, { TMPDIR: folder, ...variables })
    execFileSync(process.execPath, ['bin/gradloom.js', '--version'], { env })
    return readdirSync(folder, { recursive: true }).length
  }
  if ('enableCompileCache' in modules && process.platform !== 'win32') t.ok(filesAfter({}) > 0)
  else t.equal(filesAfter({}), 0)
  t.equal(filesAfter({ NODE_DISABLE_COMPILE_CACHE: '1' }), 0)
})

t.test('every command and subcommand has help with an example', async t => {
  const helpOf = async (name: string): Promise<void> => {
    const { code, stdout, stderr } = await gradloom([...name.split(' '), '--help'])
    t.strictSame({ code, stderr }, { code: 0, stderr: '' }, name)
    t.match(stdout, new RegExp(`Examples:\n +(npx )?gradloom ${name}`), `${name}: an example`)
    const [, list = ''] = /^Commands:\n([\s\S]*?)\n\n/m.exec(stdout) ?? []
    const inner = [...list.matchAll(new RegExp(`npx gradloom ${name} (\\w+)`, 'g'))]
    for (const [, subcommand] of inner) await helpOf(`${name} ${subcommand}`)
  }
  for (const { name } of [...COMMANDS, { name: 'completion' }]) await helpOf(name)
})

t.test('no command: help on stderr, exit 2', async t => {
  t.match(await gradloom([]), { code: 2, stdout: '', stderr: HELP })
})

t.test('usage errors print the problem and a hint without the full help, and exit with 2', async t => {
  const cases: [args: string[], stderr: string][] = [
    [
      ['trian', 'x'],
      "gradloom: command is 'trian', expected one of init, train, resume, reproduce, list, checkpoint, evaluate, sweep, compare, predict, activations, report, serve, export, data, config, doctor; did you mean train?\nhint: npx gradloom --help\n",
    ],
    [['--json'], 'gradloom: no command is given\nhint: npx gradloom --help\n'],
    [
      ['train'],
      'gradloom train: an argument is missing, expected gradloom train <experiment>\nhint: npx gradloom train --help\n',
    ],
    [['train', 'a', 'b'], "gradloom train: argument 'b' is not expected\nhint: npx gradloom train --help\n"],
    [
      ['train', 'a', '--epoch', '3'],
      'gradloom train: unknown option --epoch; did you mean --epochs?\nhint: npx gradloom train --help\n',
    ],
    [
      ['train', 'a', '--no-run-dir'],
      'gradloom train: unknown option --no-run-dir; did you mean --run-dir?\nhint: npx gradloom train --help\n',
    ],
    [['train', 'a', '--seed'], 'gradloom train: --seed needs a value\nhint: npx gradloom train --help\n'],
    [
      ['train', 'a', '--seed=1', '--seed=2'],
      'gradloom train: --seed is given 2 times, expected once\nhint: npx gradloom train --help\n',
    ],
    [
      ['evaluate', 'a', '--split', 'b'],
      'gradloom evaluate: --split is "b", expected one of "test", "train", "validation"\nhint: npx gradloom evaluate --help\n',
    ],
    [
      ['config', 'chek'],
      'gradloom config chek: there is no such command; did you mean check?\nhint: npx gradloom config --help\n',
    ],
  ]
  const exitCode = process.exitCode
  for (const [args, stderr] of cases) {
    const written = t.capture(process.stderr, 'write', () => true)
    await runCli(args)
    const text = written()
      .map(call => call.args.join(''))
      .join('')
    written.restore()
    t.equal(text, stderr, args.join(' '))
    t.equal(process.exitCode, 2, args.join(' '))
    process.exitCode = exitCode
  }
})

t.test('a pipe that is closed early is not a failure', async t => {
  const child = spawn(process.execPath, ['dist/src/cli/main.js', 'config', 'schema'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout.destroy()
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', chunk => {
    stderr += chunk
  })
  t.same(await once(child, 'close'), [0, null])
  t.equal(stderr, '')
})
