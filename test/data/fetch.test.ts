/** `data fetch` against real HTTP servers on loopback: good ones and all kinds of bad ones. */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { type FetchEvent, type FetchOptions, fetchDataset } from '../../src/data/fetch.js'
import { BASE_NAMES, type KnownDataset, ROLES, type Role } from '../../src/data/known.js'
import { imagesFile, labelsFile, writeSet } from './idx-files.js'
import { serveRange, serveWhole, startMirror } from './mirror.js'

/** Does not compress, so that cuts fall inside it. */
function noise(i: number): number {
  const mixed = Math.imul(i + 1, 0x9e3779b1)
  return Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b) >>> 24
}
const content = {
  trainImages: imagesFile(60, 28, 28, noise),
  trainLabels: labelsFile(Array.from({ length: 60 }, (_, i) => i % 10)),
  testImages: imagesFile(10, 28, 28, noise),
  testLabels: labelsFile([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
}
const gz = Object.fromEntries(ROLES.map(role => [role, gzipSync(content[role])])) as Record<Role, Buffer>
const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex')

function known(...mirrors: string[]): KnownDataset {
  const files = Object.fromEntries(
    ROLES.map(role => [role, { bytes: content[role].length, md5: md5(content[role]) }]),
  ) as KnownDataset['files']
  return { name: 'small', classNames: [], height: 28, width: 28, trainRows: 60, testRows: 10, files, mirrors }
}

const roleOf = (path: string): Role => ROLES.find(role => path.endsWith(`/${BASE_NAMES[role]}.gz`))!
/** Long enough for any machine where a test is not about waiting. */
const quick = { stallMs: 20_000, attempts: 3, retryDelayMs: 1 }

/** Runs a fetch and collects its events. */
async function run(dataset: KnownDataset, to: string, more: Partial<FetchOptions> = {}) {
  const events: FetchEvent[] = []
  const result = await fetchDataset(dataset, { to, ...quick, onEvent: event => events.push(event), ...more }).then(
    files => ({ files, error: null }),
    (error: Error & { hint?: string }) => ({ files: [], error }),
  )
  return { ...result, events, troubles: events.filter(event => event.type === 'trouble') }
}

/** Every file is in place with the right content, and nothing else is in the folder. */
function assertWhole(test: Test, to: string, others: string[] = []): void {
  test.same(new Set(readdirSync(to)), new Set([...ROLES.map(role => `${BASE_NAMES[role]}.gz`), ...others]))
  for (const role of ROLES) test.ok(gunzipSync(readFileSync(join(to, `${BASE_NAMES[role]}.gz`))).equals(content[role]))
}

t.test('fetches, places whole files, and the second time downloads nothing', async t => {
  const mirror = await startMirror(t, (request, response) => serveRange(request, response, gz[roleOf(request.url!)]))
  const to = join(t.testdir(), 'new', 'folder')
  const first = await run(known(mirror.url), to)
  t.equal(first.error, null)
  t.same(
    first.files.map(file => file.status),
    Array(4).fill('downloaded'),
  )
  t.equal(first.files[0].url, `${mirror.url}train-images-idx3-ubyte.gz`)
  assertWhole(t, to)
  const progress = first.events.filter(event => event.type === 'progress' && event.file === BASE_NAMES.trainImages)
  t.match(progress.at(-1), { bytes: gz.trainImages.length, totalBytes: gz.trainImages.length })

  const requests = mirror.requests.length
  t.ok(requests >= 4)
  const second = await run(known(mirror.url), to)
  t.same(
    second.files.map(file => file.status),
    Array(4).fill('present'),
  )
  t.equal(mirror.requests.length, requests, 'no request the second time')
})

t.test('unpacked files that are present are accepted', async t => {
  const to = writeSet(t.testdir(), content)
  const { files } = await run(known('http://127.0.0.1:9/'), to)
  t.same(
    files.map(file => file.status),
    Array(4).fill('present'),
  )
})

t.test('a connection cut again and again: continues with Range where it stopped', async t => {
  const mirror = await startMirror(t, (request, response) =>
    serveRange(request, response, gz[roleOf(request.url!)], 10_000),
  )
  const to = t.testdir()
  const { error, troubles } = await run(known(mirror.url), to)
  t.equal(error, null)
  assertWhole(t, to)
  // A set, because a broken connection may lose bytes in transit, and then the same request comes twice.
  const ranges = new Set(mirror.requests.filter(({ path }) => roleOf(path) === 'trainImages').map(({ range }) => range))
  t.same([...ranges], [undefined, ...Array.from({ length: 4 }, (_, i) => `bytes=${(i + 1) * 10_000}-`)])
  t.ok(troubles.length > quick.attempts, 'attempts count only failures without progress')
})

t.test('a cut connection and a server without Range: starts again from the beginning', async t => {
  const mirror = await startMirror(t, (request, response) =>
    serveWhole(response, gz[roleOf(request.url!)], request.headers.range === undefined ? 10_000 : Infinity),
  )
  const to = t.testdir()
  const { error } = await run(known(mirror.url), to)
  t.equal(error, null)
  assertWhole(t, to)
  t.ok(
    mirror.requests.some(({ range }) => range === 'bytes=10000-'),
    'it did ask to go on',
  )
})

t.test('a server that always disconnects at the same byte is given up for the next mirror', async t => {
  const bad = await startMirror(t, (request, response) => serveWhole(response, gz[roleOf(request.url!)], 4))
  const good = await startMirror(t, (request, response) => serveRange(request, response, gz[roleOf(request.url!)]))
  const to = t.testdir()
  const { error, troubles } = await run(known(bad.url, good.url), to)
  t.equal(error, null)
  assertWhole(t, to)
  t.equal(troubles.filter(trouble => trouble.next === 'next mirror').length, 4)
  t.equal(good.requests[0].range, 'bytes=4-', 'what the first mirror sent is used')
})

t.test('a fetch that failed leaves its partial file, and the next one continues from it', async t => {
  const bad = await startMirror(t, (request, response) =>
    serveRange(request, response, gz[roleOf(request.url!)], request.headers.range === undefined ? 5000 : 0),
  )
  const to = t.testdir()
  const { error } = await run(known(bad.url), to)
  t.match(error, {
    name: 'DataError',
    message: /train-images-idx3-ubyte\.gz could not be fetched, expected it from one of 1 places:\n {2}http:.*: /,
    hint: /data fetch small --to .* continues where it stopped/,
  })
  t.same(readdirSync(to), ['.train-images-idx3-ubyte.part'])
  const good = await startMirror(t, (request, response) => serveRange(request, response, gz[roleOf(request.url!)]))
  t.equal((await run(known(good.url), to)).error, null)
  t.equal(good.requests[0].range, 'bytes=5000-')
  assertWhole(t, to)
})

t.test('the partial file of a killed fetch is taken over once idle, and not touched while fresh', async t => {
  const mirror = await startMirror(t, (request, response) => serveRange(request, response, gz[roleOf(request.url!)]))
  const to = t.testdir()
  const [idle, fresh] = ['.train-images-idx3-ubyte.dead.part', '.t10k-images-idx3-ubyte.alive.part']
  writeFileSync(join(to, idle), gz.trainImages.subarray(0, 7000))
  utimesSync(join(to, idle), new Date(Date.now() - 60_000), new Date(Date.now() - 60_000))
  writeFileSync(join(to, fresh), gz.testImages.subarray(0, 3000))
  t.equal((await run(known(mirror.url), to, { stallMs: 5000 })).error, null)
  t.equal(mirror.requests[0].range, 'bytes=7000-')
  t.ok(mirror.requests.slice(1).every(({ range }) => range === undefined))
  assertWhole(t, to, [fresh])
})

t.test('a partial file with other bytes, or longer than the file, is discarded', async t => {
  const mirror = await startMirror(t, (request, response) => serveRange(request, response, gz[roleOf(request.url!)]))
  for (const length of [1000, gz.trainImages.length, gz.trainImages.length + 50]) {
    const to = t.testdir({ '.train-images-idx3-ubyte.part': Buffer.alloc(length, 1) })
    const { error, troubles } = await run(known(mirror.url), to)
    t.equal(error, null, `part of ${length} bytes`)
    t.equal(troubles[0]?.next, 'restart')
    assertWhole(t, to)
  }
})

t.test('a partial file that is complete needs no download', async t => {
  const mirror = await startMirror(t, (request, response) => serveRange(request, response, gz[roleOf(request.url!)]))
  const to = t.testdir({ '.train-images-idx3-ubyte.part': gz.trainImages })
  const { error, troubles } = await run(known(mirror.url), to)
  t.equal(error, null)
  t.equal(troubles.length, 0)
  assertWhole(t, to)
})

t.test('wrong content: the next mirror; from all mirrors: an error with both digests, and no file', async t => {
  const wrong = Buffer.from(content.trainImages)
  wrong[100] ^= 1
  const bad = await startMirror(t, (_request, response) => serveWhole(response, gzipSync(wrong)))
  const good = await startMirror(t, (request, response) => serveRange(request, response, gz[roleOf(request.url!)]))
  const to = t.testdir()
  t.equal((await run(known(bad.url, good.url), to)).error, null)
  assertWhole(t, to)

  const empty = join(t.testdir(), 'empty')
  const { error } = await run(known(bad.url), empty)
  const [got, want] = [md5(wrong), md5(content.trainImages)]
  t.match(error?.message, `with MD5 ${got}, expected ${content.trainImages.length} with ${want}`)
  t.same(readdirSync(empty), [])
})

t.test('an HTML page in place of the file is refused', async t => {
  const portal = await startMirror(t, (_request, response) => serveWhole(response, Buffer.from('<html>log in</html>')))
  const { error } = await run(known(portal.url), t.testdir())
  t.match(error?.message, /content is 19 bytes with MD5/)
})

t.test('content that a mirror compressed differently, or not at all, is accepted and named accordingly', async t => {
  const mirror = await startMirror(t, (request, response) => {
    const role = roleOf(request.url!)
    serveWhole(response, role === 'testLabels' ? content[role] : gzipSync(content[role], { level: 1 }))
  })
  const to = t.testdir()
  const { error, files } = await run(known(mirror.url), to)
  t.equal(error, null)
  t.equal(files[3].path, join(to, 't10k-labels-idx1-ubyte'))
  t.ok(readFileSync(files[3].path).equals(content.testLabels))
  t.ok(gunzipSync(readFileSync(files[0].path)).equals(content.trainImages))
})

t.test('404: no retry, the next mirror at once; 503: retried', async t => {
  const absent = await startMirror(t, (_request, response) => response.writeHead(404).end('no'))
  const busy = await startMirror(t, (request, response, count) => {
    if (count <= 2) response.writeHead(503).end()
    else serveRange(request, response, gz[roleOf(request.url!)])
  })
  const to = t.testdir()
  const { error } = await run(known(absent.url, busy.url), to)
  t.equal(error, null)
  t.equal(absent.requests.length, 4)
  t.equal(busy.requests.length, 12)
  assertWhole(t, to)

  const all = await run(known(absent.url), t.testdir())
  t.match(all.error?.message, /HTTP status is 404 Not Found, expected 200/)
})

t.test('a server that stalls is given up within the time limit, before and within the body', async t => {
  let stalls = 0
  const stalling = await startMirror(t, (request, response, count) => {
    stalls++
    if (count === 1) return // never responds
    const bytes = gz[roleOf(request.url!)]
    response.writeHead(200, { 'content-length': bytes.length })
    response.write(bytes.subarray(0, 5))
  })
  const good = await startMirror(t, (request, response) => serveRange(request, response, gz[roleOf(request.url!)]))
  const to = t.testdir()
  const { error, troubles } = await run(known(stalling.url, good.url), to, { stallMs: 400, attempts: 2 })
  t.equal(error, null)
  assertWhole(t, to)
  t.ok(stalls >= 8)
  t.match(troubles[0], { reason: 'no data for 0.4 s', next: 'retry' })
})

t.test('a request that never notices an abort is given up too, for a stall as for a signal', async t => {
  const { fetch } = globalThis
  t.teardown(() => {
    globalThis.fetch = fetch
  })
  // Node's own fetch loses an abort now and then, where garbage was collected in between.
  globalThis.fetch = (url, init) => fetch(url, { ...init, signal: null })
  const sent = 9000
  const mirror = await startMirror(t, (request, response) => {
    const bytes = gz[roleOf(request.url!)]
    response.writeHead(200, { 'content-length': bytes.length }).write(bytes.subarray(0, sent))
  })
  const stalled = await run(known(mirror.url), t.testdir(), { stallMs: 300, attempts: 1 })
  t.match(stalled.error?.message, /no data for 0.3 s/)

  const abort = new AbortController()
  const onEvent = (event: FetchEvent) => {
    if (event.type === 'progress' && event.bytes === sent) abort.abort()
  }
  const aborted = await run(known(mirror.url), t.testdir(), { signal: abort.signal, onEvent })
  t.equal(aborted.error?.name, 'AbortError')
})

t.test('a server that cannot be reached: an error with the reason', async t => {
  const mirror = await startMirror(t, (_request, response) => response.destroy())
  const { error, troubles } = await run(known(mirror.url), t.testdir())
  t.equal(troubles.length, quick.attempts)
  t.match(error?.message, /fetch failed \(.+\)/)
})

t.test('a server that sends without end is stopped', async t => {
  let sent = 0
  const endless = await startMirror(t, (_request, response) => {
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536))) sent += 65_536
    }
    response.writeHead(200).on('drain', more)
    more()
  })
  const { error } = await run(known(endless.url), t.testdir())
  t.match(error?.message, /sends more than \d+ bytes, expected fewer/)
  t.ok(sent < 32 * 2 ** 20, `${sent} bytes left the server`)
})

