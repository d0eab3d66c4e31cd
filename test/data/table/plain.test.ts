/** Plain text is read by a parser of its own: the same result as DuckDB's, or none. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { plain, readBy } from './read-by.js'

const dir = t.testdir()
let files = 0
function fileOf(content: string | Buffer): string {
  const path = join(dir, `${files++}.csv`)
  writeFileSync(path, content)
  return path
}

t.test('plain files: the same types, facts, notes and values', async t => {
  const cases: Record<string, string> = {
    numbers: 'a,b\n1,2.5\n-3,4.25\n0,-0\n',
    'no line end at the end': 'a,b\n1,2\n3,4',
    'CR and LF': 'a,b\r\n1,2\r\n3,4\r\n',
    'CR and LF, no end': 'a,b\r\n1,2\r\n3,4',
    'missing fields': 'a,b,c\n1,,x\n,2,\n3,4,y\n',
    'empty lines': 'a,b\n1,2\n\n3,4\n\n\n',
    'one column': 'a\n1\n2\n\n3\n\n',
    'no header': '1,2\n3,4\n5,6\n',
    'many digits':
      'a,b\n0.1234567890123456789,123456789012345678901234567890\n1e-7,1.7976931348623157e308\n4.9e-324,5e-324\n',
    'digits that f64 has, and just not':
      'a\n999999999\n9999999999\n999999999999999\n9007199254740993.0\n0.000000000000001\n',
    'forms of numbers': 'a,b,c\n5.,.5,1E5\n1e+5,1e-05,-.5\n',
    'leading zeros': 'a,b\n007,1\n08,2\n',
    'leading zeros after the sample': `a,b\n${'10,2\n'.repeat(1500)}07,3\n`,
    'leading zeros in quotes': `a,b\n${'"10",2\n'.repeat(1500)}"07",3\n`,
    'leading zeros of long codes': `a,b\n${'1234567890,2\n'.repeat(1500)}0000567890,3\n`,
    'leading zeros of numbers': `a,b,c\n${'10,2,1\n'.repeat(1500)}07.5,-03,0\n`,
    'leading zeros beside NA': `a,b\n${'10,2\n'.repeat(1500)}NA,3\n07,3\n`,
    plus: 'a,b\n+5,1\n+6.5,2\n',
    spaces: 'a, b\n 1, 2\n 3 ,4 \n',
    NaN: 'a,b\n1,NaN\nnan,2\n3,4\n',
    'NA after the sample': `a,b\n${'1.5,2\n'.repeat(1500)}NA,3\nnull,4\nNaN,5\n`,
    'nothing but NA': 'a,b\n1,NA\n2,NA\n',
    'text after the sample': `a,b\n${'1.5,2\n'.repeat(1500)}yes,3\n1.25,4\n`,
    'texts, in the order in which they come': 'a,b\nz,1\nä,2\nz,3\n a ,4\nz  ,5\n',
    'quoted fields': '"a","b"\n"x, y",1\n"z",2\n',
    'quoted numbers': '"a","b"\n"1",1\n"2.5",2\n',
    booleans: 'a,b\ntrue,1\nfalse,2\n,3\n',
    dates: 'a,b\n2020-01-02,1\n2021-12-31 10:00:00,2\n',
    tabs: 'a\tb\n1\tx y\n2\tz\n',
    'decimal commas': 'a;b\n1,5;2\n-2,25;3\n1000;4\n',
    'large integers': 'id,b\n9223372036854775807,1\n9223372036854775806,2\n',
    'digits in groups': 'a,b\n1_000,1\n2_000,2\n',
    'an index column without a name': ',a\n0,1.5\n1,2.5\n',
  }
  for (const [name, content] of Object.entries(cases)) {
    const path = fileOf(content)
    const found = await plain(path)
    t.ok(found, `${name}: is plain`)
    if (found) t.same(found, await readBy(path, 'native'), name)
  }
})

t.test('other files are left to DuckDB', async t => {
  const cases: Record<string, string | Buffer> = {
    'a quote inside': 'a,b\nx"y,1\nz,2\n',
    'two quotes': 'a,b\n"x""y",1\nz,2\n',
    'a line end in quotes': 'a,b\n"x\ny",1\nz,2\n',
    'ragged rows': 'a,b\n1,2\n3\n',
    'one field too many': 'a,b\n1,2\n3,4,5\n',
    'mixed line ends': 'a,b\n1,2\r\n3,4\n',
    'a header with another end': 'a,b\r\n1,2\n3,4\n',
    'CR alone': 'a,b\r1,2\r3,4\r',
    'CR at the end': 'a,b\n1,2\r',
    NUL: 'a,b\nx\0,2\n',
    'NUL in a number': 'a,b\n1\0,2\n',
    'not UTF-8': Buffer.from([0x61, 0x2c, 0x62, 0x0a, 0xe4, 0x2c, 0x31, 0x0a]),
    infinite: `a,b\n${'1.5,2\n'.repeat(1500)}1e999,4\n`,
    'a delimiter at the end of rows': 'a,b\n1,2,\n3,4,\n',
    'a field of spaces': 'a,b\n1,2\n  ,3\n4,5\n',
  }
  for (const [name, content] of Object.entries(cases)) t.equal(await plain(fileOf(content)), null, name)
  const texts = Array.from({ length: 40_000 }, (_, i) => `name ${i},${i}`).join('\n')
  t.equal(await plain(fileOf(`a,b\n${texts}\n`)), null, 'more texts than are kept')
  t.equal(await plain(fileOf(`a,b\n${'x'.repeat(400_000)},1\ny,2\n`)), null, 'a field longer than a block')
})

/** Integers of a generator of Park and Miller. */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state * 48271) % 2147483647
    return state % below
  }
}

