import { strict as assert } from 'node:assert'
import { inspect } from 'node:util'
import t from 'tap'
import {
  CheckpointError,
  DTYPE_BYTES,
  type Dtype,
  encodeHeader,
  parseHeader,
  parseHeaderLength,
  type SafetensorsHeader,
  tensorBytes,
} from '../../src/formats/safetensors.js'
import fc from '../helpers/fast-check.js'

/** Parses as a file is read: length, header, and the count of bytes behind it. */
function parse(file: Uint8Array): SafetensorsHeader {
  const length = parseHeaderLength('f', file.subarray(0, 8), file.length)
  return parseHeader('f', file.subarray(8, 8 + length), file.length - 8 - length)
}

/** A file with this header text, unpadded, and `dataBytes` zeros. */
function fileOf(header: unknown, dataBytes: number): Uint8Array {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const file = Buffer.alloc(8 + text.length + dataBytes)
  file.writeBigUInt64LE(BigInt(text.length))
  file.set(text, 8)
  return file
}

const f32 = (shape: unknown, data_offsets: unknown) => ({ dtype: 'F32', shape, data_offsets })

t.test('the header of two tensors, byte for byte', async t => {
  const bytes = encodeHeader(
    [
      { name: 'w', dtype: 'F32', shape: [2, 3] },
      { name: 'b', dtype: 'U8', shape: [3] },
    ],
    { k: 'ü' },
  )
  const json =
    '{"__metadata__":{"k":"ü"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},' +
    '"b":{"dtype":"U8","shape":[3],"data_offsets":[24,27]}}'
  const length = 144
  t.equal(Buffer.byteLength(json), 137, 'counted by hand, so that 7 spaces pad it')
  t.same([...bytes.subarray(0, 8)], [length, 0, 0, 0, 0, 0, 0, 0])
  t.equal(Buffer.from(bytes.subarray(8)).toString(), json + ' '.repeat(length - 137))
})

t.test('an encoded header parses to the same content', async t => {
  const dtype = fc.constantFrom(...(Object.keys(DTYPE_BYTES) as Dtype[]))
  const shape = fc.array(fc.nat(5), { maxLength: 4 })
  const name = fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', '0', 'a"\\', '\ud800'))
  const tensors = fc.uniqueArray(fc.record({ name, dtype, shape }), {
    selector: tensor => tensor.name,
    maxLength: 8,
  })
  fc.assert(
    fc.property(tensors, fc.dictionary(fc.string(), fc.string()), (tensors, metadata) => {
      const header = encodeHeader(tensors, metadata)
      const dataBytes = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
      const parsed = parse(Buffer.concat([header, Buffer.alloc(dataBytes)]))
      assert.equal(header.length % 8, 0)
      assert.deepEqual(new Map(parsed.metadata), new Map(Object.entries(metadata)))
      assert.equal(parsed.tensors.size, tensors.length)
      let begin = 0
      for (const tensor of tensors) {
        const end = begin + tensorBytes(tensor)
        assert.deepEqual({ ...parsed.tensors.get(tensor.name) }, { ...tensor, begin, end })
        begin = end
      }
    }),
  )
  t.pass()
})

t.test('two tensors of one name, or one of the metadata, are not encoded', async t => {
  const tensor = { name: 'w', dtype: 'F32', shape: [1] } as const
  t.throws(() => encodeHeader([tensor, tensor], {}), /tensor name 'w' is taken/)
  t.throws(() => encodeHeader([{ ...tensor, name: '__metadata__' }], {}), /'__metadata__' is taken/)
})

