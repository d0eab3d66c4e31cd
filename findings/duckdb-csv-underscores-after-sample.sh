#!/usr/bin/env bash
# DuckDB's read_csv keeps a column with codes such as 1_1 as text if it sees one in its sample, and reads 1_1 as the number 11 if the
# first of them comes later: two different codes are then one, without an error. The type depends on the order of the rows.
#
# DuckDB 1.5.6 through @duckdb/node-api 1.5.6-r.1: section or product codes with the underscore in row 30,000 of whole numbers
# become BIGINT, and count(distinct code) is one less than in the file; sample_size=-1 finds text, and so does the same file
# with that row first.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --ignore-scripts @duckdb/node-api@1.5.6-r.1 >/dev/null
cat >read.mjs <<'JS'
import { writeFileSync } from 'node:fs'
import { DuckDBInstance } from '@duckdb/node-api'
const codes = Array.from({ length: 30_000 }, (_, row) => 10 + (row % 50))
writeFileSync('last.csv', ['code', ...codes, '1_1', ''].join('\n'))
writeFileSync('first.csv', ['code', '1_1', ...codes, ''].join('\n'))
const connection = await (await DuckDBInstance.create(':memory:')).connect()
const read = async (file, options = '') => {
  const sql = `select any_value(typeof(code)) as type, count(distinct code) as n from read_csv('${file}'${options})`
  const [{ type, n }] = (await connection.runAndReadAll(sql)).getRowObjectsJson()
  return `${type} ${n}`
}
console.log('last row:', await read('last.csv'))
console.log('last row, sample_size=-1:', await read('last.csv', ', sample_size=-1'))
console.log('first row:', await read('first.csv'))
JS
seen=$(node read.mjs)
echo "$seen"
[ "$seen" = 'last row: BIGINT 50
last row, sample_size=-1: VARCHAR 51
first row: VARCHAR 51' ]
