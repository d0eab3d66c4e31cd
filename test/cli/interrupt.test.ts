import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'

/**
 * A process that waits for signals, prints them, and exits with the code of the signal when `stop` is written to it. `later`
 * moves its clock on by a second, `dispose` does what a command does before it exits; the clock stands still otherwise, so that the test does not depend on the machine's speed.
 */
const SCRIPT = (url: string) => `
  import { watchInterrupts } from ${JSON.stringify(url)}
  let clock = 0
  const interrupt = watchInterrupts(signal => console.log('first ' + signal), () => console.log('second'), () => clock)
  const got = () => console.log('got SIGINT')
  process.on('SIGINT', got)
  const alive = setInterval(() => {}, 1000)
  process.stdin.on('data', text => {
    if (String(text) === 'later') {
      clock += 1000
      return console.log('later')
    }
    if (String(text) === 'dispose') {
      process.off('SIGINT', got)
      interrupt.dispose()
      return console.log('disposed')
    }
    clearInterval(alive); interrupt.dispose(); process.exitCode = interrupt.exitCode(); process.stdin.pause() })
  console.log('ready')
`

async function listener(t: Test) {
  const url = pathToFileURL(resolve('dist/src/cli/interrupt.js')).href
  // tap's NODE_OPTIONS load a module into every process, which handles signals itself.
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT(url)], {
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  child.stdout.setEncoding('utf8').on('data', chunk => {
    output += chunk
  })
  const exit = once(child, 'exit')
  const said = async (text: string) => {
    while (!output.includes(text)) await once(child.stdout, 'data')
  }
  await said('ready')
  return { child, said, exit, output: () => output }
}

t.test('the first signal is reported and sets the exit code', async t => {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const { child, said, exit } = await listener(t)
    child.kill(signal)
    await said(`first ${signal}`)
    child.stdin.end('stop')
    t.same(await exit, [code, null], signal)
  }
})

t.test('a Ctrl-C that npx forwards counts once; a second one ends the process with 130', async t => {
  const { child, said, exit, output } = await listener(t)
  child.kill('SIGINT')
  await said('first SIGINT\ngot SIGINT\n')
  child.kill('SIGINT')
  await said('got SIGINT\ngot SIGINT\n')
  t.equal(child.exitCode, null, 'still there')
  child.stdin.write('later')
  await said('later')
  child.kill('SIGINT')
  t.same(await exit, [130, null])
  t.equal(output(), 'ready\nfirst SIGINT\ngot SIGINT\ngot SIGINT\nlater\nsecond\n')
})

t.test('a forwarded Ctrl-C that arrives after the command has finished leaves the exit code at 130', async t => {
  const { child, said, exit } = await listener(t)
  child.kill('SIGINT')
  await said('first SIGINT\ngot SIGINT\n')
  child.stdin.write('dispose')
  await said('disposed')
  child.kill('SIGINT')
  child.stdin.end('stop')
  t.same(await exit, [130, null])
})
