import t from 'tap'
import { evaluationLine } from '../../src/cli/evaluate.js'

t.test('the score is printed on one line', async t => {
  t.equal(
    evaluationLine({ split: 'test', rows: 1996, loss: 0.1345, accuracy: 1918 / 1996, correct: 1918 }),
    'test: accuracy 96.09 %, loss 0.1345; 1,918 of 1,996 rows right, 78 wrong',
  )
})
