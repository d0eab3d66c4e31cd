/**
 * Refuses a `data.query` that gives other rows each time, by the syntax tree that DuckDB makes of it: a run could not be
 * reproduced, and a resumed one would learn from other data. Main thread.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { DataError } from '../../../errors.js'
import { sqlText } from './database.js'

/** Words that SQL reads as a call unless a column has the name. */
const CLOCKS = ['current_date', 'current_time', 'current_timestamp', 'localtime', 'localtimestamp']
/** Functions that DuckDB calls consistent, or macros, and that depend on the clock, on chance or on a text that is SQL. */
const OTHERS = [
  ...CLOCKS,
  ...['ago', 'current_localtime', 'current_localtimestamp', 'get_current_time', 'pg_conf_load_time'],
  ...['pg_postmaster_start_time', 'query', 'json_execute_serialized_sql', 'reservoir_quantile', 'stats'],
]
/** Functions that are volatile by name alone: the same in every run, or no value at all. */
const HARMLESS = ['current_database', 'current_schema', 'current_schemas', 'in_search_path', 'error', 'setseed']

interface Tree {
  readonly error: boolean
  readonly statements?: readonly unknown[]
}

/** `columns`: names in the view `data`. `at` begins the message of a DataError. */
export async function expectRepeatable(
  at: string,
  connection: DuckDBConnection,
  query: string,
  columns: readonly string[],
): Promise<void> {
  const [[json]] = (await connection.runAndReadAll(`SELECT json_serialize_sql(${sqlText(query)})`)).getRows()
  const tree = JSON.parse(String(json)) as Tree
  if (tree.error)
    throw new DataError(`${at}: is a statement that cannot be checked, expected a SELECT over the view data`)
  const volatile = new Set([...(await volatileFunctions(connection)), ...OTHERS])
  const own = new Set(columns.map(name => name.toLowerCase()))
  const clocks = new Set(CLOCKS.filter(name => !own.has(name)))
  const found = faultIn(tree.statements, { volatile, clocks })
  if (found === undefined) return
  throw new DataError(`${at}: ${found}, expected the same rows each time the query runs`, {
    hint: 'write a date or time as a constant; for a part of the rows: WHERE hash(a_column) % 10 = 0, or USING SAMPLE with REPEATABLE (1)',
  })
}

async function volatileFunctions(connection: DuckDBConnection): Promise<string[]> {
  const sql =
    "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability IN ('VOLATILE', 'CONSISTENT_WITHIN_QUERY')"
  const names = (await connection.runAndReadAll(sql)).getRows().map(([name]) => String(name).toLowerCase())
  return names.filter(name => !HARMLESS.includes(name))
}

interface Forbidden {
  readonly volatile: ReadonlySet<string>
  readonly clocks: ReadonlySet<string>
}

/** The first thing in a syntax tree that is not repeatable, in words. */
function faultIn(node: unknown, forbidden: Forbidden): string | undefined {
  if (typeof node !== 'object' || node === null) return undefined
  if (!Array.isArray(node)) {
    const own = ownFault(node as Readonly<Record<string, unknown>>, forbidden)
    if (own !== undefined) return own
  }
  for (const child of Object.values(node)) {
    const found = faultIn(child, forbidden)
    if (found !== undefined) return found
  }
  return undefined
}

function ownFault(node: Readonly<Record<string, unknown>>, { volatile, clocks }: Forbidden): string | undefined {
  const { function_name: called, class: kind, column_names: names, children, sample } = node
  if (typeof called === 'string') {
    const name = called.toLowerCase()
    if (volatile.has(name) || /^(duckdb|pragma)_/.test(name)) return `calls ${name}()`
    // With one argument it is the time from it until today.
    if (name === 'age' && Array.isArray(children) && children.length === 1) return 'calls age() with one argument'
  }
  if (kind === 'COLUMN_REF' && Array.isArray(names) && names.length === 1) {
    const name = String(names[0]).toLowerCase()
    if (clocks.has(name)) return `has ${name}`
  }
  if (typeof sample === 'object' && sample !== null && (sample as { seed?: unknown }).seed === -1) {
    return 'takes a sample without a seed'
  }
  return undefined
}
