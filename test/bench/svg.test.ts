import t from 'tap'
import { type Chart, shortNumber, svgOf, ticksTo } from '../../bench/svg.js'

const byText = (a: string, b: string) => a.localeCompare(b)
const bar = (value: number) => ({ value, low: value * 0.9, high: value * 1.1 })
const chart: Chart = {
  title: 'Steps & <more>',
  axis: 'step time, ms',
  better: 'lower',
  groups: ['wasm', 'blas'],
  series: [
    { name: '1 worker', bars: [bar(100), bar(40)] },
    { name: '2 workers', bars: [bar(50), null] },
  ],
}

t.test('ticks are 1, 2 or 5 times a power of ten apart and reach past the highest', async t => {
  t.strictSame(ticksTo(100), [0, 20, 40, 60, 80, 100])
  t.strictSame(ticksTo(110), [0, 50, 100, 150])
  t.strictSame(ticksTo(0.7), [0, 0.2, 0.4, 0.6, 0.8])
  t.strictSame(ticksTo(0), [0, 1])
  let cases = 0
  for (let highest = 1e-3; highest < 1e6; highest *= 1.37) {
    const ticks = ticksTo(highest)
    if (ticks.at(-1)! < highest * (1 - 1e-9) || ticks.at(-2)! >= highest || ticks.length > 8) {
      t.fail(`${highest}: ${ticks}`)
    }
    cases++
  }
  t.equal(cases, 66)
})

t.test('numbers on bars: three digits, or all before the point', async t => {
  t.strictSame([0, 0.01234, 1.005, 99.96, 1234.5, 20_000].map(shortNumber), [
    '0',
    '0.0123',
    '1',
    '100',
    '1,235',
    '20,000',
  ])
})

t.test('a chart: well-formed, every bar and label, as long as its value, in both colour schemes', async t => {
  const svg = svgOf([chart])
  const open = [...svg.matchAll(/<(\w+)[^>]*?(\/?)>/g)].filter(([, , closed]) => closed === '').map(([, name]) => name)
  const closed = [...svg.matchAll(/<\/(\w+)>/g)].map(([, name]) => name)
  t.strictSame(open.toSorted(byText), closed.toSorted(byText), 'tags are closed')
  for (const text of ['Steps &amp; &lt;more&gt;', 'wasm', 'blas', '1 worker', '2 workers', 'not measured']) {
    t.ok(svg.includes(text), text)
  }
  t.ok(svg.includes('step time, ms (lower is better; whiskers: quartiles)'))
  t.ok(svg.includes('prefers-color-scheme:dark'))
  const lengths = [...svg.matchAll(/width="([\d.]+)" height="18"/g)].map(([, width]) => Number(width))
  t.equal(lengths.length, 3)
  t.ok(Math.abs(lengths[0] / lengths[1] - 2) < 0.01, 'wasm: 100 ms is twice as long as 50')
  t.notMatch(svg, /NaN|undefined|Infinity/)
})

t.test('a number without samples has no whiskers, and the legend does not mention them', async t => {
  const exact = { value: 2, low: 2, high: 2 }
  const svg = svgOf([{ ...chart, series: [{ name: 'counted', bars: [exact, exact] }] }])
  t.notMatch(svg, /<path|whiskers/)
  t.match(svgOf([chart]), /<path.*whiskers|whiskers.*<path/s)
})

t.test('several charts are stacked vertically; no charts give an empty picture', async t => {
  const heightOf = (svg: string) => Number(/height="([\d.]+)"/.exec(svg)?.[1])
  t.ok(heightOf(svgOf([chart, chart])) > 1.9 * heightOf(svgOf([chart])))
  t.notMatch(svgOf([]), /NaN|undefined/)
})
