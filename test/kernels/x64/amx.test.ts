/** Products on AMX beside oneDNN's: the same bits, also of sizes that are no whole blocks, and nothing written outside. */
import t from 'tap'
import { addressOf } from '../../../src/ffi/memory.js'
import { reportBackend } from '../../../src/kernels/backends.js'
import { openNative } from '../../../src/kernels/native/open.js'
import { amxObstacle, openAmx } from '../../../src/kernels/x64/amx.js'
import { createArena } from '../../../src/tensor/arena.js'
import { roundToBf16 } from '../../../src/tensor/bf16.js'
import { randoms } from '../lab.js'

const MB = 1 << 20
const memory = createArena(8 * MB)
const base = await addressOf(memory)
const amx = await openAmx(memory)
const { library, reason } = await reportBackend('onednn')
if (process.env.CI && !library) throw new Error(`onednn: ${reason}; CI installs libdnnl2`)
const skip =
  (await amxObstacle()) ||
  (!amx && 'the system does not let memory become code') ||
  (!library && `onednn: ${reason}`) ||
  (library && 'obstacle' in library.bf16 && library.bf16.obstacle)

t.test('products on AMX: bit for bit those of oneDNN', { skip: skip || false }, async t => {
  const { bf16 } = await openNative(library!)
  const [own, theirs] = [amx!(bf16!), bf16!]
  const words = new Uint32Array(memory.buffer)
  const random = randoms(7)
  const numbers = Float32Array.from({ length: 3 * MB }, () => random() * 2 ** Math.round(8 * random()))
  new Uint16Array(memory.buffer).set(roundToBf16(numbers))
  const [a, b, first, second] = [0, 4 * MB, 6 * MB, 7 * MB]
  const blank = 0x3f800000
  for (const [m, k] of [
    [32, 32],
    [64, 96],
    [96, 256],
    [128, 2528],
    [196, 256],
    [256, 3008],
    [512, 256],
    [16, 256],
  ]) {
    for (const accumulate of [false, true]) {
      words.fill(blank, first / 4, 2 * MB)
      theirs({ m, k, accumulate })(base + a, base + b, base + first)
      own({ m, k, accumulate })(base + a, base + b, base + second)
      let different = 0
      for (let i = 0; i < MB / 4; i++) if (words[first / 4 + i] !== words[second / 4 + i]) different++
      t.equal(different, 0, `${m} x 64 x ${k}${accumulate ? ', added' : ''}`)
      t.not(words[first / 4], blank)
    }
  }
})
