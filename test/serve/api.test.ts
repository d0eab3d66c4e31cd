import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { loadTestSamples, Predictor, resolveExperiment, train } from '../../src/index.js'
import { encodePng } from '../../src/picture/png.js'
import { loadAssets } from '../../src/serve/assets.js'
import { LIMITS } from '../../src/serve/limits.js'
import { pathOf } from '../../src/serve/openapi.js'
import { OPERATIONS } from '../../src/serve/operations.js'
import { until } from '../helpers/until.js'
import { trainDigits } from '../inference/trained.js'
import { ask, served } from './served.js'

const dir = t.testdir()
const run = await trainDigits(join(dir, 'run'))
const predictor = await Predictor.open(run)
const test = await loadTestSamples(predictor)
const imageOf = (index: number) => [...test.features.subarray(index * 784, (index + 1) * 784)]
const checkpoint = predictor.source.checkpoint
const { url, port } = await served(t, [run, checkpoint])

t.test('a network too large for the server thread answers from its own, bit for bit', async t => {
  const large = join(t.testdir(), 'large')
  const experiment = resolveExperiment({
    data: { dataset: 'digits' },
    model: { hidden: [1024, 256] },
    train: { epochs: 1, batchSize: 256 },
    compute: { workers: 1, backend: 'wasm' },
  })
  await train(experiment, { runDir: large })
  const own = await Predictor.open(large)
  const server = await served(t, [large])
  const images = Array.from({ length: 20 }, (_, i) => imageOf(i))
  const { json } = await ask(server.url, '/predict', { images })
  const all = json.predictions.flatMap(({ probabilities }: { probabilities: number[] }) => probabilities)
  t.same(all, [...own.predict(test.features.subarray(0, 20 * 784)).data])
})

t.test('a server computes in the given backend and reports it', async t => {
  const opened: string[][] = []
  const other = await served(t, [run], { backend: 'reference', onOpened: (...of) => opened.push(of) })
  const { json } = await ask(other.url, '/predict', { image: imageOf(0) })
  const exact = await Predictor.open(run, { backend: 'reference' })
  const want = [...exact.predict(test.features.subarray(0, 784)).data]
  t.same(json.predictions[0].probabilities, want)
  const usual = await ask(url, '/predict', { image: imageOf(0) })
  t.notSame(usual.json.predictions[0].probabilities, want)
  t.same(opened, [['run', `reference: ${exact.backend.reason}`]])
  const { json: about } = await ask(other.url, '/runs/run')
  t.equal(about.model.backend, opened[0][1])
})

t.test('POST /predict gives the result of Predictor, bit for bit, alone and in a batch', async t => {
  const [want] = predictor.predictClasses(test.features.subarray(0, 784))
  const { status, json } = await ask(url, '/predict', { image: imageOf(0) })
  t.equal(status, 200)
  t.match(json, { run: 'run', checkpoint: /^step-\d+\.safetensors$/, predictions: [{ ...want }] })
  t.same(json.predictions[0].probabilities, [...predictor.predict(test.features.subarray(0, 784)).data])
  t.equal(json.predictions[0].top.length, 3)
  t.same(json.predictions[0].preprocessing, ['taken as given: 28 x 28 numbers from 0 to 255'])

  const indices = Array.from({ length: 200 }, (_, i) => i)
  const alone = await Promise.all(indices.map(i => ask(url, '/predict', { image: imageOf(i) })))
  const { json: together } = await ask(url, '/predict', { images: indices.map(imageOf) })
  const labels = predictor.predictClasses(test.features.subarray(0, 200 * 784))
  t.same(
    alone.map(({ json }) => json.predictions[0].confidence),
    labels.map(({ confidence }) => confidence),
  )
  t.same(
    together.predictions.map(({ label }: { label: number }) => label),
    labels.map(({ label }) => label),
  )
})

