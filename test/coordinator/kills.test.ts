/** Bar "exact resume", the short form: scripts/kills.mjs with a few kills for each backend that works here. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { nativeCandidates } from '../helpers/native.js'

const [KILLS, NATIVE_KILLS] = [3, 1]
const natives = (await nativeCandidates()).map(({ backend, skip }) => ({
  name: backend.name,
  skip,
  kills: NATIVE_KILLS,
  model: 'dense',
}))
const wasm = { name: 'wasm' as const, skip: false as const }
for (const { name, skip, kills, model } of [
  { ...wasm, kills: KILLS, model: 'dense' },
  { ...wasm, kills: 2, model: 'convolutions' },
  ...natives,
]) {
  t.test(
    `${name}, ${model}: ${kills} times SIGKILL, resumed: the same bits, no unreadable checkpoint`,
    { skip },
    async t => {
      const options = ['--kills', String(kills), '--backend', name, '--model', model]
      const child = spawn(process.execPath, ['scripts/kills.mjs', ...options], { stdio: ['ignore', 'pipe', 'pipe'] })
      let text = ''
      child.stdout.on('data', data => (text += data))
      child.stderr.on('data', data => (text += data))
      const [code] = await once(child, 'close')
      t.equal(code, 0, text)
      t.match(text, /0 differences, 0 unreadable/)
    },
  )
}
