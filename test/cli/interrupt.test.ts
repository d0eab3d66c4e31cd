import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'

/** A process that waits for signals, says what it hears, and exits with the code that it owes when told to stop. */
const SCRIPT = (url: string) => `
  import { watchInterrupts } from ${JSON.stringify(url)}
  const interrupt = watchInterrupts(signal => console.log('first ' + signal), () => console.log('second'))
  const alive = setInterval(() => {}, 1000)
  process.stdin.on('data', () => { clearInterval(alive); interrupt.dispose(); process.exitCode = interrupt.exitCode(); process.stdin.pause() })
  console.log('ready')
`

async function listener(t: Test) {
  const url = pathToFileURL(resolve('dist/src/cli/interrupt.js')).href
  const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT(url)], {
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

t.test('the first signal is told and sets the exit code', async t => {
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

t.test('the same Ctrl-C passed on by npx counts once, a second one ends the process with 130', async t => {
  const { child, said, exit, output } = await listener(t)
  child.kill('SIGINT')
  await said('first SIGINT')
  child.kill('SIGINT')
  await new Promise(resolve => setTimeout(resolve, 400))
  t.equal(child.exitCode, null, 'still there')
  child.kill('SIGINT')
  t.same(await exit, [130, null])
  t.equal(output(), 'ready\nfirst SIGINT\nsecond\n')
})