t.test('an image is answered alike however its numbers are written', async t => {
  const image = imageOf(3)
  const { json: want } = await ask(url, '/predict', { image })
  const written = [
    `{ "image": [ ${image.join(' ,\n')} ] }`,
    `{"run": "run", "image": [${image.map(x => `${x}.0`).join()}]}`,
    `{"image": [${image.map(x => (x === 255 ? 254.6 : x + 0.25)).join()}], "layers": false}`,
    `{"\\u0069mage": [${image.join()}]}`,
  ]
  for (const body of written) {
    const { status, json } = await ask(url, '/predict', body)
    t.equal(status, 200)
    t.same(json, want)
  }
  const { json: both } = await ask(url, '/predict', { images: [image, image.map(x => x + 0.25 * Number(x < 255))] })
  t.same(both.predictions[0].probabilities, want.predictions[0].probabilities)
  t.same(both.predictions[1], both.predictions[0])
  const { json: layers } = await ask(url, '/predict', { image, layers: true })
  t.same(layers.predictions[0].pixels, image)
})

t.test('a picture is prepared as predict --image prepares it; layers are those of activations', async t => {
  const rgb = new Uint8Array(100 * 100 * 3).fill(255)
  for (let y = 20; y < 80; y++) rgb.fill(0, (y * 100 + 46) * 3, (y * 100 + 54) * 3)
  const base64 = Buffer.from(encodePng(100, 100, rgb)).toString('base64')
  const { json } = await ask(url, '/predict', { image: `data:image/png;base64,${base64}`, layers: true })
  const [one] = json.predictions
  t.match(one.preprocessing, ['inverted: dark on light', 'cut to 8 x 60 of 100 x 100', /^fitted into 3 x 20/])
  t.equal(one.label, 1)
  const pixels = Uint8Array.from(one.pixels)
  t.same(one.probabilities, [...predictor.predict(pixels).data])
  t.same(
    one.layers.map(({ values }: { values: number[] }) => values),
    predictor.activations(pixels).map(({ values }) => [...values.data]),
  )
})

