/** Removes compiled files from dist/ whose source is gone, so that a file that moved leaves no old test or module behind. */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

for (const folder of ['src', 'test', 'bench']) {
  const compiled = join('dist', folder)
  if (!existsSync(compiled)) continue
  for (const path of readdirSync(compiled, { recursive: true })) {
    const source = join(folder, path).replace(/(\.js|\.d\.ts)(\.map)?$/, '.ts')
    if (source.endsWith('.ts') && !existsSync(source)) rmSync(join(compiled, path))
  }
}
