import t from 'tap'
import { bf16Flags, cacheBytes, lastLevelBytes } from '../../bench/cpu.js'

t.test('bf16 instructions by the features that Linux lists; null where it lists none', async t => {
  t.strictSame(bf16Flags('model name\t: x\nflags\t\t: fpu avx2 avx512_bf16 amx_bf16 amx_tile\n'), [
    'amx_bf16',
    'avx512_bf16',
  ])
  t.strictSame(bf16Flags('flags\t\t: fpu avx2 avx512f\nbugs\t\t: amx_bf16\n'), [])
  t.strictSame(bf16Flags('Features\t: fp asimd i8mm bf16\n'), ['bf16'], 'ARM')
  t.equal(bf16Flags('processor\t: 0\n'), null)
})

t.test('sizes of caches', async t => {
  t.equal(cacheBytes('32768K\n'), 2 ** 25)
  t.equal(cacheBytes('1M'), 2 ** 20)
  t.equal(cacheBytes('64'), 64)
  t.equal(cacheBytes('unknown'), 0)
  t.ok(lastLevelBytes() >= 2 ** 18, `${lastLevelBytes()} bytes here`)
})
