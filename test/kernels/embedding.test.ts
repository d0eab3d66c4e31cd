/** Gradients of embeddings in ranges: sums by row of the table in the order of the batch, and nothing outside a range. */
import t from 'tap'
import { bindEmbeddingGradient } from '../../src/kernels/embedding.js'
import { reference } from '../../src/kernels/reference/index.js'
import { wasm } from '../../src/kernels/wasm/index.js'
import { tableRanges } from '../../src/worker/plan/tiles.js'
import { fill, Lab, randoms, read, whole } from './lab.js'

const B = 40
const PLACE = { rows: 2500, size: 50, feature: 0, at: 5 }
const BEFORE = 7

for (const backend of [reference, wasm]) {
  t.test(`${backend.name}: every range has the sums of its rows, to the bit, and leaves the others alone`, async t => {
    const lab = await Lab.open(backend)
    const random = randoms(5)
    const dx = lab.matrix(B, 60)
    fill(whole(dx), () => lab.round(random()))
    const deltas = read(whole(dx))
    // Several samples of a row, and rows at both ends of every range.
    const ranges = tableRanges(PLACE)
    t.ok(ranges.length > 3)
    const ends = ranges.flatMap(({ start, end }) => [start / PLACE.size, end / PLACE.size - 1])
    const rows = Array.from({ length: B }, (_, b) => ends[(b * 3) % ends.length])
    const indices = lab.integers(rows)
    indices.shape = [1, B]
    const add = bindEmbeddingGradient(dx, { ...indices, index: () => 0 } as never, 0, PLACE)
    const wanted = new (backend.dtype === 'float32' ? Float32Array : Float64Array)(PLACE.rows * PLACE.size)
    rows.forEach((row, b) => {
      for (let k = 0; k < PLACE.size; k++) wanted[row * PLACE.size + k] += deltas[b * 60 + PLACE.at + k]
    })
    const buffer = lab.bias(PLACE.rows * PLACE.size).master
    for (const range of ranges) {
      buffer.data.fill(BEFORE)
      add(buffer, range, 0, B, true)
      const { data } = buffer
      const outside = [...data.subarray(0, range.start), ...data.subarray(range.end, wanted.length)]
      t.ok(
        outside.every(value => value === BEFORE),
        `outside of ${range.start} to ${range.end}`,
      )
      t.same([...data.subarray(range.start, range.end)], [...wanted.subarray(range.start, range.end)])
      add(buffer, range, 0, B, false)
      const twice = data
        .subarray(range.start, range.end)
        .some((value, i) => value !== 0 && wanted[range.start + i] === 0)
      t.notOk(twice, 'adds to what is there')
    }
  })
}

t.test('ranges are whole rows, begin at whole vectors, and cover a table once', async t => {
  for (const [rows, size] of [
    [1, 1],
    [10_001, 50],
    [4099, 7],
    [3, 40_000],
    [16_777, 1],
    [999, 33],
  ]) {
    const ranges = tableRanges({ rows, size })
    let end = 0
    for (const range of ranges) {
      if (range.start !== end) t.fail(`${rows} x ${size}: a range begins at ${range.start}, expected ${end}`)
      if (range.start % 4 !== 0 || range.end % size !== 0) t.fail(`${rows} x ${size}: ${range.start} to ${range.end}`)
      end = range.end
    }
    t.equal(end, rows * size)
  }
})
