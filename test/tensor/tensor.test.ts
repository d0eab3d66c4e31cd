/** Shape checks and views. */
import t from 'tap'
import { bindShapes, byteOffsetOf, sizeOf, viewTensor } from '../../src/tensor/tensor.js'

const shaped = (...shape: number[]) => ({ shape })

t.test('bindShapes returns the size of each letter', async t => {
  const bound = bindShapes('linear', [
    ['x', shaped(32, 784), ['B', 'I']],
    ['w', shaped(784, 10), ['I', 'O']],
    ['out', shaped(32, 10), ['B', 'O']],
  ])
  t.same(bound, { B: 32, I: 784, O: 10 })
})

t.test('bindShapes names the wrong size, the expected one, and what bound it', async t => {
  const linear = (w: number[], out: number[]) => () =>
    bindShapes('linear', [
      ['x', shaped(32, 785), ['B', 'I']],
      ['w', shaped(...w), ['I', 'O']],
      ['out', shaped(...out), ['B', 'O']],
    ])
  t.throws(linear([784, 128], [32, 128]), {
    name: 'ShapeError',
    message: 'linear: w is (784, 128), expected (I=785, O); bound by x (32, 785)',
  })
  t.throws(linear([785, 128], [31, 128]), {
    name: 'ShapeError',
    message: 'linear: out is (31, 128), expected (B=32, O=128); bound by x (32, 785), w (785, 128)',
  })
  t.throws(linear([785], [32, 128]), { message: 'linear: w is (785), expected (I=785, O); bound by x (32, 785)' })
  t.throws(() => bindShapes('square', [['a', shaped(3), ['N', 'M']]]), { message: 'square: a is (3), expected (N, M)' })
  t.throws(() => bindShapes('square', [['a', shaped(3, 4), ['N', 'N']]]), {
    message: 'square: a is (3, 4), expected (N, N)',
  })
})

t.test('a size of 0 is bound like any other', async t => {
  const bind = () =>
    bindShapes('add', [
      ['a', shaped(0), ['N']],
      ['b', shaped(1), ['N']],
    ])
  t.throws(bind, { message: 'add: b is (1), expected (N=0); bound by a (0)' })
})

t.test('viewTensor views the buffer at the given offset', async t => {
  const buffer = new SharedArrayBuffer(256)
  const tensor = viewTensor(buffer, 'float32', [3, 5], 64)
  tensor.set(1, 2, 7.5)
  t.equal(new Float32Array(buffer)[64 / 4 + 1 * 5 + 2], 7.5)
  t.equal(byteOffsetOf(tensor), 64)
  t.equal(byteOffsetOf(tensor.lo(1, 2)), 64 + (5 + 2) * 4)
  t.equal(tensor.data.length, 15)
  t.throws(() => viewTensor(buffer, 'float64', [25], 64), RangeError, 'the buffer ends before the tensor')
})

t.test('sizeOf is the product of the dims', async t => {
  t.equal(sizeOf([]), 1)
  t.equal(sizeOf([3, 4, 5]), 60)
  t.equal(sizeOf([3, 0]), 0)
})