t.test('a file with wrong content is replaced, and kept under another name', async t => {
  const mirror = await startMirror(t, (request, response) => serveRange(request, response, gz[roleOf(request.url!)]))
  const to = t.testdir()
  writeSet(to, { trainLabels: content.testLabels }) // unpacked: it would hide the right one
  const { error, files, events } = await run(known(mirror.url), to)
  t.equal(error, null)
  t.same(
    files.map(file => file.status),
    Array(4).fill('downloaded'),
  )
  const keptAs = join(to, 'train-labels-idx1-ubyte.replaced')
  t.match(
    events.find(event => event.type === 'replaced'),
    { keptAs, reason: /content is 18 bytes/ },
  )
  t.ok(readFileSync(keptAs).equals(content.testLabels))
  assertWhole(t, to, ['train-labels-idx1-ubyte.replaced'])
})

t.test('two fetches at once into one folder: both succeed, every file is whole', async t => {
  const mirror = await startMirror(t, (request, response) =>
    serveRange(request, response, gz[roleOf(request.url!)], 20_000),
  )
  const to = t.testdir()
  const both = await Promise.all([run(known(mirror.url), to), run(known(mirror.url), to)])
  t.same(
    both.map(({ error }) => error),
    [null, null],
  )
  assertWhole(t, to)
})

