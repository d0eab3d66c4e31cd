/**
 * Hash of a category's text, for those that have no feature of their own. It is part of the file format: a bucket in a
 * checkpoint means the same in every version. Pure; any thread.
 */

/** Bucket of a text, from 0 to `buckets` - 1: FNV-1a of its UTF-8 bytes in 32 bits, mixed as MurmurHash3 ends, modulo `buckets`. */
export function bucketOf(text: string, buckets: number): number {
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193)
  // The low bits of FNV-1a alone spread short texts badly.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) % buckets
}
