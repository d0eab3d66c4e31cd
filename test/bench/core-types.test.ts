import t from 'tap'
import { type CoreTrial, coreTypesFor, fastestCoreType, peerEnvironment } from '../../bench/core-types.js'

const trial = (name: string, f32: number, f64: number, error = 0.2): CoreTrial => ({ name, f32, f64, error })

t.test('the fastest core type of each number type, by the figures', async t => {
  const trials = [trial('', 30, 60), trial('Haswell', 35, 50), trial('Cooperlake', 20, 70)]
  t.equal(fastestCoreType(trials, 'f32'), 'Cooperlake')
  t.equal(fastestCoreType(trials, 'f64'), 'Haswell')
})

t.test('a core type with wrong products, or faster only within the noise, is never chosen', async t => {
  t.equal(fastestCoreType([trial('', 30, 60), trial('SkylakeX', 10, 10, 1e300)], 'f32'), '')
  t.equal(fastestCoreType([trial('', 30, 60, 1e300), trial('Zen', 40, 70)], 'f32'), 'Zen')
  t.equal(fastestCoreType([trial('', 30, 60), trial('Zen', 29.8, 59)], 'f32'), '')
  t.equal(fastestCoreType([], 'f64'), '')
})

t.test('only core types whose instructions the CPU has', async t => {
  t.same(coreTypesFor(''), [''])
  t.same(coreTypesFor('fma avx2'), ['', 'Haswell', 'Zen'])
  t.same(coreTypesFor('fma avx2 avx512f avx512dq avx512vl avx512bw'), ['', 'Haswell', 'Zen', 'SkylakeX'])
})

t.test('peers inherit no setting that slows down OpenBLAS', async t => {
  const env = { PATH: '/bin', OPENBLAS_CORETYPE: 'Haswell', OPENBLAS_L2_SIZE: '512', OPENBLAS_VERBOSE: '1' }
  t.same(peerEnvironment('', env), { PATH: '/bin', OPENBLAS_VERBOSE: '1' })
  t.same(peerEnvironment('Zen', env), { PATH: '/bin', OPENBLAS_VERBOSE: '1', OPENBLAS_CORETYPE: 'Zen' })
})
