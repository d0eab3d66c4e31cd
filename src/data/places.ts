/**
 * Searches for the files of a data set, and reports where it looked. Main thread; only asks the file system
 * whether files exist.
 */
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { DataError } from '../errors.js'
import { cacheFolder } from '../files/cache.js'
import { BASE_NAMES, KNOWN, ROLES, type Role } from './known.js'

export interface Place {
  readonly dir: string
  /** Reason for looking in this folder, in the user's words. */
  readonly origin: string
}

export interface FoundFiles {
  readonly place: Place
  readonly files: Readonly<Record<Role, string>>
}

/** A place that does not have all four files. */
export interface Miss {
  readonly place: Place
  readonly reason: string
}

const SYSTEM_DIR = '/usr/share/datasets'

/** Default folder of `data fetch`. */
export function cacheDir(name: string, env: NodeJS.ProcessEnv = process.env): string {
  return join(cacheFolder('data', env), name)
}

/** Places to search for a known set when no path is given, in this order. */
export function usualPlaces(name: string, env: NodeJS.ProcessEnv = process.env): Place[] {
  const places: Place[] = []
  if (env.GRADLOOM_DATA) {
    const base = resolve(env.GRADLOOM_DATA)
    // Try the subfolder first: a folder of folders may hold another set's files itself.
    places.push({ dir: join(base, name), origin: 'GRADLOOM_DATA' }, { dir: base, origin: 'GRADLOOM_DATA' })
  }
  places.push({ dir: cacheDir(name, env), origin: 'cache' }, { dir: join(SYSTEM_DIR, name), origin: 'system' })
  return places
}

/** Names of a file: as published, unpacked, and as archives for Windows spell it (`train-images.idx3-ubyte`). */
function spellings(role: Role): string[] {
  const base = BASE_NAMES[role]
  const dotted = base.replace('-idx', '.idx')
  return [base, `${base}.gz`, dotted, `${dotted}.gz`]
}

/** The file of that role in a folder, or null. Errors other than its absence are thrown. */
export async function findFile(dir: string, role: Role): Promise<string | null> {
  for (const spelling of spellings(role)) {
    const file = join(dir, spelling)
    if (await exists(file)) return file
  }
  return null
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return false
    throw error
  }
}

async function lookIn(place: Place): Promise<FoundFiles | Miss> {
  try {
    if (!(await exists(place.dir))) return { place, reason: 'no such folder' }
    const files: Partial<Record<Role, string>> = {}
    const missing: string[] = []
    for (const role of ROLES) {
      const file = await findFile(place.dir, role)
      if (file === null) missing.push(BASE_NAMES[role])
      else files[role] = file
    }
    if (missing.length === 0) return { place, files: files as Record<Role, string> }
    const all = missing.length === ROLES.length
    return { place, reason: all ? 'none of the four files' : `lacks ${missing.join(', ')}` }
  } catch (error) {
    return { place, reason: `cannot be read (${(error as Error).message})` }
  }
}

/** The first place with all four files, and the places before it that do not have them. */
export async function findFiles(places: readonly Place[]): Promise<{ found: FoundFiles | null; misses: Miss[] }> {
  const misses: Miss[] = []
  for (const place of places) {
    const result = await lookIn(place)
    if ('files' in result) return { found: result, misses }
    misses.push(result)
  }
  return { found: null, misses }
}

/** The error for a set that is in none of its places. */
export function notFound(name: string, misses: readonly Miss[]): DataError {
  const list = misses.map(({ place, reason }) => `\n  ${place.dir} (${place.origin}): ${reason}`).join('')
  if (misses.every(({ place }) => place.origin === 'data.path')) {
    const fetch = name in KNOWN ? `; or without data.path: npx gradloom data fetch ${name}` : ''
    return new DataError(
      `data.path: the ${name} files were not found, expected all four; only this folder was looked at, because data.path names it:${list}`,
      { hint: `expected files: ${Object.values(BASE_NAMES).join(', ')}, each with or without .gz${fetch}` },
    )
  }
  const debian = name === 'fashion-mnist' ? ', or apt-get install dataset-fashion-mnist (Debian, Ubuntu)' : ''
  return new DataError(`data.dataset: ${name} was not found, expected its four files in one of these places:${list}`, {
    hint:
      `npx gradloom data fetch ${name}${debian}; if you have the files: --set data.path=FOLDER or GRADLOOM_DATA=FOLDER; ` +
      'or --set data.dataset=digits, which needs no download',
  })
}
