/**
 * Digests that reveal edits of a run's own files: the manifest keeps those of the experiment, and one of itself.
 * They guard against edits by mistake, not by intent. Pure; main thread.
 */
import { createHash } from 'node:crypto'
import { FILES, type Manifest } from './manifest.js'

export const textSha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** SHA-256 of a JSON value, whatever the order of its keys and its layout. */
export const jsonSha256 = (value: unknown): string => textSha256(JSON.stringify(sorted(value)) ?? 'undefined')

/** SHA-256 of a resolved experiment, without the paths of its data: their own digests identify them. */
export function resolvedSha256(resolved: unknown): string {
  const plain = JSON.parse(JSON.stringify(resolved ?? null))
  if (plain?.data instanceof Object) {
    delete plain.data.path
    delete plain.data.testPath
  }
  return jsonSha256(plain)
}

/** The manifest with the digest of everything else in it. */
export function sealed<T extends object>(manifest: T): T & { readonly sha256: string } {
  const { sha256: _, ...rest } = manifest as T & { sha256?: unknown }
  return { ...(rest as unknown as T), sha256: jsonSha256(rest) }
}

/** True if a manifest is as gradloom wrote it, and for one of an older version, which has no digest. */
export function isAsWritten(manifest: Partial<Manifest>): boolean {
  const { sha256, ...rest } = manifest
  return sha256 === undefined ? manifest.own === undefined : sha256 === jsonSha256(rest)
}

/** Names of the files whose content differs from the manifest's digests. `experiment` is undefined if it is missing. */
export function editedFiles(
  manifest: Partial<Manifest>,
  content: { readonly experiment: string | undefined; readonly resolved: unknown },
): string[] {
  if (!isAsWritten(manifest)) return [FILES.manifest]
  const { own } = manifest
  if (own === undefined) return []
  return [
    ...(own.resolved.includes(resolvedSha256(content.resolved)) ? [] : [FILES.resolved]),
    ...(content.experiment === undefined || textSha256(content.experiment) === own.experiment
      ? []
      : [FILES.experiment]),
  ]
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([, item]) => item !== undefined)
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => [key, sorted(item)]))
}