t.test('hostile and damaged headers are refused with what was found', async t => {
  const huge = Buffer.from(fileOf('{}', 64))
  huge.writeBigUInt64LE(2n ** 60n)
  const beyond = Buffer.from(fileOf('{}', 0))
  beyond.writeBigUInt64LE(3n)
  const nested = `{"__metadata__":${'['.repeat(100_000)}`
  const cases: [name: string, file: Uint8Array, message: RegExp][] = [
    ['empty', new Uint8Array(0), /^f: file is 0 bytes long, expected at least 8/],
    ['seven bytes', new Uint8Array(7), /^f: file is 7 bytes long, expected at least 8/],
    ['length 2^60', huge, /^f: header length is 1152921504606846976, expected at most 66; the file has 74 bytes/],
    ['length one too many', beyond, /^f: header length is 3, expected at most 2/],
    ['length 0', fileOf('', 0), /^f: header begins with '', expected '{'/],
    ['an array', fileOf('[]', 0), /^f: header begins with '\[', expected '{'/],
    ['byte order mark', fileOf('\ufeff{}', 0), /^f: header begins with '\ufeff'/],
    ['not UTF-8', fileOf('{"\xff', 0).map(byte => (byte === 0xc3 ? 0xff : byte)), /^f: header is not UTF-8/],
    ['not JSON', fileOf('{"a" 1}', 0), /^f: header is not JSON: /],
    ['text after it', fileOf('{} {}', 0), /^f: header is not JSON: /],
    ['deep JSON', fileOf(nested, 0), /^f: header: nesting is deeper than 3 levels at character 18$/],
    [
      'a name twice',
      fileOf(
        '{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"\\u0061":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}',
        4,
      ),
      /^f: header: key "a" is given twice at character 53$/,
    ],
    ['a key twice', fileOf('{"a":{"dtype":"F32","dtype":"U8"}}', 0), /key "dtype" is given twice/],
    [
      'metadata no object',
      fileOf({ __metadata__: [1] }, 0),
      /^f: __metadata__ is \[ 1 \], expected an object of strings/,
    ],
    ['metadata no string', fileOf({ __metadata__: { a: 1 } }, 0), /^f: __metadata__ 'a' is 1, expected a string/],
    ['tensor null', fileOf({ a: null }, 0), /^f: tensor 'a' is null, expected { dtype, shape, data_offsets }/],
    ['unknown key', fileOf({ a: { ...f32([], [0, 4]), extra: 1 } }, 4), /^f: tensor 'a': unknown key 'extra'/],
    ['__proto__ for a key', fileOf('{"a":{"__proto__":{}}}', 0), /^f: tensor 'a': unknown key '__proto__'/],
    [
      'no dtype',
      fileOf({ a: { shape: [], data_offsets: [0, 4] } }, 4),
      /^f: tensor 'a': dtype is undefined, expected a name such as /,
    ],
    [
      'dtype of a prototype',
      fileOf({ a: { ...f32([], [0, 4]), dtype: 'toString' } }, 4),
      /dtype is 'toString', expected a name such as BOOL/,
    ],
    [
      'negative size',
      fileOf({ a: f32([-1], [0, 4]) }, 4),
      /^f: tensor 'a': shape is \[ -1 \], expected integers from 0 to 2/,
    ],
    ['half an element', fileOf({ a: f32([0.5], [0, 2]) }, 2), /shape is \[ 0.5 \], expected integers/],
    ['shape of text', fileOf({ a: f32('1', [0, 4]) }, 4), /shape is '1', expected integers/],
    ['uncountable', fileOf({ a: f32([2 ** 52, 2 ** 52], [0, 4]) }, 4), /expected more bytes than can be counted/],
    [
      'uncountable and empty',
      fileOf(`{"a":{"dtype":"F32","shape":[${'9e15,'.repeat(30)}0],"data_offsets":[0,0]}}`, 0),
      /more bytes than can be counted/,
    ],
    [
      'size 2^60',
      fileOf(`{"a":{"dtype":"U8","shape":[${2n ** 60n}],"data_offsets":[0,4]}}`, 4),
      /shape is \[ 1152921504606847000 \], expected integers/,
    ],
    ['negative offset', fileOf({ a: f32([], [-4, 0]) }, 4), /data_offsets is \[ -4, 0 \], expected \[begin, end\]/],
    ['backwards', fileOf({ a: f32([], [4, 0]) }, 4), /data_offsets is \[ 4, 0 \], expected \[begin, end\]/],
    ['three offsets', fileOf({ a: f32([], [0, 4, 8]) }, 4), /data_offsets is \[ 0, 4, 8 \], expected/],
    [
      'infinite offset',
      fileOf('{"a":{"dtype":"F32","shape":[],"data_offsets":[0,1e999]}}', 4),
      /data_offsets is \[ 0, Infinity \]/,
    ],
    [
      'wrong size',
      fileOf({ a: f32([2, 3], [0, 20]) }, 20),
      /data_offsets is \[0, 20\], 20 bytes, expected 24 bytes; it is F32 of shape \(2, 3\)/,
    ],
    [
      'overlap',
      fileOf({ a: f32([2], [0, 8]), b: f32([2], [4, 12]) }, 12),
      /^f: tensor 'b': data_offsets is \[4, 12\], expected to begin at 8; it overlaps/,
    ],
    [
      'the same bytes',
      fileOf({ a: f32([1], [0, 4]), b: f32([1], [0, 4]) }, 4),
      /tensor 'b'.* expected to begin at 4; it overlaps/,
    ],
    [
      'hole',
      fileOf({ a: f32([1], [0, 4]), b: f32([1], [8, 12]) }, 12),
      /tensor 'b'.* expected to begin at 4; it leaves a hole/,
    ],
    ['late start', fileOf({ a: f32([1], [4, 8]) }, 8), /tensor 'a'.* expected to begin at 0; it leaves a hole/],
    [
      'truncated data',
      fileOf({ a: f32([2], [0, 8]) }, 7),
      /^f: data is 7 bytes long, expected 8; the file is truncated/,
    ],
    [
      'trailing data',
      fileOf({ a: f32([2], [0, 8]) }, 9),
      /^f: data is 9 bytes long, expected 8; it has bytes that no tensor owns/,
    ],
  ]
  for (const [name, file, message] of cases) t.throws(() => parse(file), { name: 'CheckpointError', message }, name)
  t.equal(cases.length, 37, 'every case ran')
})

