/** `gradloom data` end to end, as a process: output, exit codes, and what Ctrl-C leaves behind. */
import { createReadStream, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readPicture } from '../../src/picture/picture.js'
import { smallSet, writeSet } from '../data/idx-files.js'
import { startMirror } from '../data/mirror.js'
import { officialData } from '../helpers/official-data.js'
import { type CliResult, gradloom } from './run-cli.js'

type Environment = Readonly<Record<'GRADLOOM_DATA' | 'GRADLOOM_CACHE' | 'GRADLOOM_MIRROR', string>>
type Options = Parameters<typeof gradloom>[1]

/** The process takes over this one's variables when it starts, which is before `gradloom` returns. */
function data(args: readonly string[], env: Partial<Environment> = {}, options: Options = {}): Promise<CliResult> {
  Object.assign(process.env, { GRADLOOM_DATA: '', GRADLOOM_CACHE: '/nonexistent', GRADLOOM_MIRROR: '', ...env })
  return gradloom(['data', ...args], options)
}

t.test('list prints a table of the data sets found and their locations', async t => {
  const base = t.testdir()
  writeSet(join(base, 'mnist'), smallSet())
  const { code, stdout, stderr } = await data(['list'], { GRADLOOM_DATA: base })
  t.match({ code, stderr }, { code: 0, stderr: '' })
  t.match(stdout, /^name +train \+ test +image +classes +in memory +where\n/)
  t.match(stdout, /\ndigits +8,004 \+ 1,996 +28 x 28 +10 +7\.8 MB +comes with gradloom\n/)
  t.match(stdout, /\nmnist +60,000 \+ 10,000 +28 x 28 +10 +54\.9 MB +/)
  t.match(stdout, `${join(base, 'mnist')} (237 B)\n`)
})

t.test('verify: damaged files give exit code 1, a problem each, and a hint', async t => {
  const dir = writeSet(t.testdir(), smallSet())
  writeFileSync(join(dir, 't10k-labels-idx1-ubyte'), 'damaged!')
  const { code, stdout, stderr } = await data(['verify', 'mnist', '--path', dir])
  t.equal(code, 1)
  t.match(stdout, /train-images-idx3-ubyte: WRONG: dimensions at offset 4 are 6 x 4 x 5, expected 60000 x 28 x 28\n/)
  t.match(stdout, /t10k-labels-idx1-ubyte: WRONG: magic number at offset 0 is 0x64616d61, expected 0x00000801/)
  t.match(stderr, `hint: npx gradloom data fetch mnist --to ${dir}\n`)
})

t.test('verify passes for digits; for a missing set it lists the places searched', async t => {
  const digits = await data(['verify', 'digits'])
  t.equal(digits.code, 0)
  t.equal(digits.stdout.match(/\.json: OK\n/g)?.length, 10)
  const absent = await data(['verify', 'mnist', '--path', '/nonexistent/mnist'])
  t.equal(absent.code, 1)
  t.equal(absent.stdout, '')
  t.match(absent.stderr, /mnist was not found.*\n {2}\/nonexistent\/mnist \(--path\): no such folder/)
})

t.test('fetch digits: nothing to fetch', async t => {
  t.match(await data(['fetch', 'digits']), {
    code: 0,
    stdout: 'digits comes with gradloom: nothing to fetch\n',
    stderr: '',
  })
})

t.test('fetch: a mirror without the files gives exit code 1, the reasons, and no output', async t => {
  const mirror = await startMirror(t, (_request, response) => response.writeHead(404).end())
  const to = t.testdir()
  const { code, stdout, stderr } = await data(['fetch', 'mnist', '--to', to, '--json'], { GRADLOOM_MIRROR: mirror.url })
  t.equal(code, 1)
  t.equal(stdout, '')
  t.match(stderr, `${mirror.url}train-images-idx3-ubyte.gz: HTTP status is 404 Not Found, expected 200`)
  t.match(stderr, /hint: .*--base-url/)
  t.equal(mirror.requests.length, 2, 'the folder and the folder above, no public mirror')
})

