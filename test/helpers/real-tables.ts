/**
 * The seven public tables with which the recipe of configs/table.json is measured, split into NAME.train.csv and
 * NAME.test.csv. Where they are missing, a test fails on CI and is skipped with the reason elsewhere. The one place for that policy.
 */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Test } from 'tap'

export const REAL_TABLES = [
  ...['ames', 'concrete', 'housevotes84', 'letterrecognition', 'penguins', 'soybean', 'wa_churn'],
] as const
export type RealTable = (typeof REAL_TABLES)[number]

const USUAL = '../shared/data/tables'

export interface TableFiles {
  readonly train: string
  readonly test: string
}

/** null after having failed (CI) or skipped (elsewhere) the test. */
export function realTable(t: Test, name: RealTable, env: NodeJS.ProcessEnv = process.env): TableFiles | null {
  const dir = resolve(env.GRADLOOM_TEST_TABLES || USUAL)
  const files = { train: join(dir, `${name}.train.csv`), test: join(dir, `${name}.test.csv`) }
  const missing = Object.values(files).filter(file => !existsSync(file))
  if (missing.length === 0) return files
  const message = `table ${name} not found: there is no ${missing.join(', ')}; set GRADLOOM_TEST_TABLES to its folder`
  if (env.CI) t.fail(message)
  else t.pass(message, { skip: message })
  return null
}
