/** Libraries that cannot be used are refused with their reason, in a process of their own; verdicts are remembered. */
import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Finding, findLibrary, libraryPath } from '../../src/kernels/native/discover.js'
import { probe } from '../../src/kernels/native/probe.js'
import { compiled, nativeLibrary, ownCache } from '../helpers/native-library.js'

const cache = ownCache(t)
const dir = t.testdir({ 'text.so': 'no library', 'empty.so': '', folder: {} })
const linux = process.platform === 'linux' ? {} : { skip: 'needs the names and messages of Linux' }

const SIGNATURE =
  'int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb, ' +
  'float beta, float *c, int ldc'
/** Right, and as slow as it looks. */
const PRODUCT = `for (int i = 0; i < m; i++) for (int j = 0; j < n; j++) {
  float sum = beta == 0 ? 0 : beta * c[i * ldc + j];
  for (int p = 0; p < k; p++) sum += (ta == 112 ? a[p * lda + i] : a[i * lda + p]) * (tb == 112 ? b[j * ldb + p] : b[p * ldb + j]);
  c[i * ldc + j] = sum;
}`
const blas = (body: string, more = '') => `${more}\nvoid cblas_sgemm(${SIGNATURE}) { ${body} }\n`

async function refused(library: string, backend: 'blas' | 'onednn' = 'blas', limitMs?: number): Promise<string> {
  const finding: Finding = await findLibrary(backend, { library, env: {}, ...(limitMs !== undefined && { limitMs }) })
  if (finding.library) throw new Error(`accepted ${library}`)
  return finding.reason
}

t.test('files that are no libraries, and libraries without products', linux, async t => {
  t.equal(await refused(join(dir, 'text.so')), `${join(dir, 'text.so')}: file too short`)
  t.equal(await refused(join(dir, 'empty.so')), `${join(dir, 'empty.so')}: is an empty file`)
  t.equal(await refused(join(dir, 'folder')), `${join(dir, 'folder')}: is not a file`)
  t.equal(await refused(join(dir, 'none.so')), `${join(dir, 'none.so')}: there is no such file`)
  t.match(await refused('libgradloom-none.so.9'), /^libgradloom-none\.so\.9: cannot open shared object file/)
  t.equal(await refused('libm.so.6'), 'libm.so.6: has no cblas_sgemm')
  t.equal(await refused('libm.so.6', 'onednn'), 'libm.so.6: has no dnnl_version')
})

t.test('libraries that crash, hang, give wrong results or have another ABI are rejected', linux, async t => {
  const build = (name: string, source: string) => compiled(t, dir, name, source)
  const first = build('crash', blas('*(volatile int *)0 = 1;'))
  if (first === null) return
  const reasonOf = async (name: string, source: string, backend: 'blas' | 'onednn' = 'blas', limitMs?: number) => {
    const file = build(name, source)!
    return (await refused(file, backend, limitMs)).replace(`${file}: `, '')
  }
  t.equal((await refused(first)).replace(`${first}: `, ''), 'ended with SIGSEGV when it was called')
  t.equal(
    await reasonOf(
      'load',
      blas(PRODUCT, '#include <stdlib.h>\n__attribute__((constructor)) void die(void) { abort(); }'),
    ),
    'ended with SIGABRT when it was loaded',
  )
  t.equal(
    await reasonOf('exits', blas('exit(3);', '#include <stdlib.h>\n#include <stdio.h>')),
    'ended with exit code 3 when it was called',
  )
  t.equal(await reasonOf('hangs', blas('for (;;);'), 'blas', 1500), 'took more than 1.5 s when it was called')
  t.match(
    await reasonOf('wrong', blas(PRODUCT.replace('p < k', 'p < (k > 100 ? 100 : k)'))),
    /^gives wrong values: nn 70x97x129 with leading dimensions 129, 97, 97: element \(0, 0\) is .*, expected /,
  )
  t.match(
    await reasonOf('ignores-beta', blas(PRODUCT.replace('beta == 0 ? 0 : beta * c[i * ldc + j]', '0'))),
    /^gives wrong values: .* added to c/,
  )
  t.match(await reasonOf('outside', blas(`${PRODUCT} c[m * ldc] = 1;`)), /^writes outside of its result: nn 1x1x1/)
  t.match(
    await reasonOf(
      'wide',
      blas(PRODUCT, 'const char *openblas_get_config(void) { return "OpenBLAS 0.3.2 USE64BITINT"; }'),
    ),
    /^says "OpenBLAS 0.3.2 USE64BITINT", expected 32-bit integers/,
  )
  t.match(
    await reasonOf('suffix', 'void cblas_sgemm64_(void) {}'),
    /^has cblas_sgemm64_ alone, expected 32-bit integers/,
  )
  const dnnl = (major: number, runtime: number) =>
    `struct v { int major, minor, patch; const char *hash; unsigned cpu, gpu; };
     static const struct v it = { ${major}, 4, 1, "x", ${runtime}, 0 };
     const struct v *dnnl_version(void) { return &it; }`
  t.equal(await reasonOf('three', dnnl(3, 2), 'onednn'), 'is oneDNN 3.4.1, expected 2.x; 3.x has another C API')
  t.match(await reasonOf('tbb', dnnl(2, 4), 'onednn'), /^is built for TBB, expected OpenMP/)
  t.equal(await reasonOf('hollow', dnnl(2, 2), 'onednn'), 'has no dnnl_engine_create')
})

