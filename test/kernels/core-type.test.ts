/** OpenBLAS is loaded with a kernel that suits the CPU where it does not know the CPU itself. */
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { cpuFlags } from '../../src/kernels/cpu.js'
import { betterCoreType } from '../../src/kernels/native/core-type.js'
import { findLibrary } from '../../src/kernels/native/discover.js'
import { openNative } from '../../src/kernels/native/open.js'
import { compiled, ownCache } from '../helpers/native-library.js'

ownCache(t)

const AVX512 = 'avx2 fma avx512f avx512cd avx512bw avx512dq avx512vl'
const old = { name: 'OpenBLAS', version: '0.3.21', detail: 'Prescott' }

t.test('a kernel for SSE is replaced by the best that the CPU can run', async t => {
  t.equal(betterCoreType(old, AVX512, {}), 'SkylakeX')
  t.equal(betterCoreType(old, 'avx2 fma avx512f', {}), 'Haswell')
  t.equal(betterCoreType({ ...old, detail: 'Nehalem' }, 'avx2 fma', {}), 'Haswell')
  t.equal(betterCoreType(old, 'sse4_2', {}), null, 'nothing is better')
  t.equal(betterCoreType(old, '', {}), null, 'an unknown CPU')
})

t.test("a modern kernel, another library's, and the user's own choice stand", async t => {
  for (const detail of ['Haswell', 'Zen', 'ZEN', 'SkylakeX', 'Cooperlake', 'unknown']) {
    t.equal(betterCoreType({ ...old, detail }, AVX512, {}), null, detail)
  }
  t.equal(betterCoreType({ ...old, name: 'BLIS' }, AVX512, {}), null)
  t.equal(betterCoreType(old, AVX512, { OPENBLAS_CORETYPE: 'Prescott' }), null)
})

/** A library that says which kernel it was loaded with, as OpenBLAS does: that of the environment, or one for SSE. */
const source = (known: string) => `#include <stdlib.h>
#include <string.h>
static const char *core = "Prescott";
__attribute__((constructor)) static void choose(void) {
  const char *asked = getenv("OPENBLAS_CORETYPE");
  if (asked != NULL && strcmp(asked, "${known}") == 0) core = "${known}";
}
const char *openblas_get_config(void) { return "OpenBLAS 0.3.21 DYNAMIC_ARCH"; }
const char *openblas_get_corename(void) { return core; }
void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                 float beta, float *c, int ldc) {
  for (int i = 0; i < m; i++) for (int j = 0; j < n; j++) {
    float sum = beta == 0 ? 0 : beta * c[i * ldc + j];
    for (int p = 0; p < k; p++) sum += (ta == 112 ? a[p * lda + i] : a[i * lda + p]) * (tb == 112 ? b[j * ldb + p] : b[p * ldb + j]);
    c[i * ldc + j] = sum;
  }
}
`

const dir = t.testdir({})
const expected = betterCoreType(old, cpuFlags(), {})
const suitable = process.platform !== 'linux' || expected === null ? { skip: 'needs Linux, and a CPU with AVX2' } : {}

t.test('the library is loaded with that kernel, by the main thread and by a worker alone', suitable, async t => {
  const { OPENBLAS_CORETYPE: before, ...env } = process.env
  delete process.env.OPENBLAS_CORETYPE
  t.teardown(() => before !== undefined && Object.assign(process.env, { OPENBLAS_CORETYPE: before }))
  const file = compiled(t, dir, 'main', source(expected!))
  const other = compiled(t, dir, 'worker', `${source(expected!)}int other = 1;`)
  if (file === null || other === null) return
  const { library, reason } = await findLibrary('blas', { library: file, env })
  t.match(library, { coreType: expected, detail: new RegExp(`^${expected}, by OPENBLAS_CORETYPE: it does not know`) })
  t.match(reason, `OpenBLAS 0.3.21 (${expected}, by OPENBLAS_CORETYPE`)
  await openNative(library!) // throws where it runs another kernel
  t.equal(process.env.OPENBLAS_CORETYPE, undefined, 'the environment is as before')

  const worker = new Worker(
    `import(${JSON.stringify(new URL('../../src/kernels/native/open.js', import.meta.url).href)})
      .then(({ openNative }) => openNative(require('node:worker_threads').workerData))
      .then(() => require('node:worker_threads').parentPort.postMessage('opened'))`,
    { eval: true, workerData: { backend: 'blas', path: other, coreType: expected } },
  )
  const answer = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  t.equal(answer, 'opened')
  await worker.terminate()
})

t.test('a library that was loaded before with another kernel is refused', suitable, async t => {
  const file = compiled(t, dir, 'before', `${source(expected!)}int before = 1;`)
  if (file === null) return
  await openNative({ backend: 'blas', path: file })
  await t.rejects(
    // The same file by another name, for which no handle is known.
    openNative({ backend: 'blas', path: `${dir}/./before.so`, coreType: expected }),
    /runs its kernel Prescott, expected (SkylakeX|Haswell): this process has loaded it before/,
  )
})

t.test('a library without that kernel stays as it is', suitable, async t => {
  const file = compiled(t, dir, 'without', source('another'))
  if (file === null) return
  const { OPENBLAS_CORETYPE: _, ...env } = process.env
  const { library } = await findLibrary('blas', { library: file, env })
  t.match(library, { coreType: null, detail: /^Prescott/ })
})
