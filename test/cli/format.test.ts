import { inspect } from 'node:util'
import t from 'tap'
import {
  formatBytes,
  formatCount,
  formatCounted,
  formatDuration,
  formatEta,
  formatLoss,
  formatNames,
  formatPercent,
  shellWord,
} from '../../src/format.js'

/** Every value beside the text it must give. */
function table<Value>(
  t: { equal: (got: string, want: string, name: string) => boolean },
  format: (value: Value) => string,
  rows: [Value, string][],
) {
  for (const [value, want] of rows) t.equal(format(value), want, String(value))
}

t.test('counts with their noun, singular and plural', async t => {
  t.equal(formatCounted(1, 'checkpoint'), '1 checkpoint')
  t.equal(formatCounted(0, 'checkpoint'), '0 checkpoints')
  t.equal(formatCounted(1200, 'class', 'classes'), '1,200 classes')
  t.equal(formatCounted(1, 'class', 'classes'), '1 class')
})

t.test('numbers are formatted for reading', async t => {
  table(t, formatCount, [
    [0, '0'],
    [999, '999'],
    [1000, '1,000'],
    [59_462_510, '59,462,510'],
    [1e21, '1e+21'],
    [9870.4, '9,870'],
    [Number.NaN, '?'],
  ])
  table(t, formatPercent, [
    [0.961249, '96.12 %'],
    [1, '100.00 %'],
    [0, '0.00 %'],
    [Number.NaN, '?'],
  ])
  table(t, formatLoss, [
    [0.12345, '0.1235'],
    [0, '0.0000'],
    [0.0009999, '0.0010'],
    [1.2345e-7, '1.2e-7'],
    [2.25, '2.2500'],
    [1e9, '1.0e+9'],
    [Number.NaN, 'NaN'],
    [Number.POSITIVE_INFINITY, 'Infinity'],
  ])
  table(t, formatDuration, [
    [0.4231, '0.42 s'],
    [9.994, '9.99 s'],
    [9.996, '10.0 s'],
    [59.94, '59.9 s'],
    [59.96, '1 min 00 s'],
    [185, '3 min 05 s'],
    [3599.6, '1 h 00 min'],
    [7500, '2 h 05 min'],
    [273_600, '3 d 04 h'],
    [Number.POSITIVE_INFINITY, '?'],
  ])
  table(t, formatEta, [
    [0.4, '0 s'],
    [12.4, '12 s'],
    [59.6, '1 min 00 s'],
    [Number.NaN, '?'],
  ])
  table(t, formatBytes, [
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [237_850_040, '238 MB'],
    [999_700_000, '1.0 GB'],
    [25_276_510_208, '25.3 GB'],
    [99_960_000, '100 MB'],
  ])
})

t.test('paths can be pasted into a shell', async t => {
  table(t, shellWord, [
    ['runs/a-2026-01-31T12-00-05', 'runs/a-2026-01-31T12-00-05'],
    ['my run', "'my run'"],
    ["it's", "'it'\\''s'"],
    ['$(x)', "'$(x)'"],
    ['', "''"],
  ])
})

t.test('names are quoted as util.inspect quotes them', async t => {
  const names = ['a', "it's", 'a "b"', 'back\\slash', 'line\nbreak', '', '東京', '__proto__']
  t.equal(formatNames(names, 3), "'a', \"it's\", 'a \"b\"' and 5 more")
  for (const name of names) t.equal(formatNames([name]), inspect(name))
})