t.test('a correct library that is not optimized works if named, and auto does not choose it', linux, async t => {
  const file = compiled(t, dir, 'plain', blas(PRODUCT))
  if (file === null) return
  const finding = await findLibrary('blas', { library: file, env: {} })
  t.match(finding.library, { backend: 'blas', path: file, name: 'CBLAS', version: 'unknown' })
  t.match(finding.slow, /^only \d\.\d times as fast as plain JavaScript$/)
})

t.test('a library that ends the probe does not prevent the probe of the others', linux, async t => {
  const crash = compiled(t, dir, 'crash', blas('*(volatile int *)0 = 1;'))
  const good = await nativeLibrary(t, 'blas')
  if (crash === null || !good) return
  const verdicts = await probe('blas', [join(dir, 'none.so'), crash, 'libm.so.6', good.path, 'never tried'])
  t.strictSame(
    verdicts.map(({ outcome }) => outcome.is),
    ['not loaded', 'refused', 'refused', 'accepted'],
  )
})

t.test('GRADLOOM_BLAS names the only library that is tried; an empty value counts as not set', linux, async t => {
  const wrong = await findLibrary('blas', { env: { GRADLOOM_BLAS: 'libm.so.6' } })
  t.match(wrong, { library: null, named: 'GRADLOOM_BLAS=libm.so.6', reason: 'libm.so.6: has no cblas_sgemm' })
  const usual = await findLibrary('blas', { env: {} })
  t.strictSame(await findLibrary('blas', { env: { GRADLOOM_BLAS: '' } }), usual)
  const good = await nativeLibrary(t, 'blas')
  if (!good) return
  const named = await findLibrary('blas', { env: { GRADLOOM_BLAS: good.path } })
  t.strictSame({ ...named.library, named: named.named }, { ...good, named: `GRADLOOM_BLAS=${good.path}` })
  // The experiment takes precedence.
  t.match(await findLibrary('blas', { env: { GRADLOOM_BLAS: good.path }, library: 'libm.so.6' }), { library: null })
})

t.test('a path with a slash is a file, a bare name is passed to the linker', async t => {
  t.equal(libraryPath('libx.so', '/base'), 'libx.so')
  t.equal(libraryPath('./libx.so', '/base'), '/base/libx.so')
  t.equal(libraryPath('/lib/libx.so', '/base'), '/lib/libx.so')
})

t.test(
  'a result of the probe is cached, and discarded when the file changes or the entry is damaged',
  linux,
  async t => {
    const before = new Set(readdirSync(join(cache, 'native')))
    const file = compiled(t, dir, 'remembered', blas('*(volatile int *)0 = 1;'))
    if (file === null) return
    const crashed = `${file}: ended with SIGSEGV when it was called`
    t.equal(await refused(file), crashed)
    const [name, ...others] = readdirSync(join(cache, 'native')).filter(entry => !before.has(entry))
    t.strictSame(others, [], 'one entry')
    const entry = join(cache, 'native', name)
    const marked = readFileSync(entry, 'utf8').replace('SIGSEGV', 'SIGFROMCACHE')

    writeFileSync(entry, marked)
    t.equal(await refused(file), crashed.replace('SIGSEGV', 'SIGFROMCACHE'), 'no probe the second time')
    utimesSync(file, 1e9, 1e9)
    t.equal(await refused(file), crashed, 'a probe after the file changed')
    t.notMatch(readFileSync(entry, 'utf8'), 'SIGFROMCACHE', 'which is remembered in its turn')
    for (const damage of ['', '{', '{}', 'null', '{"linker":null,"verdicts":[{}]}', '{"linker":null,"verdicts":[]}']) {
      writeFileSync(entry, damage)
      t.equal(await refused(file), crashed, `an entry that is ${damage || 'empty'}`)
    }
  },
)

t.test('a probe that timed out is not cached', linux, async t => {
  const file = compiled(t, dir, 'slow', blas('for (;;);'))
  if (file === null) return
  const before = readdirSync(join(cache, 'native')).length
  t.match(await refused(file, 'blas', 500), /took more than 0.5 s/)
  t.equal(readdirSync(join(cache, 'native')).length, before)
})

t.test('without a cache folder libraries are probed each time', linux, async t => {
  const { GRADLOOM_CACHE } = process.env
  t.teardown(() => {
    process.env.GRADLOOM_CACHE = GRADLOOM_CACHE
  })
  process.env.GRADLOOM_CACHE = '/dev/null/nowhere'
  for (let time = 0; time < 2; time++) t.equal(await refused('libm.so.6'), 'libm.so.6: has no cblas_sgemm')
})
