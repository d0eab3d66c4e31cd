import t from 'tap'
import { Batcher } from '../../src/serve/batcher.js'

/** A network that doubles its input, and answers on demand. */
function slowly() {
  const asked: number[][] = []
  const open: ((error?: Error) => void)[] = []
  const ask = (batch: readonly number[]) =>
    new Promise<number[]>((resolve, reject) => {
      asked.push([...batch])
      open.push(error => (error ? reject(error) : resolve(batch.map(number => 2 * number))))
    })
  const answer = async (error?: Error) => {
    while (open.length === 0) await new Promise(resolve => setImmediate(resolve))
    open.shift()!(error)
  }
  return { asked, ask, answer }
}

t.test('requests of one turn, and those that arrive during a batch, are batched; each gets its own answer', async t => {
  const { asked, ask, answer } = slowly()
  const batcher = new Batcher({ ask, mostInBatch: 4, mostWaiting: 100 })
  const first = [batcher.askAll([1]), batcher.askAll([2, 3])]
  await new Promise(resolve => setImmediate(resolve))
  const second = [batcher.askAll([4, 5, 6]), batcher.askAll([7, 8])]
  await answer()
  t.same(await Promise.all(first), [[2], [4, 6]])
  await answer()
  await answer()
  t.same(await Promise.all(second), [
    [8, 10, 12],
    [14, 16],
  ])
  t.same(asked, [[1, 2, 3], [4, 5, 6, 7], [8]])
})

t.test('a failed batch rejects its requests; later ones are answered', async t => {
  const { ask, answer } = slowly()
  const batcher = new Batcher({ ask, mostInBatch: 2, mostWaiting: 100 })
  const [bad, good] = [batcher.askAll([1, 2]), batcher.askAll([3])]
  const refused = t.rejects(bad, { message: 'no network' })
  await answer(new Error('no network'))
  await refused
  await answer()
  t.same(await good, [6])
})

t.test('a request beyond the waiting limit is refused entirely, and others are not affected', async t => {
  const { asked, ask, answer } = slowly()
  const batcher = new Batcher({ ask, mostInBatch: 10, mostWaiting: 3 })
  const good = batcher.askAll([1, 2])
  await t.rejects(batcher.askAll([3, 4]), {
    name: 'TooBusyError',
    message: 'images: 2 are waiting, expected at most 3 with yours',
  })
  await answer()
  t.same(await good, [2, 4])
  t.same(asked, [[1, 2]])
})
