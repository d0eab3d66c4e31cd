/** Reads an experiment file's text; if there is none, the error lists what is there instead. Runs on the main thread. */
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConfigError } from '../errors.js'
import { nearest } from './suggest.js'

/** Size limit, larger than any experiment, so that a data set given by mistake is not parsed. */
const MAX_BYTES = 4 * 1024 * 1024
/** Folder of the experiments that come with gradloom, relative to dist/src/config. */
const SHIPPED = fileURLToPath(new URL('../../../configs', import.meta.url))

/** The file's text unchanged, byte order mark included. Throws a ConfigError that names the file. */
export async function readText(path: string): Promise<string> {
  if (path === '') throw new ConfigError("the experiment's path is empty, expected a file")
  let bytes: Uint8Array
  try {
    bytes = await readFile(path)
  } catch (cause) {
    throw unreadable(path, cause as NodeJS.ErrnoException)
  }
  if (bytes.length > MAX_BYTES) {
    throw new ConfigError(`${path}: the file is ${bytes.length} bytes long, expected an experiment of <= ${MAX_BYTES}`)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    const first = Buffer.from(bytes.subarray(0, 4)).toString('hex')
    const utf16 = first.startsWith('fffe') || first.startsWith('feff')
    const evidence = utf16 ? 'it begins with the byte order mark of UTF-16' : `it begins with the bytes ${first}`
    throw new ConfigError(`${path}: the file is not UTF-8, expected JSON text in UTF-8; ${evidence}`, { cause })
  }
}

function unreadable(path: string, cause: NodeJS.ErrnoException): ConfigError {
  if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') {
    return new ConfigError(`${path}: there is no such file; ${alternativesTo(path)}`, { cause })
  }
  if (cause.code === 'EISDIR') {
    const inside = experimentsIn(path)
    const evidence = inside.length > 0 ? `it contains ${listed(inside)}` : 'it contains no .json file'
    return new ConfigError(`${path}: it is a directory, expected an experiment file; ${evidence}`, { cause })
  }
  return new ConfigError(`${path}: the file cannot be read; ${cause.message}`, { cause })
}

function alternativesTo(path: string): string {
  const configs = [...new Set(['configs', relative('.', SHIPPED)])].flatMap(experimentsIn)
  const there = [...new Set([...experimentsIn(dirname(path)), ...configs])]
  const plain = (file: string) => basename(file).replace(/\.json$/i, '')
  const guess = nearest(plain(path), there.map(plain))
  const similar = there.find(file => plain(file) === guess)
  if (similar !== undefined) return `did you mean ${similar}?`
  return configs.length > 0 ? `there are ${listed(configs)}` : 'there are no experiments nearby'
}

function listed(files: readonly string[]): string {
  return files.length > 6 ? `${files.slice(0, 6).join(', ')} and ${files.length - 6} more` : files.join(', ')
}

function experimentsIn(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true })
    const files = entries.filter(entry => !entry.isDirectory() && /\.json$/i.test(entry.name))
    return files.map(({ name }) => join(folder, name)).sort()
  } catch {
    return [] // The folder may not exist or not be readable: nothing to suggest then.
  }
}
