import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { RunError } from '../../src/errors.js'
import { CheckpointError } from '../../src/formats/safetensors.js'
import { writeTensorFile } from '../../src/formats/tensor-file.js'
import {
  loadState,
  loadWeights,
  type NamedWeights,
  readCheckpoint,
  saveWeights,
  weightsSha256,
} from '../../src/run/checkpoint-file.js'
import { readParameters } from '../../src/run/parameters.js'

/** Tensors in one shared memory, as in a run. Values identify tensors and positions. */
function network(widths: readonly number[], scale = 1): NamedWeights[] {
  const shapes = widths.slice(1).flatMap((out, i) => [
    { name: `layers.${i}.weight`, shape: [widths[i], out] },
    { name: `layers.${i}.bias`, shape: [out] },
  ])
  const count = (shape: readonly number[]) => shape.reduce((size, dim) => size * dim, 1)
  const memory = new Float32Array(new SharedArrayBuffer(4 * shapes.reduce((sum, { shape }) => sum + count(shape), 0)))
  let at = 0
  return shapes.map(({ name, shape }) => {
    const data = memory.subarray(at, at + count(shape))
    for (let i = 0; i < data.length; i++) data[i] = scale * (at + i + 0.5)
    at += data.length
    return { name, shape, data }
  })
}

const state = { step: 40, epoch: 2, rowsSeen: 5120, experiment: { name: 'ü "quoted"', model: { hidden: [4] } } }
/** Moments of the parameters, with values of their own. */
const momentsOf = (parameters: readonly NamedWeights[], scale = -2): NamedWeights[] =>
  parameters.map(({ name, shape, data }) => ({ name: `${name}.moment0`, shape, data: data.map(x => scale * x) }))
const flat = (parameters: readonly NamedWeights[]) => parameters.map(({ data }) => [...data])

t.test('weights and state are restored as they were saved', async t => {
  const file = join(t.testdir({}), 'step-40.safetensors')
  const saved = network([3, 4, 2])
  const digests = await saveWeights(file, saved, state)
  const loaded = network([3, 4, 2], 0)
  const checkpoint = { ...state, training: null, trainedSha256: null, ...digests }
  t.equal(digests.stateSha256, digests.weightsSha256, 'without moments')
  t.same(await loadWeights(file, loaded), checkpoint)
  t.same(await readCheckpoint(file), checkpoint)
  t.same(flat(loaded), flat(saved))
  t.equal(loaded[1].data[3], 15.5, 'the numbers are those of the right tensor')
  t.same(readdirSync(join(file, '..')), ['step-40.safetensors'], 'no temporary file is left')
})

t.test('moments are restored and verified apart from the weights, and weights can be read without them', async t => {
  const file = join(t.testdir({}), 'a.safetensors')
  const saved = network([3, 4, 2])
  const training = { sums: { loss: 0.1 + 0.2 } }
  const digests = await saveWeights(file, saved, { ...state, training }, momentsOf(saved))
  t.not(digests.stateSha256, digests.weightsSha256)
  t.equal(digests.weightsSha256, await weightsSha256(saved), 'the digest of the weights does not see the moments')
  const loaded = network([3, 4, 2], 0)
  const moments = momentsOf(loaded)
  t.same(await loadState(file, loaded, moments), { ...state, training, trainedSha256: null, ...digests })
  t.same(flat(loaded), flat(saved))
  t.same(flat(moments), flat(momentsOf(saved)))
  t.same((await loadWeights(file, network([3, 4, 2], 0))).weightsSha256, digests.weightsSha256)
  t.same(
    [...(await readParameters(file)).keys()],
    saved.map(({ name }) => name),
    'moments are no parameters',
  )

  const bytes = readFileSync(file)
  bytes[bytes.length - 1] ^= 1 // in the last moment
  writeFileSync(file, bytes)
  await t.rejects(loadState(file, loaded, moments), /SHA-256 of the optimizer state is .*the file is damaged/)
  await t.resolves(loadWeights(file, loaded))

  await saveWeights(file, saved, state)
  await t.rejects(loadState(file, loaded, moments), /missing: layers.0.weight.moment0/)
})

t.test('the digest is SHA-256 over the f32 little-endian bytes in the given order', async t => {
  const parameters = [
    { name: 'a', shape: [2], data: Float32Array.of(1, -2) },
    { name: 'b', shape: [1], data: Float32Array.of(0.5) },
  ]
  const bytes = Buffer.from('0000803f' + '000000c0' + '0000003f', 'hex')
  t.equal(await weightsSha256(parameters), createHash('sha256').update(bytes).digest('hex'))
  t.not(await weightsSha256(parameters.toReversed()), await weightsSha256(parameters))
})

