/** PNG files that commands write. Main thread. */
import { inspect } from 'node:util'
import { ConfigError } from '../errors.js'

/** Checks the name before the work starts. */
export function checkOut(command: string, out: string): void {
  if (/\.png$/i.test(out)) return
  throw new ConfigError(`gradloom ${command}: --out is ${inspect(out)}, expected a name that ends in .png`)
}

export async function savePicture(
  out: string,
  { width, height, rgb }: { readonly width: number; readonly height: number; readonly rgb: Uint8Array },
): Promise<void> {
  const [{ encodePng }, { writeAtomically }] = await Promise.all([
    import('../picture/png.js'),
    import('../files/atomic.js'),
  ])
  const bytes = encodePng(width, height, rgb)
  try {
    await writeAtomically(out, handle => handle.writeFile(bytes))
  } catch (cause) {
    throw new ConfigError(`--out ${out}: cannot be written: ${(cause as Error).message}`, { cause })
  }
}
