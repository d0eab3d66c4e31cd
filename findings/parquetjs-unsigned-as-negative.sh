#!/usr/bin/env bash
# @dsnp/parquetjs reads unsigned 32 and 64 bit integers of a Parquet file as if they were signed: 4294967290 comes back as -6, and
# the highest 64 bit number as -1n, without an error. Decimals of more than 18 digits come back as a Buffer of raw bytes.
#
# @dsnp/parquetjs 1.8.9 (1.9.3 is published without its dist folder and cannot be loaded); the file is written by DuckDB 1.5.6,
# hyparquet 1.33.0 reads the same columns as they were written. Hashes, identifiers and counters are often stored unsigned, so
# half of their range changes sign before a model sees it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --ignore-scripts @dsnp/parquetjs@1.8.9 hyparquet@1.33.0 @duckdb/node-api@1.5.6-r.1 >/dev/null
cat >read.mjs <<'JS'
import { DuckDBInstance } from '@duckdb/node-api'
import parquet from '@dsnp/parquetjs'
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet'
const connection = await (await DuckDBInstance.create(':memory:')).connect()
await connection.run(`copy (select 4294967290::uinteger as u32, 18446744073709551615::ubigint as u64, 1.25::decimal(38, 2) as d38)
  to 'unsigned.parquet' (format parquet, compression uncompressed)`)
const show = (name, row) => console.log(name, String(row.u32), String(row.u64), Buffer.isBuffer(row.d38) ? 'Buffer' : row.d38)
show('hyparquet', (await parquetReadObjects({ file: await asyncBufferFromFile('unsigned.parquet') }))[0])
const reader = await parquet.ParquetReader.openFile('unsigned.parquet')
show('@dsnp/parquetjs', await reader.getCursor().next())
await reader.close()
JS
seen=$(node read.mjs)
echo "$seen"
[ "$seen" = 'hyparquet 4294967290 18446744073709551615 1.25
@dsnp/parquetjs -6 -1 Buffer' ]