const noPython = spawnSync('python3', ['--version']).status !== 0 && 'no python3 here'
t.test('a reader of the format written in Python agrees', { skip: noPython }, async t => {
  const script = `
import json, struct, sys
with open(sys.argv[1], 'rb') as file: raw = file.read()
n, = struct.unpack('<Q', raw[:8])
header, data = json.loads(raw[8:8 + n]), raw[8 + n:]
out = {'metadata': header.pop('__metadata__'), 'aligned': n % 8 == 0, 'tensors': {}}
for name, tensor in header.items():
    begin, end = tensor['data_offsets']
    assert tensor['dtype'] == 'F32'
    out['tensors'][name] = [tensor['shape'], struct.unpack('<%df' % ((end - begin) // 4), data[begin:end])]
print(json.dumps(out))
`
  const file = join(t.testdir({}), 'w.safetensors')
  const saved = network([3, 2])
  const { weightsSha256: digest } = await saveWeights(file, saved, state)
  const python = spawnSync('python3', ['-c', script, file], { encoding: 'utf8' })
  t.equal(python.stderr, '')
  t.same(JSON.parse(python.stdout), {
    aligned: true,
    metadata: {
      format: 'gradloom',
      formatVersion: '1',
      step: '40',
      epoch: '2',
      rowsSeen: '5120',
      experiment: JSON.stringify(state.experiment),
      training: 'null',
      weightsSha256: digest,
      stateSha256: digest,
    },
    tensors: Object.fromEntries(saved.map(({ name, shape, data }) => [name, [shape, [...data]]])),
  })
})

t.test('weights of another network are refused with every difference', async t => {
  const file = join(t.testdir({}), 'w.safetensors')
  await saveWeights(file, network([3, 4, 2]), state)
  const other = network([3, 5, 2]).toSpliced(3, 1, { name: 'norm.scale', shape: [1], data: new Float32Array(1) })
  await t.rejects(loadWeights(file, other), {
    name: 'CheckpointError',
    message:
      `${file}: weights do not fit the model: layers.0.weight is F32 (3, 4), expected F32 (3, 5); ` +
      'layers.0.bias is F32 (4), expected F32 (5); layers.1.weight is F32 (4, 2), expected F32 (5, 2); ' +
      'missing: norm.scale; not expected: layers.1.bias',
  })
  t.equal(other[0].data[0], 0.5, 'nothing was loaded')
})

t.test('every flipped bit of the data is found', async t => {
  const file = join(t.testdir({}), 'w.safetensors')
  const parameters = network([3, 1])
  await saveWeights(file, parameters, state)
  const bytes = readFileSync(file)
  const dataBytes = 4 * (3 + 1)
  for (let at = bytes.length - dataBytes; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes)
    damaged[at] ^= 1 << (at & 7)
    writeFileSync(file, damaged)
    await t.rejects(loadWeights(file, parameters), /SHA-256 of the weights is .*the file is damaged/)
  }
})

t.test('every flipped bit of the header gives a checkpoint or a CheckpointError', async t => {
  const file = join(t.testdir({}), 'w.safetensors')
  const parameters = network([2, 1])
  await saveWeights(file, parameters, state)
  const bytes = readFileSync(file)
  let refused = 0
  for (let bit = 0; bit < (bytes.length - 12) * 8; bit += 3) {
    const damaged = Buffer.from(bytes)
    damaged[bit >> 3] ^= 1 << (bit & 7)
    writeFileSync(file, damaged)
    await loadWeights(file, parameters).catch(error => {
      // A damaged digit of the version makes a file of a newer gradloom.
      const isNewer = error instanceof RunError && error.message.includes('formatVersion')
      if (!(error instanceof CheckpointError || isNewer)) throw error
      refused++
    })
  }
  t.ok(refused > 500, `${refused} refused`)
})

t.test('files that are no checkpoints', async t => {
  const dir = t.testdir({ empty: '', folder: {} })
  const write = async (name: string, metadata: Record<string, string>) => {
    await writeTensorFile(join(dir, name), [], metadata)
    return join(dir, name)
  }
  const good = {
    format: 'gradloom',
    formatVersion: '1',
    step: '0',
    epoch: '0',
    rowsSeen: '0',
    experiment: '{}',
    training: 'null',
  }
  const digest = '0'.repeat(64)
  const digests = { weightsSha256: digest, stateSha256: digest }
  await t.rejects(readCheckpoint(join(dir, 'none')), /none: cannot be read: ENOENT/)
  await t.rejects(readCheckpoint(join(dir, 'folder')), /folder: is no regular file/)
  await t.rejects(readCheckpoint(join(dir, 'empty')), /empty: file is 0 bytes long/)
  await t.rejects(readCheckpoint(await write('a', { format: 'pt' })), /format is 'pt', expected 'gradloom'/)
  await t.rejects(
    readCheckpoint(await write('b', { ...good, formatVersion: '2' })),
    /formatVersion is '2', expected '1'/,
  )
  await t.rejects(
    readCheckpoint(await write('c', { ...good, step: '-1' })),
    /metadata step is '-1', expected an integer/,
  )
  await t.rejects(readCheckpoint(await write('d', { ...good, step: '9'.repeat(16) })), /metadata step is/)
  await t.rejects(readCheckpoint(await write('e', good)), /metadata weightsSha256 is undefined, expected 64 hex/)
  const broken = await write('f', { ...good, ...digests, experiment: '{"a":' })
  await t.rejects(readCheckpoint(broken), /metadata experiment is not JSON/)
  t.match(await readCheckpoint(await write('g', { ...good, ...digests })), { step: 0 })
})
