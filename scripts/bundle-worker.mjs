/**
 * Bundles the code of worker threads to dist/src/worker/bundle/: each thread of a run loads it anew, and half of that time went
 * into finding and parsing some seventy small files. What a worker loads only if it needs it (a backend, a library) stays in a
 * file of its own. Runs after tsc, on its output.
 */
import { readFile, rm } from 'node:fs/promises'
import { dirname, relative, resolve } from 'node:path'
import { build } from 'esbuild'

const outdir = resolve('dist/src/worker/bundle')
await rm(outdir, { recursive: true, force: true })

/** Keeps `import.meta.url` what it was before: the place of each module's own file, beside which it finds others. */
const ownPlaces = {
  name: 'own-places',
  setup({ onLoad }) {
    onLoad({ filter: /dist[\\/]src[\\/].*\.js$/ }, async ({ path }) => {
      const code = await readFile(path, 'utf8')
      const place = relative(outdir, path).replaceAll('\\', '/')
      const contents = code.replaceAll('import.meta.url', `new URL(${JSON.stringify(place)}, import.meta.url).href`)
      return { contents, loader: 'js', resolveDir: dirname(path) }
    })
  },
}

await build({
  entryPoints: ['dist/src/worker/threads/main.js'],
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // A native addon, which finds its binary beside itself.
  external: ['koffi'],
  legalComments: 'inline',
  plugins: [ownPlaces],
  logLevel: 'warning',
})
