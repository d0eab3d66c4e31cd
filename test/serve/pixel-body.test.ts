import t from 'tap'
import { LIMITS } from '../../src/serve/limits.js'
import { readPixelBody } from '../../src/serve/pixel-body.js'

/** What JSON.parse reads, with images as bytes; null where it refuses, or a value is not one that the schema accepts. */
function parsed(text: string): unknown {
  const bytes = (image: unknown) =>
    Array.isArray(image) && image.length > 0 && image.every(x => Number.isInteger(x) && x >= 0 && x <= 255)
      ? Uint8Array.from(image)
      : null
  try {
    const { image, images, ...rest } = JSON.parse(text)
    if (Object.keys(rest).some(key => key !== 'run' && key !== 'layers')) return null
    if (rest.run !== undefined && typeof rest.run !== 'string') return null
    if (rest.layers !== undefined && typeof rest.layers !== 'boolean') return null
    if ((image === undefined) === (images === undefined)) return null
    if (image !== undefined) return bytes(image) && { ...rest, image: bytes(image) }
    const all: (Uint8Array | null)[] = images.map(bytes)
    return all.length === 0 || all.includes(null) ? null : { ...rest, images: all }
  } catch {
    return null
  }
}

/** Content that was read, with plain arrays of bytes; null: left to JSON.parse. */
function read(text: string): unknown {
  const content = readPixelBody(Buffer.from(text))?.content
  if (!content) return null
  const { image, images, ...rest } = content
  return {
    ...rest,
    ...(image && { image: Uint8Array.from(image) }),
    ...(images && { images: images.map(each => Uint8Array.from(each)) }),
  }
}

t.test('images as whole numbers are read as JSON.parse reads them', async t => {
  const all = Array.from({ length: 256 }, (_, i) => i)
  const bodies = [
    JSON.stringify({ image: all }),
    JSON.stringify({ images: [all, [0], [255, 0]] }),
    JSON.stringify({ run: 'a.b-c_1', image: [1], layers: true }),
    JSON.stringify({ layers: false, images: [[1], [2]], run: '' }),
    JSON.stringify({ image: [0, 10, 255], run: 'r' }, null, 2),
    ' \t\r\n{ "image" : [ 1 ,\t2\r\n, 3 ] , "run" : "it is, 1 }" } \n',
  ]
  for (const body of bodies) {
    const want = parsed(body)
    t.not(want, null, body.slice(0, 40))
    t.same(read(body), want, body.slice(0, 40))
  }
  t.equal(bodies.length, 6)
})

t.test('anything else is left to JSON.parse and the schema', async t => {
  const left = [
    ...['', ' ', '{', '}', '{}', '[]', '[1]', 'null', '{"image"}', '{"image":}', '{"image":[1]', '{"image":[1}', '"}'],
    ...['{"image":[]}', '{"image":[1,]}', '{"image":[,1]}', '{"image":[1 2]}', '{"image":[1]]}', '{"image":[[1]]}'],
    ...['{"image":[01]}', '{"image":[00]}', '{"image":[256]}', '{"image":[1000]}', '{"image":[-1]}', '{"image":[-0]}'],
    ...['{"image":[1.0]}', '{"image":[1e1]}', '{"image":["1"]}', '{"image":[null]}', '{"image":[true]}', '{"image":1}'],
    ...[
      '{"image":[1],}',
      '{,"image":[1]}',
      '{"image":[1] "run":"a"}',
      '{"image":[1]}}',
      '{"image":[1]}{}',
      '{image:[1]}',
    ],
    ...['{"image":[1],"image":[2]}', '{"image":[1],"images":[[2]]}', '{"run":"a"}', '{"image":[1],"row":[1]}'],
    ...[
      '{"images":[]}',
      '{"images":[1]}',
      '{"images":[[1],]}',
      '{"images":[[1],"iVBORw0KGgoAAAAN"]}',
      '{"images":[[]]}',
    ],
    ...[
      '{"image":"iVBORw0KGgoAAAAN"}',
      '{"\\u0069mage":[1]}',
      '{"image":[1],"run":"\\u0061"}',
      '{"image":[1],"run":"é"}',
    ],
    ...['{"image":[1],"run":1}', '{"image":[1],"run":null}', '{"image":[1],"layers":1}', '{"image":[1],"layers":truE}'],
    ...['{"image":[1],"layers":tru}', '{"image":[1],"__proto__":{}}', '\ufeff{"image":[1]}', '{"image":[1\u00a0]}'],
    JSON.stringify({ image: [1], run: 'a'.repeat(LIMITS.runId + 1) }),
    JSON.stringify({ image: Array(LIMITS.features + 1).fill(1) }),
    JSON.stringify({ images: Array(LIMITS.images + 1).fill([1]) }),
  ]
  for (const body of left) t.equal(readPixelBody(Buffer.from(body)), null, body.slice(0, 40))
  t.not(readPixelBody(Buffer.from(JSON.stringify({ image: Array(LIMITS.features).fill(1) }))), null, 'most numbers')
  t.not(readPixelBody(Buffer.from(JSON.stringify({ images: Array(LIMITS.images).fill([1]) }))), null, 'most images')
  t.not(readPixelBody(Buffer.from(JSON.stringify({ image: [1], run: 'a'.repeat(LIMITS.runId) }))), null, 'longest run')
})

t.test(
  'a body with any character changed, left out or added is read as JSON.parse reads it, or not at all',
  async t => {
    const bodies = ['{"image":[0,10, 255],"run":"ab"}', '{ "layers": true, "images": [[25],[1,20]] }']
    const characters = [...' \n0159-+.e,:"[]{}\\atx\u0000\u007fé']
    let readable = 0
    for (const body of bodies) {
      for (let at = 0; at <= body.length; at++) {
        for (const character of ['', ...characters]) {
          for (const next of [at, at + 1]) {
            const changed = body.slice(0, at) + character + body.slice(next)
            const content = read(changed)
            if (content === null) continue
            readable++
            const want = parsed(changed)
            if (JSON.stringify(content) !== JSON.stringify(want)) t.same(content, want, changed)
          }
        }
      }
    }
    t.ok(readable > 300, `${readable} bodies were read`)
  },
)

t.test('bytes of an image are its own: a later body does not change them', async t => {
  const first = readPixelBody(Buffer.from('{"images":[[1,2],[3]]}'))?.content.images
  readPixelBody(Buffer.from('{"image":[9,9,9]}'))
  t.same(
    first?.map(image => [...image]),
    [[1, 2], [3]],
  )
})