t.test('an abort ends the fetch at once and keeps the partial file', async t => {
  const abort = new AbortController()
  const mirror = await startMirror(t, (request, response) => {
    response.writeHead(200, { 'content-length': gz[roleOf(request.url!)].length })
    response.write(gz[roleOf(request.url!)].subarray(0, 9000))
  })
  const to = t.testdir()
  const onEvent = (event: FetchEvent) => {
    if (event.type === 'progress' && event.bytes === 9000) abort.abort()
  }
  const { error } = await run(known(mirror.url), to, { signal: abort.signal, stallMs: 10_000, onEvent })
  t.equal(error?.name, 'AbortError')
  t.same(readdirSync(to), ['.train-images-idx3-ubyte.part'])
  t.equal(readFileSync(join(to, '.train-images-idx3-ubyte.part')).length, 9000)
})

t.test('base URL: the folder itself or its parent; nothing else is requested', async t => {
  const mirror = await startMirror(t, (request, response) => {
    if (request.url!.startsWith('/pub/small/')) serveRange(request, response, gz[roleOf(request.url!)])
    else response.writeHead(404).end()
  })
  const publicMirror = await startMirror(t, (_request, response) => response.writeHead(500).end())
  for (const baseUrl of [`${mirror.url}pub/small/`, `${mirror.url}pub/small`, `${mirror.url}pub`]) {
    const to = t.testdir()
    t.equal((await run(known(publicMirror.url), to, { baseUrl })).error, null, baseUrl)
    assertWhole(t, to)
  }
  t.equal(publicMirror.requests.length, 0)
  for (const baseUrl of ['nonsense', 'ftp://example.org/']) {
    t.match((await run(known(), t.testdir(), { baseUrl })).error, { name: 'DataError', message: /expected http/ })
  }
})

t.test('a folder that cannot be made is a DataError', async t => {
  const base = t.testdir({ file: 'x' })
  mkdirSync(join(base, 'dir'))
  t.match((await run(known(), join(base, 'file', 'sub'))).error, {
    name: 'DataError',
    message: /cannot be used as a data folder; ENOTDIR/,
  })
})
