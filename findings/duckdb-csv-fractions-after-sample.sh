#!/usr/bin/env bash
# DuckDB's read_csv decides a column's type from its first 20,480 rows: where these are integers, a later fraction is rounded
# to an integer without an error or a warning; 0.92 in row 25,000 is read as 1.
#
# DuckDB 1.5.6 through @duckdb/node-api 1.5.6-r.1. With sample_size=-1 the column is DOUBLE and the value is right. In a column
# of rates or prices whose first rows are whole numbers a model is then trained on other numbers than the file's.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --ignore-scripts @duckdb/node-api@1.5.6-r.1 >/dev/null
cat >read.mjs <<'JS'
import { writeFileSync } from 'node:fs'
import { DuckDBInstance } from '@duckdb/node-api'
const rows = Array.from({ length: 30_000 }, (_, i) => `${i},${i === 25_000 ? 0.92 : i % 7}`)
writeFileSync('rates.csv', `row,rate\n${rows.join('\n')}\n`)
const connection = await (await DuckDBInstance.create(':memory:')).connect()
const rowAt = async options => {
  const sql = `select typeof(rate) as type, rate from read_csv('rates.csv'${options}) where row = 25000`
  const [{ type, rate }] = (await connection.runAndReadAll(sql)).getRowObjectsJson()
  return `${type} ${rate}`
}
console.log('default:', await rowAt(''))
console.log('sample_size=-1:', await rowAt(', sample_size=-1'))
JS
seen=$(node read.mjs)
echo "$seen"
[ "$seen" = 'default: BIGINT 1
sample_size=-1: DOUBLE 0.92' ]
