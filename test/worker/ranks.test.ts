import t from 'tap'
import { wasm } from '../../src/kernels/wasm/index.js'
import { type FloatTensor, sizeOf, viewTensor } from '../../src/tensor/tensor.js'
import { ownersOf } from '../../src/worker/plan/sharing.js'
import { areaOf, layerTiles } from '../../src/worker/plan/tiles.js'
import { neededOf } from '../../src/worker/plan/weight-use.js'
import { addRuns, copyRuns, type Runs } from '../../src/worker/program/regions.js'

const REFERENCE = [784, 3000, 2500, 2000, 1500, 1000, 500, 10]

/** Work of each rank. */
function loadsOf(owners: Int32Array, work: readonly number[], size: number): number[] {
  const loads = new Array<number>(size).fill(0)
  owners.forEach((owner, task) => {
    if (owner >= 0) loads[owner] += work[task]
  })
  return loads
}

t.test('16 ranks: the tiles of the reference network are balanced within 10 %', t => {
  const plan = {
    widths: REFERENCE,
    batchSize: 256,
    workers: 2,
    clipNorm: null,
    ranks: { rank: 0, size: 16, workers: 32 },
  }
  const work = layerTiles(plan, wasm).map(({ tile }) => areaOf(tile))
  const loads = loadsOf(ownersOf(work, 'largest', 16), work, 16)
  const mean = loads.reduce((a, b) => a + b) / 16
  for (const load of loads) t.ok(Math.abs(load / mean - 1) < 0.1, `${load} of ${mean}`)
  t.equal(
    loads.reduce((a, b) => a + b),
    work.reduce((a, b) => a + b),
    'each has one owner',
  )
  t.end()
})

t.test("neighbours: rows in their order, each rank as many; tasks without work are everyone's", t => {
  t.same([...ownersOf([4, 4, 4, 4, 4, 2], 'neighbours', 2)], [0, 0, 0, 1, 1, 1])
  t.same([...ownersOf([1], 'neighbours', 4)], [2], 'fewer tasks than ranks')
  t.same([...ownersOf([3, 3, 3, 1], 'neighbours', 4)], [0, 1, 2, 3], 'no rank gets two while another has none')
  t.same([...ownersOf([1, 1, 1, 9], 'neighbours', 2)], [0, 0, 0, 1], 'a large task is alone')
  t.same([...ownersOf([5, 0, 3, 0], 'largest', 2)], [0, -1, 1, -1])
  t.same([...ownersOf([1, 0, 1], 'root', 3)], [0, -1, 0])
  t.end()
})

t.test('the parts of a tile that a rank needs: those of its outputs and of its inputs, each weight once', t => {
  const tile = { inputStart: 2, inputEnd: 7, outputStart: 3, outputEnd: 9 }
  const ranges = [0, 1, 4, 8, 12].flatMap((start, i, all) => all.slice(i).map(end => ({ start, end })))
  for (const outputs of ranges) {
    for (const inputs of ranges) {
      const seen = new Map<string, number>()
      for (const part of neededOf(tile, { outputs, inputs })) {
        for (let i = part.inputStart; i < part.inputEnd; i++) {
          for (let o = part.outputStart; o < part.outputEnd; o++)
            seen.set(`${i} ${o}`, (seen.get(`${i} ${o}`) ?? 0) + 1)
        }
      }
      for (let i = tile.inputStart; i < tile.inputEnd; i++) {
        for (let o = tile.outputStart; o < tile.outputEnd; o++) {
          const isNeeded = (o >= outputs.start && o < outputs.end) || (i >= inputs.start && i < inputs.end)
          const count = seen.get(`${i} ${o}`) ?? 0
          if (count !== (isNeeded ? 1 : 0))
            t.fail(`${i} ${o}: ${count} times with ${JSON.stringify({ outputs, inputs })}`)
          seen.delete(`${i} ${o}`)
        }
      }
      t.equal(seen.size, 0, 'nothing outside the tile')
    }
  }
  t.equal(ranges.length, 15)
  t.end()
})

t.test('regions of every layout arrive where they were, and nothing else changes', t => {
  let cases = 0
  for (const [dtype, shape] of [
    ['float32', [5, 16]],
    ['float64', [5, 7]],
    ['float32', [3, 5, 12]],
    ['int32', [9]],
    ['float32', [70]],
  ] as const) {
    const buffer = new SharedArrayBuffer(8 * 1024)
    const arena = new Int32Array(buffer)
    const tensor = viewTensor(buffer, dtype, shape, 64) as FloatTensor
    const cols = shape.length === 3 ? shape[0] * shape[2] : shape[shape.length - 1]
    for (const [row, rows] of shape.length === 1
      ? [[0, 1]]
      : [
          [0, 5],
          [1, 3],
          [4, 1],
        ]) {
      for (const [start, end] of [
        [0, cols],
        [0, 1],
        [2, cols - 1],
        [cols - 1, cols],
      ]) {
        for (let i = 0; i < sizeOf(shape); i++) tensor.data[i] = i + 1
        const runs: Runs = []
        const words = addRuns(runs, { tensor, row, rows, start, end })
        t.equal(words, (rows * (end - start) * tensor.data.BYTES_PER_ELEMENT) / 4)
        copyRuns(arena, runs, 1000, false)
        tensor.data.fill(0)
        copyRuns(arena, runs, 1000, true)
        for (let i = 0; i < sizeOf(shape); i++) {
          const [r, c] = placeOf(i, shape)
          const inside = r >= row && r < row + rows && c >= start && c < end
          if (tensor.data[i] !== (inside ? i + 1 : 0)) t.fail(`${shape} ${row},${rows} ${start}-${end}: element ${i}`)
        }
        cases++
      }
    }
  }
  t.equal(cases, 3 * 12 + 2 * 4)
  t.end()
})

/** Row and column of an element. */
function placeOf(i: number, shape: readonly number[]): [number, number] {
  if (shape.length === 1) return [0, i]
  if (shape.length === 2) return [Math.floor(i / shape[1]), i % shape[1]]
  const [, height, width] = shape
  const panel = Math.floor(i / (height * width))
  return [Math.floor(i / width) % height, panel * width + (i % width)]
}
