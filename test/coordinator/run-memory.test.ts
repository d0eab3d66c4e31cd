/** Data that move from the memory of one plan to that of another; blocks of the C library. */
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import { prepareSession } from '../../src/coordinator/prepare.js'
import { dataSlots, moveData, openMemory } from '../../src/coordinator/run-memory.js'
import { mapLargeBlocks } from '../../src/ffi/memory.js'
import { viewSlot } from '../../src/tensor/arena.js'

const [ROWS, FEATURES] = [3000, 500]
const samples = {
  features: Array.from({ length: ROWS }, (_, row) => new Float32Array(FEATURES).fill(row)),
  labels: Array.from({ length: ROWS }, (_, row) => row % 3),
}

async function place(backend: 'wasm' | 'reference', batchSize: number) {
  const { experiment, baseDir } = resolveExperiment({
    data: { dataset: 'memory', validation: 0.2 },
    model: { hidden: [9] },
    train: { batchSize },
    compute: { backend },
  })
  const { plan, layout } = await prepareSession(
    experiment,
    baseDir,
    { purpose: 'train', splits: ['train', 'validation', 'test'] },
    samples,
  )
  return { layout, memory: (await openMemory(plan, layout)).memory }
}

t.test('every slot arrives whole, and what was moved is given back', async t => {
  const [from, to] = [await place('reference', 50), await place('wasm', 100)]
  const filled = dataSlots(from.layout).map((slot, i) => {
    if (slot === null) return null
    const { data } = viewSlot(from.memory, slot)
    for (let at = 0; at < data.length; at++) data[at] = (31 * at + i) % 251
    return data.slice()
  })
  t.ok(filled[0]!.byteLength > 2 ** 22, 'features in more than one piece')
  await moveData(from, to)
  for (const [i, slot] of dataSlots(to.layout).entries()) {
    if (slot !== null) t.ok(Buffer.from(viewSlot(to.memory, slot).data).equals(Buffer.from(filled[i]!)), slot.name)
  }
  if (process.platform !== 'linux') return
  const left = viewSlot(from.memory, dataSlots(from.layout)[0]!).data
  t.ok(left.subarray(4096, left.length - 4096).every(value => value === 0))
})

t.test('large blocks are taken from the system one by one, where the C library is glibc', async t => {
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
  t.equal(await mapLargeBlocks(), header.glibcVersionRuntime !== undefined)
  t.equal(await mapLargeBlocks(), header.glibcVersionRuntime !== undefined, 'again')
})