const NUMBERS: readonly ((random: (below: number) => number) => string)[] = [
  random => String(random(1000) - 500),
  random => ((random(2_000_000) - 1_000_000) / 10 ** random(7)).toString(),
  random => (random(1e9) / 1e9).toFixed(random(20)),
  random => (random(2e9) / 7).toString(),
  random => ((random(2e9) - 1e9) * 10 ** (random(600) - 300)).toString(),
  random => `${random(2) ? '-' : ''}${random(1e9)}${random(1e9)}.${random(1e9)}${random(1e9)}e${random(40) - 20}`,
  random => ['', '0', '-0', '-0.0', '00.5', '1.', '.25', 'NaN', '12e3', '1e22', '1e23'][random(11)],
]

t.test('tables of all forms of numbers, some with texts: DuckDB reads the same bits', async t => {
  let read = 0
  for (let seed = 1; seed <= 40; seed++) {
    const random = randomOf(seed * 7919)
    const kinds = Array.from({ length: 1 + random(5) }, () => random(NUMBERS.length + 1))
    const line = () =>
      kinds
        .map(kind => (kind < NUMBERS.length ? NUMBERS[kind](random) : ['x', 'yes', 'ö', '', ' b '][random(5)]))
        .join(',')
    const rows = Array.from({ length: 1 + random(3000) }, line)
    const end = random(4) === 0 ? '\r\n' : '\n'
    const path = fileOf(`${kinds.map((_, i) => `c${i}`).join(',')}${end}${rows.join(end)}${random(2) ? end : ''}`)
    const found = await plain(path, { header: true })
    if (found === null) continue
    read++
    t.same(found, await readBy(path, 'native', { header: true }), `seed ${seed}: ${kinds}`)
  }
  t.ok(read > 30, `${read} of 40 were plain`)
})

t.test('several blocks, threads and files: rows keep their order, texts theirs', async t => {
  const row = (i: number) =>
    `${i},${(i * 0.37).toFixed(i % 8)},${i % 1000 === 0 ? '' : `t${(i * 7) % 5000}`},${'x'.repeat(i % 40)}`
  const lines = Array.from({ length: 180_000 }, (_, i) => row(i))
  const path = fileOf(`i,v,s,long\n${lines.join('\n')}\n`)
  const found = await plain(path)
  t.ok(found, 'is plain')
  t.same(found, await readBy(path, 'native'), 'one file')
  const parts = t.testdir({
    'a.csv': `i,v,s,long\n${lines.slice(0, 70_000).join('\n')}\n`,
    'b.csv': `i,v,s,long\n${lines.slice(70_000, 70_001).join('\n')}`,
    'c.csv': `i,v,s,long\n${lines.slice(70_001, 150_000).join('\n')}\n`,
  })
  t.same(await plain(parts), await readBy(parts, 'native'), 'a folder')
})
