import t from 'tap'
import { withoutOutputs } from '../../bench/output.js'

t.test('the command that repeats a benchmark leaves out where its results are written', async t => {
  const args = ['step', '--json', 'a.json', '--steps', '3', '--svg=b.svg', '--workers', '1', '2', '--markdown', 'c.md']
  t.strictSame(withoutOutputs(args), ['step', '--steps', '3', '--workers', '1', '2'])
  t.strictSame(withoutOutputs([]), [])
})
