/**
 * The library that decodes pictures, loaded when the first one is read: training on anything else never loads it. It is an optional
 * dependency, because its binaries are made for each system. Any thread.
 */
import { PictureError, reasonOf } from './raster.js'

export type Sharp = typeof import('sharp')['default']

/** `where` begins the message of a PictureError, where sharp is not installed or has no binary for this system. */
export async function loadSharp(where: string): Promise<Sharp> {
  try {
    return (await import('sharp')).default
  } catch (cause) {
    throw new PictureError(
      `${where}: pictures are decoded by the npm package sharp, which cannot be loaded here: ${reasonOf(cause).split('\n')[0]}`,
      { hint: 'npm install --include=optional sharp', cause },
    )
  }
}

/** Versions of sharp and libvips, by name, which may decide the last bit of a resized pixel; null where sharp is missing. */
export async function pictureVersions(): Promise<Readonly<Record<string, string>> | null> {
  try {
    const { versions } = await loadSharp('pictures')
    return { sharp: versions.sharp ?? 'unknown', libvips: versions.vips }
  } catch {
    return null
  }
}