t.test('fetch: Ctrl-C exits with 130, and the partial file is kept for the next fetch', async t => {
  const mirror = await startMirror(t, (_request, response) => {
    response.writeHead(200, { 'content-length': 1_000_000 })
    response.write(Buffer.alloc(50_000, 7))
  })
  const to = t.testdir()
  const part = () => readdirSync(to).find(name => name.endsWith('.part')) ?? ''
  let watching = false
  const onOutput: NonNullable<Options>['onOutput'] = (_output, child) => {
    if (watching) return
    watching = true
    const timer = setInterval(() => {
      if (part() === '' || statSync(join(to, part())).size < 50_000) return
      clearInterval(timer)
      child.kill('SIGINT')
    }, 20)
    child.once('close', () => clearInterval(timer))
  }
  const { code, stdout, stderr } = await data(
    ['fetch', 'mnist', '--to', to, '--base-url', mirror.url],
    {},
    { onOutput },
  )
  t.equal(code, 130)
  t.equal(stdout, '')
  t.match(stderr, /interrupted; the same command continues the download\n$/)
  t.equal(part(), '.train-images-idx3-ubyte.part')
  t.equal(readFileSync(join(to, '.train-images-idx3-ubyte.part')).length, 50_000)
})

t.test('fetch, fetch again, list and verify the official Fashion-MNIST from a server on loopback', async t => {
  const official = officialData(t, 'fashion-mnist')
  if (official === null) return
  const mirror = await startMirror(t, (request, response) => {
    const file = join(official, request.url!)
    response.writeHead(200, { 'content-length': statSync(file).size })
    createReadStream(file).pipe(response)
  })
  const env = { GRADLOOM_CACHE: t.testdir(), GRADLOOM_MIRROR: mirror.url }
  const to = join(env.GRADLOOM_CACHE, 'data', 'fashion-mnist')
  const first = await data(['fetch', 'fashion-mnist'], env)
  t.match(first, { code: 0, stdout: `fashion-mnist is in ${to}\n` })
  t.match(first.stderr, /train-images-idx3-ubyte: 50 % of 26\.4 MB\n/)
  t.match(first.stderr, /t10k-labels-idx1-ubyte: fetched and correct\n$/)
  const second = await data(['fetch', 'fashion-mnist', '--json'], env)
  t.match(JSON.parse(second.stdout), { name: 'fashion-mnist', to, files: { length: 4, 0: { status: 'present' } } })
  t.equal(mirror.requests.length, 4)
  const { datasets } = JSON.parse((await data(['list', '--json'], env)).stdout) as { datasets: object[] }
  t.match(datasets, [
    { name: 'digits', where: /digits$/, trainRows: 8004, testRows: 1996 },
    { name: 'mnist' },
    { name: 'fashion-mnist', where: to, bytesOnDisk: 30_878_551, imageBytes: 54_880_000, classes: 10 },
  ])
  const verified = await data(['verify', 'fashion-mnist', '--json'], env)
  t.match(verified, { code: 0, stderr: '' })
  t.match(JSON.parse(verified.stdout), { where: to, ok: true, files: { length: 4, 3: { ok: true, problem: null } } })
})

t.test('help of fetch shows its options and examples', async t => {
  const { code, stdout } = await data(['fetch', '--help'])
  t.equal(code, 0)
  for (const words of ['--to', '--base-url', 'GRADLOOM_MIRROR', '--json', 'Examples:']) t.match(stdout, words)
})

t.test('preview draws training images in rows, unchanged and as augmented in each epoch', async t => {
  const dir = t.testdir({
    'mine.json': '{ "data": { "dataset": "digits" }, "augment": { "rotate": 20, "noise": 0.1 } }',
  })
  const out = join(dir, 'preview.png')
  const args = ['preview', join(dir, 'mine.json'), '--images', '3', '--epochs', '4', '--out', out]
  const { code, stdout, stderr } = await data([...args, '--json'])
  t.match({ code, stderr }, { code: 0, stderr: '' })
  const said = JSON.parse(stdout)
  t.match(said, { out, epochs: 4 })
  t.equal(said.images.length, 3)
  const { width, height, rgba } = await readPicture(out)
  t.ok(width > 5 * 84 && height > 3 * 84, `${width} x ${height}`)
  const grey = [...Array(width * height).keys()].filter(i => rgba[4 * i] > 20 && rgba[4 * i] < 235).length
  t.ok(grey > 1000, 'images with noise are there')

  const plain = await data([...args, '--set', 'augment.rotate=0', '--set', 'augment.noise=0'])
  t.match(plain, {
    code: 0,
    stdout: `preview  ${out}: 3 images in 4 epochs\n`,
    stderr: /^note: the experiment changes nothing/,
  })
  t.match(await data([...args, '--epochs', '0']), { code: 2 })
  t.match(await data(['preview', join(dir, 'mine.json'), '--out', 'x.gif']), { code: 2, stderr: /ends in \.png/ })
})
