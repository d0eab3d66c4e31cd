#!/usr/bin/env bash
# DuckDB's read_csv reads whole numbers above 2^63 - 1 as DOUBLE, so different identifiers become equal: of three ids that follow
# one another, count(distinct id) is 1. The types UBIGINT and HUGEINT, which hold them, are not tried.
#
# DuckDB 1.5.6 through @duckdb/node-api 1.5.6-r.1; with sample_size=-1 too. Hashes and identifiers of 64 bits without a sign, as
# many databases export them, can so be merged before a join, a grouped split or an embedding. With types={'id': 'UBIGINT'}
# all three are kept.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --ignore-scripts @duckdb/node-api@1.5.6-r.1 >/dev/null
cat >read.mjs <<'JS'
import { writeFileSync } from 'node:fs'
import { DuckDBInstance } from '@duckdb/node-api'
writeFileSync('ids.csv', 'id\n9223372036854775809\n9223372036854775810\n9223372036854775811\n')
const connection = await (await DuckDBInstance.create(':memory:')).connect()
const distinct = async options => {
  const sql = `select any_value(typeof(id)) as type, count(distinct id) as n from read_csv('ids.csv'${options})`
  const [{ type, n }] = (await connection.runAndReadAll(sql)).getRowObjectsJson()
  return `${type} ${n}`
}
console.log('default:', await distinct(''))
console.log('sample_size=-1:', await distinct(', sample_size=-1'))
console.log('UBIGINT:', await distinct(", types={'id': 'UBIGINT'}"))
JS
seen=$(node read.mjs)
echo "$seen"
[ "$seen" = 'default: DOUBLE 1
sample_size=-1: DOUBLE 1
UBIGINT: UBIGINT 3' ]