t.test('GET /runs, /runs/:id, images and mistakes give the content of the run directory and its data set', async t => {
  const { json: runs } = await ask(url, '/runs')
  t.match(runs, [
    { id: 'run', name: 'seen', status: 'completed', dataset: 'digits', hidden: [64, 30] },
    { id: /^step-\d+$/, status: 'weights' },
  ])
  const { json: one } = await ask(url, '/runs/run')
  t.same(one.summary, JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8')))
  t.same(
    one.metrics,
    readFileSync(join(run, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line)),
  )
  t.match(one, {
    metricsAreWhole: true,
    model: { height: 28, width: 28, widths: [784, 64, 30, 10], dataset: 'digits' },
  })
  t.notMatch(JSON.stringify(one.model), dir, 'where the run lies is not told')

  const { json: examples } = await ask(url, '/runs/run/images?count=20')
  t.equal(examples.images.length, 20)
  t.same(new Set(examples.images.map(({ label }: { label: number }) => label)).size, 10)
  const [{ index, pixels }] = examples.images
  t.same([...Buffer.from(pixels, 'base64')], imageOf(index))

  const { json: wrong } = await ask(url, '/runs/run/mistakes?count=5&look=1996')
  const right = predictor.predictClasses(test.features).filter(({ label }, i) => label === test.labels[i]).length
  t.match(wrong, { looked: 1996, wrong: 1996 - right, mistakes: { length: 5 } })
  t.ok(wrong.mistakes.every((m: { label: number; predicted: { label: number } }) => m.label !== m.predicted.label))
})

t.test('GET /openapi.json documents every operation, and each answer fits it', async t => {
  const { json } = await ask(url, '/openapi.json')
  t.equal(json.openapi, '3.0.3')
  t.same(
    new Set(Object.keys(json.paths)),
    new Set([...Object.values(OPERATIONS).map(({ url }) => pathOf(url)), '/events']),
  )
  t.same(
    json.paths['/runs/{id}/mistakes'].get.parameters.map(({ name, in: where }: { name: string; in: string }) => [
      name,
      where,
    ]),
    [
      ['id', 'path'],
      ['count', 'query'],
      ['look', 'query'],
    ],
  )
  t.ok(json.paths['/predict'].post.requestBody.content['application/json'].schema.properties.images)
})

t.test('invalid requests get a 4xx with the problem', async t => {
  const image = imageOf(0)
  const cases: [name: string, path: string, body: unknown, status: number, message: RegExp][] = [
    ['no pixels', '/predict', { image: [] }, 400, /must NOT have fewer than 1 items/],
    ['negative', '/predict', { image: [...image.slice(1), -1] }, 400, /must be >= 0/],
    ['zero first', '/predict', `{"image":[${image.slice(1)},01]}`, 400, /not valid JSON/],
    ['twice', '/predict', `{"image":[5],"image":[${image.slice(1)}]}`, 400, /has 783 numbers, expected 784/],
    ['no body', '/predict', '', 400, /Body cannot be empty/],
    ['no JSON', '/predict', '{"image":', 400, /not valid JSON/],
    ['prototype', '/predict', '{"__proto__": {"a": 1}, "image": []}', 400, /must NOT have additional properties/],
    ['prototype of a row', '/predict', '{"row": {"__proto__": {"a": 1}}}', 400, /must be number,string,boolean,null/],
    ['an array', '/predict', '[]', 400, /body must be object/],
    ['no image', '/predict', {}, 400, /none of image, images, row and rows, expected one of them/],
    ['both', '/predict', { image, images: [image] }, 400, /has image and images, expected one/],
    ['unknown key', '/predict', { image, imge: 1 }, 400, /must NOT have additional properties/],
    ['a number', '/predict', { image: 5 }, 400, /body\/image must be array/],
    ['words among numbers', '/predict', { image: [...image.slice(1), '7'] }, 400, /body\/image\/783 must be number/],
    ['null among numbers', '/predict', { image: [...image.slice(1), null] }, 400, /body\/image\/783 must be number/],
    ['too bright', '/predict', { image: [...image.slice(1), 256] }, 400, /must be <= 255/],
    ['too few', '/predict', { image: image.slice(1) }, 400, /^image: has 783 numbers, expected 784; .* 28 x 28$/],
    ['nested', '/predict', { image: [image] }, 400, /must be number/],
    ['deep', '/predict', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, 400, /./],
    ['no base64', '/predict', { image: 'C:\\pictures\\seven.png' }, 400, /not base64/],
    ['a path', '/predict', { image: '/etc/passwd/etc/passwd' }, 400, /begins with .*, expected a picture/],
    [
      'a page',
      '/predict',
      { images: [Buffer.from('<html>hello</html>').toString('base64')] },
      400,
      /images\[0\]: begins/,
    ],
    [
      'too many pictures',
      '/predict',
      { images: Array(17).fill('A'.repeat(16)) },
      400,
      /17 are pictures, expected at most 16/,
    ],
    ['layers of two', '/predict', { images: [image, image], layers: true }, 400, /expected one where layers/],
    ['other run', '/predict', { image, run: 'other' }, 404, /^run is 'other', expected run, step-/],
    ['a path as run', '/predict', { image, run: '../run' }, 404, /^run is '\.\.\/run'/],
    ['run above', '/runs/..%2f..%2fetc%2fpasswd', undefined, 404, /^run is '\.\.\/\.\.\/etc\/passwd'/],
    ['run with NUL', '/runs/run%00', undefined, 404, /./],
    ['file', '/runs/run/checkpoints', undefined, 404, /no such address/],
    ['asset above', '/assets/..%2f..%2fpackage.json', undefined, 404, /no such address/],
    ['bad escape', '/runs/%zz', undefined, 400, /./],
    ['no number', '/runs/run/images?count=all', undefined, 400, /querystring\/count must be integer/],
    ['too many', '/runs/run/images?count=101', undefined, 400, /must be <= 100/],
    ['unknown query', '/runs/run/images?size=1', undefined, 400, /additional properties/],
  ]
  for (const [name, path, body, status, message] of cases) {
    const answer = await ask(url, path, body)
    t.equal(answer.status, status, name)
    t.match(answer.json.message, message, name)
  }
  t.equal(cases.length, 34)
  for (const body of [{ image: [image] }, { images: [[image]] }]) {
    t.match((await ask(url, '/predict', body)).json.hint, /an image is one list of numbers from 0 to 255, row by row/)
  }
  t.equal((await ask(url, '/predict', { row: {}, rowss: 1 })).json.hint, undefined, 'of another mistake')
  t.equal((await ask(url, '/predict', { image }, { 'content-type': 'text/plain' })).status, 415)
  t.equal((await ask(url, '/predict', { image })).status, 200, 'and the server lives')
})

t.test('pictures that would take much memory are refused by their header', async t => {
  const big = encodePng(1, 1, new Uint8Array(3))
  const bytes = Buffer.from(big)
  bytes.writeUInt32BE(60_000, 16) // its CRC is wrong too
  const answer = await ask(url, '/predict', { image: bytes.toString('base64') })
  t.match(answer, { status: 400, json: { message: /the PNG picture cannot be decoded/ } })
  const wide = encodePng(2100, 2000, new Uint8Array(2100 * 2000 * 3))
  t.match(await ask(url, '/predict', { image: Buffer.from(wide).toString('base64') }), {
    status: 400,
    json: { message: /size is 2100 x 2000 pixels, expected 1 x 1 to 4 megapixels/ },
  })
})

/** Sends headers that `fetch` does not allow. */
function raw(headers: Record<string, string>, method = 'GET', path = '/runs'): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: '127.0.0.1', port, method, path, headers, agent: false }, response => {
      response.resume().on('end', () => resolve(response.statusCode!))
    })
    sent.on('error', reject).end()
  })
}