t.test('a value in a message is cut to a line', async t => {
  const file = fileOf({ a: f32(Array(100_000).fill(-1), [0, 4]) }, 4)
  try {
    parse(file)
    t.fail('should throw')
  } catch (error) {
    const { message } = error as Error
    t.ok(message.length < 300 && !message.includes('\n'), inspect(message.length))
  }
})

t.test('truncations, flipped bits and noise give a header or a CheckpointError, nothing else', async t => {
  const whole = Buffer.concat([
    encodeHeader(
      [
        { name: 'layers.0.weight', dtype: 'F32', shape: [2, 3] },
        { name: 'layers.0.bias', dtype: 'BF16', shape: [3] },
      ],
      { format: 'x' },
    ),
    Buffer.alloc(30),
  ])
  let parsed = 0
  let refused = 0
  const survives = (file: Uint8Array): boolean => {
    try {
      parse(file)
      parsed++
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error
      refused++
    }
    return true
  }
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => parse(whole.subarray(0, length)), CheckpointError, `truncated to ${length}`)
  }
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const flipped = Buffer.from(whole)
    flipped[bit >> 3] ^= 1 << (bit & 7)
    survives(flipped)
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), survives))
  fc.assert(fc.property(fc.json({ maxDepth: 5 }), fc.nat(64), (header, bytes) => survives(fileOf(header, bytes))))
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.string(),
        fc.record({
          dtype: fc.constantFrom('F32', 'U8', 1),
          shape: fc.array(fc.nat(3)),
          data_offsets: fc.array(fc.integer(), { maxLength: 3 }),
        }),
      ),
      fc.nat(64),
      (header, bytes) => survives(fileOf(header, bytes)),
    ),
  )
  t.ok(parsed > 100 && refused > 1000, `${parsed} parsed, ${refused} refused`)
})
