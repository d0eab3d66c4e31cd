import t from 'tap'
import { PeerError, startPeer } from '../../bench/peer.js'

/** A peer in one line of JavaScript; `say` prints a line of JSON. */
const peer = (code: string) => ({
  file: process.execPath,
  args: ['-e', `const say = x => console.log(JSON.stringify(x)); ${code}`],
})
const READY = "say({ ready: true, peer: 'p', version: '1.2', threads: 2, blas: 'none' });"
const ANSWER = 'process.stdin.on("data", line => say({ seconds: Array(JSON.parse(line).steps).fill(0.5), loss: 1 }));'

t.test('a peer describes itself, answers steps, and exits when its input ends', async t => {
  const running = await startPeer(peer(READY + ANSWER))
  t.strictSame(running.facts, { version: '1.2', threads: 2, blas: 'none' })
  t.strictSame(await running.steps(2), [0.5, 0.5])
  t.strictSame(await running.steps(1), [0.5])
  await running.close()
})

t.test('a peer that cannot run is a PeerError with the reason', async t => {
  const cases: [name: string, command: Parameters<typeof startPeer>[0], message: RegExp][] = [
    ['no such program', { file: 'no-such-program', args: [] }, /ENOENT/],
    ['not ready', peer("say({ ready: false, error: 'no numpy', hint: 'get it' })"), /^no numpy; hint: get it$/],
    [
      'dies',
      peer('console.error("first"); console.error("out of luck"); process.exit(3)'),
      /exit code 3; out of luck$/,
    ],
    ['no JSON', peer('console.log("hello"); process.stdin.resume()'), /^answered "hello", expected JSON$/],
  ]
  for (const [name, command, message] of cases) {
    await t.rejects(startPeer(command), Object.assign(new PeerError(), { message }), name)
  }
})

t.test('a peer that dies during a step, or gives an invalid answer, is a PeerError', async t => {
  const dying = await startPeer(peer(`${READY} process.stdin.on("data", () => process.exit(9))`))
  await t.rejects(dying.steps(1), { name: 'PeerError', message: 'ended with exit code 9' })
  await dying.close()
  const odd = await startPeer(peer(`${READY} process.stdin.on("data", () => say({ seconds: [1] }))`))
  await t.rejects(odd.steps(2), { name: 'PeerError', message: 'answered [1], expected 2 times' })
  await odd.close()
})