t.test('DNS rebinding and other sites: Host, Origin and Sec-Fetch-Site must be those of the server', async t => {
  const host = `127.0.0.1:${port}`
  const cases: [headers: Record<string, string>, status: number][] = [
    [{ host }, 200],
    [{ host: `localhost:${port}` }, 200],
    [{ host: `LOCALHOST:${port}` }, 200],
    [{ host: 'evil.example' }, 403],
    [{ host: `evil.example:${port}` }, 403],
    [{ host: `127.0.0.1.evil.example:${port}` }, 403],
    [{ host: '127.0.0.1:1' }, 403],
    [{ host: '127.0.0.1' }, 403],
    [{ host, origin: `http://${host}` }, 200],
    [{ host, origin: 'http://evil.example' }, 403],
    [{ host, origin: 'null' }, 403],
    [{ host, origin: `https://${host}` }, 403],
    [{ host, origin: 'http://127.0.0.1:1' }, 403],
    [{ host, 'sec-fetch-site': 'same-origin' }, 200],
    [{ host, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }, 403],
    [{ host, 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors' }, 403],
  ]
  for (const [headers, status] of cases) t.equal(await raw(headers), status, JSON.stringify(headers))
  t.equal(await raw({ host: 'evil.example' }, 'GET', '/nothing'), 403, 'also where there is nothing')
  t.equal(await raw({ host: 'evil.example' }, 'GET', '/events'), 403)
})

t.test('scripts of the pages import nothing but scripts that are served', async t => {
  const assets = await loadAssets()
  const scripts = [...assets].filter(([address]) => address.endsWith('.js') && !address.endsWith('uplot.js'))
  let imports = 0
  for (const [address, { body }] of scripts) {
    for (const [, target] of body.toString().matchAll(/^(?:import|export) (?:[^'"]* from )?['"]([^'"]+)['"];$/gm)) {
      const resolved = new URL(target, `http://pages${address}`)
      t.ok(target.startsWith('.') && assets.has(resolved.pathname), `${address} imports ${target}`)
      imports++
    }
  }
  t.ok(imports > 10, `${imports} imports`)
})

t.test('every response has the content security policy that forbids foreign scripts', async t => {
  for (const path of ['/draw', '/form', '/watch', '/runs', '/nothing', '/assets/style.css']) {
    const { headers } = await fetch(url + path)
    t.match(
      headers.get('content-security-policy'),
      /default-src 'none'; script-src 'self';.*frame-ancestors 'none'/,
      path,
    )
    t.equal(headers.get('x-content-type-options'), 'nosniff')
  }
  for (const page of ['draw', 'form', 'watch']) {
    const html = readFileSync(`src/serve/pages/${page}.html`, 'utf8')
    t.notOk(html.match(/<script(?![^>]* src=)|\son\w+=|style=/), `nothing inline in ${page}`)
  }
})

/** Sends bytes as they are, and returns all that comes back until the server ends the connection. */
function converse(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    let answer = ''
    socket.setEncoding('utf8').on('data', chunk => {
      answer += chunk
    })
    socket.on('close', () => resolve(answer)).on('error', reject)
  })
}

t.test('request bodies that are too long, without a length, or beyond the memory limit are refused', async t => {
  const head = `POST /predict HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n`
  t.match(await converse(`${head}Content-Length: ${LIMITS.bodyBytes + 1}\r\n\r\n`), /^HTTP\/1\.1 413 /)
  t.match(await converse(`${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`), /^HTTP\/1\.1 411 /)
  t.match(
    await converse(`GET /runs HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`),
    /^HTTP\/1\.1 431 /,
  )
  t.match(await converse('HELLO\r\n\r\n'), /^HTTP\/1\.1 400 /)
  t.match(await converse('GET /runs HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 403 /)

  // Announced, and then nothing: sixteen such bodies fill the budget until they are cut off. One that is refused, as there
  // is no room beside a question of the loop below, is announced again.
  const sockets = new Set<Socket>()
  const announce = () => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${head}Content-Length: ${LIMITS.bodyBytes}\r\n\r\n`))
    socket.once('data', () => {
      if (!sockets.delete(socket)) return
      socket.destroy()
      announce()
    })
    sockets.add(socket)
  }
  for (let i = 0; i < LIMITS.bodiesBytes / LIMITS.bodyBytes; i++) announce()
  const hangUp = () => {
    for (const socket of sockets) {
      sockets.delete(socket)
      socket.destroy()
    }
  }
  t.teardown(hangUp)
  const answers = (status: number) => async () => (await ask(url, '/predict', { image: imageOf(0) })).status === status
  await until('a request beside the bodies is answered with 429', answers(429))
  hangUp()
  await until('room for a request again', answers(200))
  t.pass('refused while the bodies are announced, and answered when they are gone')
})

t.test('--rate: requests beyond the rate get 429, and later ones are answered', async t => {
  // An hour's window counts all of them together, however slow the machine is.
  const slow = await served(t, [run], { rate: 5, rateWindowMs: 3_600_000 })
  const statuses = await Promise.all(
    Array.from({ length: 12 }, () => ask(slow.url, '/runs').then(({ status }) => status)),
  )
  t.same(statuses.filter(status => status === 200).length, 5)
  t.same(statuses.filter(status => status === 429).length, 7)
  const short = await served(t, [run], { rate: 1, rateWindowMs: 100 })
  let status = 0
  for (let seen429 = false; !(seen429 && status === 200); seen429 ||= status === 429) {
    status = (await ask(short.url, '/runs')).status
  }
  t.equal(status, 200, 'in the next window')
})

t.test('a file of a run that leads out of its directory is not read', async t => {
  const outside = t.testdir({ 'secret.jsonl': '{"type":"secret"}\n' })
  const bad = join(dir, 'bad')
  mkdirSync(bad)
  writeFileSync(join(bad, 'resolved.json'), readFileSync(join(run, 'resolved.json')))
  symlinkSync(join(outside, 'secret.jsonl'), join(bad, 'metrics.jsonl'))
  const { url } = await served(t, [bad])
  const answer = await ask(url, '/runs/bad')
  t.match(answer, { status: 409, json: { message: /leads out of the run directory/ } })
})

t.test('a run without weights is shown but cannot predict; a target that is not a run is refused', async t => {
  const young = join(dir, 'young')
  mkdirSync(young)
  writeFileSync(join(young, 'resolved.json'), readFileSync(join(run, 'resolved.json')))
  const { url } = await served(t, [young])
  t.match(await ask(url, '/runs'), { json: [{ id: 'young', status: 'stopped', checkpoint: null }] })
  t.match(await ask(url, '/runs/young'), { status: 200, json: { model: null, summary: null } })
  t.match(await ask(url, '/predict', { image: imageOf(0) }), { status: 409, json: { message: /no checkpoint/ } })
  await t.rejects(served(t, [dir]), /has no resolved.json, expected the directory of a run/)
})
