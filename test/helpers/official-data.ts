/**
 * Finds the official MNIST and Fashion-MNIST files for tests. Where they are missing, a test fails on CI and is skipped with a message
 * elsewhere; this is the only file that decides it.
 */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Test } from 'tap'

const FILES = ['train-images-idx3-ubyte', 'train-labels-idx1-ubyte', 't10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte']

export type OfficialName = 'mnist' | 'fashion-mnist'

/** The variable that names the folder, and the folder looked at without it (relative ones start at the repository). */
const PLACES: Readonly<Record<OfficialName, { readonly variable: string; readonly dir: string }>> = {
  mnist: { variable: 'GRADLOOM_TEST_MNIST', dir: '../shared/data/mnist' },
  'fashion-mnist': { variable: 'GRADLOOM_TEST_FASHION_MNIST', dir: '/usr/share/datasets/fashion-mnist' },
}

/**
 * The folder with the four files, or null after having failed (CI) or skipped (elsewhere) the test:
 *
 *     const dir = officialData(t, 'mnist')
 *     if (dir === null) return
 */
export function officialData(t: Test, name: OfficialName, env: NodeJS.ProcessEnv = process.env): string | null {
  const { variable, dir: usual } = PLACES[name]
  const dir = resolve(env[variable] || usual)
  const missing = FILES.filter(file => !existsSync(join(dir, file)) && !existsSync(join(dir, `${file}.gz`)))
  if (missing.length === 0) return dir
  const message = `official ${name} not found: ${dir} lacks ${missing.join(', ')}; set ${variable} to its folder`
  if (env.CI) t.fail(message)
  else t.pass(message, { skip: message })
  return null
}
