/** `data.query`: statements whose rows would change from run to run are refused, and the machine's time zone changes nothing. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { rowsOfText } from './table-files.js'

const dir = t.testdir()
const path = join(dir, 't.csv')
writeFileSync(path, 'when,x,note\n2024-03-10T02:30:00Z,1,now()\n2024-07-01T12:00:00Z,2,random()\n')
const query = (sql: string) => rowsOfText(path, { query: sql })

t.test('a statement that depends on the clock, on chance or on a sample is refused, wherever it does', async t => {
  for (const [sql, what] of [
    ['SELECT *, random() AS r FROM data', /data\.query: calls random\(\), expected the same rows each time/],
    ['SELECT *, RANDOM() * 2 + 1 AS r FROM data', /calls random\(\)/],
    ['SELECT x FROM data ORDER BY random()', /calls random\(\)/],
    ['SELECT x FROM data WHERE x < (SELECT random())', /calls random\(\)/],
    ['WITH r AS (SELECT uuid() AS u) SELECT * FROM r, data', /calls uuid\(\)/],
    ['SELECT x, row_number() OVER (ORDER BY gen_random_uuid()) AS n FROM data', /calls gen_random_uuid\(\)/],
    ['SELECT * REPLACE (random() AS x) FROM data', /calls random\(\)/],
    ['SELECT list_transform([x], a -> a + random())[1] AS r FROM data', /calls random\(\)/],
    ['SELECT x FROM data LIMIT (1 + random())::INT', /calls random\(\)/],
    ['FROM data SELECT x, now() AS t', /calls now\(\)/],
    ['SELECT date_diff(\'day\', "when", today()) AS days FROM data', /calls today\(\)/],
    ['SELECT x, current_timestamp AS t FROM data', /has current_timestamp/],
    ['SELECT x, CURRENT_DATE AS t FROM data', /has current_date/],
    ['SELECT x, localtime AS t FROM data', /has localtime/],
    ['SELECT age("when") AS a, x FROM data', /calls age\(\) with one argument/],
    ['SELECT ago(INTERVAL 1 DAY) AS a, x FROM data', /calls ago\(\)/],
    ["SELECT * FROM query('SELECT now() AS n, x FROM data')", /calls query\(\)/],
    ['SELECT reservoir_quantile(x, 0.5) AS q FROM data', /calls reservoir_quantile\(\)/],
    ['SELECT x FROM data USING SAMPLE 50 PERCENT', /takes a sample without a seed/],
    ['SELECT x FROM data TABLESAMPLE reservoir(1)', /takes a sample without a seed/],
    ['SELECT count(*) AS n FROM duckdb_memory()', /calls duckdb_memory\(\)/],
    ['SELECT x FROM data UNION ALL SELECT random() AS x', /calls random\(\)/],
  ] as const) {
    await t.rejects(query(sql), { name: 'DataError', message: what }, sql)
  }
})

t.test('repeatable statements are accepted: such words in texts, comments, names; samples with a seed', async t => {
  for (const sql of [
    "SELECT x, 'now() random() current_date' AS words FROM data",
    'SELECT x AS random /* now() */ FROM data -- random()',
    "SELECT x FROM data WHERE note = 'random()'",
    'SELECT x FROM (SELECT x, note AS current_date FROM data) AS d',
    'SELECT age("when", TIMESTAMP \'2020-01-01\') AS a, x FROM data',
    'SELECT x, row_number() OVER (ORDER BY x) AS n, hash(x) % 10 AS h FROM data',
    'SELECT d.x FROM data AS d JOIN range(5) AS r(i) ON d.x = r.i',
    'SELECT x, sum(x) OVER () AS s, any_value(note) OVER () AS n FROM data',
    'FROM data',
  ]) {
    await t.resolves(query(sql), sql)
  }
  const sample = 'SELECT x FROM data USING SAMPLE reservoir(1 ROWS) REPEATABLE (3)'
  t.same((await query(sample)).rows, (await query(sample)).rows)
})

t.test('a column named like a clock function is an ordinary column', async t => {
  const file = join(dir, 'clock.csv')
  writeFileSync(file, 'current_date,x\n5,1\n6,2\n')
  const { rows } = await rowsOfText(file, { query: 'SELECT current_date, x FROM data WHERE current_date > 5' })
  t.same(rows, [{ current_date: 6, x: 2 }])
})

t.test('the time zone of the machine changes no value', async t => {
  const module = (file: string) => JSON.stringify(pathToFileURL(join('dist', file)).href)
  const code = `
    import { rowsOfText } from ${module('test/data/table/table-files.js')}
    const query = 'SELECT "when", hour("when"::TIMESTAMPTZ) AS h, strftime("when"::TIMESTAMPTZ, \\'%H\\') AS s FROM data'
    console.log(JSON.stringify((await rowsOfText(${JSON.stringify(path)}, { query })).rows))`
  for (const TZ of ['UTC', 'America/New_York', 'Asia/Kolkata']) {
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      env: { ...process.env, TZ, NODE_OPTIONS: '' },
      encoding: 'utf8',
    })
    t.same(
      JSON.parse(stdout || stderr),
      [
        { when: Date.UTC(2024, 2, 10, 2, 30) / 1000, h: 2, s: 2 },
        { when: Date.UTC(2024, 6, 1, 12) / 1000, h: 12, s: 12 },
      ],
      TZ,
    )
  }
})
