/**
 * Decoded pictures of a folder, kept in the user's cache folder: the next run of the same folder reads them instead of decoding again.
 * A picture is found by the digest of its file, so one that has changed is decoded; size, background and the versions of the decoder are
 * in the name of the cache's file. Main thread. A problem with the cache is not an error: then pictures are decoded.
 *
 * A file: MAGIC, the SHA-256 of the rest, the length of a JSON header (u32, little-endian), the header, pixels.
 */
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as z from 'zod'
import { writeAtomically } from '../files/atomic.js'
import { cacheFolder } from '../files/cache.js'
import { pictureVersions } from '../picture/sharp.js'
import type { PictureForm, PicturePixels } from './picture-pixels.js'

/** Changes with what is decoded from a file, and with the form of the cache. */
const MAGIC = 'gradloom pictures 1\n'
const DIGEST_BYTES = 32
const HEAD_BYTES = MAGIC.length + DIGEST_BYTES + 4
/** Fewer pictures are decoded about as fast as they are found. */
const LEAST_PICTURES = 100
/** Largest cache of a folder, and of all folders together: the ones that were not used for the longest time are deleted. */
const MOST_BYTES = 2 ** 30
const MOST_BYTES_IN_ALL = 4 * 2 ** 30

const header = z.array(
  z.object({
    digest: z.string(),
    height: z.int().min(1),
    width: z.int().min(1),
    isColoured: z.boolean(),
    isNeutral: z.boolean(),
    hasGrey: z.boolean(),
    hasColour: z.boolean(),
  }),
)

/** Digest by which a picture is found. */
export const contentDigest = (content: Uint8Array): string => createHash('sha256').update(content).digest('base64url')

export class PictureCache {
  /** null: nothing is kept. */
  readonly #file: string | null
  readonly #known: ReadonlyMap<string, PicturePixels>
  readonly #used = new Map<string, PicturePixels>()
  #added = 0

  private constructor(file: string | null, known: ReadonlyMap<string, PicturePixels>) {
    this.#file = file
    this.#known = known
  }

  /** The cache of a folder (absolute) of this many pictures. */
  static async open(folder: string, pictures: number, { size, background }: PictureForm): Promise<PictureCache> {
    if (pictures < LEAST_PICTURES) return new PictureCache(null, new Map())
    const facts = [MAGIC, folder, size, background, await pictureVersions()]
    const name = createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 32)
    const file = join(cacheFolder('pictures'), `${name}.bin`)
    return new PictureCache(file, await readCache(file))
  }

  get(digest: string): PicturePixels | undefined {
    const found = this.#known.get(digest)
    if (found) this.#used.set(digest, found)
    return found
  }

  add(digest: string, pixels: PicturePixels): void {
    this.#used.set(digest, pixels)
    this.#added++
  }

  /** Keeps the pictures that were asked for or added, and deletes what is too much. */
  async save(): Promise<void> {
    if (this.#file === null) return
    try {
      if (this.#added > 0 || this.#used.size < this.#known.size) await writeCache(this.#file, this.#used)
      else await utimes(this.#file, new Date(), new Date())
      await prune(dirname(this.#file))
    } catch {
      // A folder that cannot be written to, or a disk that is full: the next run decodes again.
    }
  }
}

/** Pixels of a cached file by digest; none if it is missing or damaged. The pixels are views of the file's content. */
async function readCache(file: string): Promise<ReadonlyMap<string, PicturePixels>> {
  const known = new Map<string, PicturePixels>()
  try {
    const content = await readFile(file)
    const start = content.subarray(0, MAGIC.length).toString('latin1')
    const rest = content.subarray(MAGIC.length + DIGEST_BYTES)
    const digest = content.subarray(MAGIC.length, MAGIC.length + DIGEST_BYTES)
    if (start !== MAGIC || !createHash('sha256').update(rest).digest().equals(digest)) return known
    let at = HEAD_BYTES + rest.readUInt32LE(0)
    const take = (length: number) => {
      at += length
      return content.subarray(at - length, at)
    }
    const entries = header.parse(JSON.parse(content.subarray(HEAD_BYTES, at).toString('utf8')))
    for (const { digest, hasGrey, hasColour, ...about } of entries) {
      const pixels = about.height * about.width
      const grey = hasGrey ? take(pixels) : null
      known.set(digest, { ...about, grey, colour: hasColour ? take(3 * pixels) : null })
    }
    return at === content.length ? known : new Map()
  } catch {
    return new Map()
  }
}

async function writeCache(file: string, pictures: ReadonlyMap<string, PicturePixels>): Promise<void> {
  const parts = [...pictures.values()].flatMap(({ grey, colour }) => [grey, colour].filter(part => part !== null))
  const bytes = parts.reduce((sum, part) => sum + part.length, 0)
  if (bytes > MOST_BYTES) return
  const entries: z.infer<typeof header> = [...pictures].map(([digest, { grey, colour, ...about }]) => ({
    ...{ digest, hasGrey: grey !== null, hasColour: colour !== null },
    ...about,
  }))
  const json = Buffer.from(JSON.stringify(entries))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(json.length)
  const hash = createHash('sha256').update(length).update(json)
  for (const part of parts) hash.update(part)
  await mkdir(dirname(file), { recursive: true })
  await writeAtomically(file, async handle => {
    for (const part of [Buffer.from(MAGIC, 'latin1'), hash.digest(), length, json]) await handle.write(part)
    await handle.write(Buffer.concat(parts))
  })
}

/** Deletes the files that were used least recently, until the rest is within the limit. */
async function prune(folder: string): Promise<void> {
  const files = (await readdir(folder)).filter(name => name.endsWith('.bin')).map(name => join(folder, name))
  const found = await Promise.all(files.map(async file => ({ file, ...(await facts(file)) })))
  let total = 0
  for (const { file, bytes } of found.sort((a, b) => b.usedMs - a.usedMs)) {
    total += bytes
    if (total > MOST_BYTES_IN_ALL) await rm(file, { force: true })
  }
}

async function facts(file: string): Promise<{ readonly bytes: number; readonly usedMs: number }> {
  const { size, mtimeMs } = await stat(file)
  return { bytes: size, usedMs: mtimeMs }
}
