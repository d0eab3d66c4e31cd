/**
 * Bundles what is loaded often, from tsc's output, because finding and parsing many small files takes longer than running them:
 *
 * - dist/src/worker/bundle/: the code of worker threads, which each thread of a run loads anew;
 * - dist/src/inference/bundle/: that of threads that predict the rows of a table;
 * - dist/src/cli/bundle/: the program, with the packages that every command needs; dist/src/cli/main.js then only imports it.
 *
 * What a process loads only if it needs it (a command, a backend, a library) stays in a file of its own. Runs after tsc.
 */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { build } from 'esbuild'

/**
 * Packages that are bundled into the program: pure JavaScript, which finds no file beside itself. All others are loaded from
 * node_modules: native addons, packages with files or threads of their own, and the server, which few commands need.
 */
const BUNDLED = new Set([
  'cli-progress',
  'comlink',
  'env-paths',
  'fflate',
  'hyparquet',
  'jsonc-parser',
  'ndarray',
  'ndarray-ops',
  'yargs',
  'zod',
])

const { dependencies, optionalDependencies } = JSON.parse(await readFile('package.json', 'utf8'))
const external = Object.keys({ ...dependencies, ...optionalDependencies }).filter(name => !BUNDLED.has(name))

/** Keeps `import.meta.url` what it was before: the place of each module's own file, beside which it finds others. */
function ownPlaces(outdir) {
  return {
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
}

/** Leaves out the messages of zod in other languages than English: half of its code, and the program's messages are its own. */
const englishAlone = {
  name: 'english-alone',
  setup({ onLoad }) {
    onLoad({ filter: /zod[\\/]v4[\\/]locales[\\/][^\\/]+\.js$/ }, ({ path }) =>
      /[\\/](en|index)\.js$/.test(path) ? undefined : { contents: 'export default () => ({})' },
    )
  },
}

/** Puts the expression for emoji off until a width is measured: to make it takes 20 ms, and few commands measure a text. */
const lateEmoji = {
  name: 'late-emoji',
  setup({ onLoad, onEnd }) {
    let found = false
    onLoad({ filter: /node_modules[\\/]string-width[\\/]index\.js$/ }, async ({ path }) => {
      const code = await readFile(path, 'utf8')
      const contents = code.replace(/= (\/\^\\p\{RGI_Emoji\}\$\/v);/, (_, expression) => {
        found = true
        return `= { made: null, test(text) { return (this.made ??= ${expression}).test(text) } };`
      })
      return { contents }
    })
    onEnd(() => {
      if (!found) throw new Error('string-width has no expression for emoji as it is known here')
    })
  },
}

/** Bundles `entry` and what it imports into `outdir`, which is emptied first. Returns esbuild's account of inputs and outputs. */
async function bundle(entry, outdir, { plugins = [], ...options }) {
  await rm(outdir, { recursive: true, force: true })
  const { metafile } = await build({
    entryPoints: [entry],
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    mainFields: ['module', 'main'],
    target: 'node20',
    minifyWhitespace: true,
    legalComments: 'inline',
    plugins: [ownPlaces(outdir), englishAlone, ...plugins],
    logLevel: 'warning',
    metafile: true,
    // Node.js then knows without a look at package.json, at each of a thousand imports, that they are modules.
    outExtension: { '.js': '.mjs' },
    ...options,
  })
  return metafile
}

/** Writes the licences of the packages in a bundle beside it, as most of them ask for. */
async function writeLicences(metafile, outdir) {
  const folders = Object.keys(metafile.inputs).map(path => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0])
  const texts = []
  for (const folder of [...new Set(folders.filter(Boolean))].sort()) {
    const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
    const file = (await readdir(folder)).find(entry => /^licen[cs]e/i.test(entry))
    const text = file === undefined ? '' : await readFile(join(folder, file), 'utf8')
    texts.push(`${name} ${version} (${license})\n\n${text.trim()}\n`)
  }
  await writeFile(join(outdir, 'LICENSES.txt'), texts.join(`\n${'-'.repeat(80)}\n\n`))
}

await bundle('dist/src/worker/threads/main.js', resolve('dist/src/worker/bundle'), { external: ['koffi'] })
const rows = resolve('dist/src/inference/bundle')
await writeLicences(await bundle('dist/src/inference/table/lines-thread.js', rows, { external: ['koffi'] }), rows)

const program = resolve('dist/src/cli/bundle')
const metafile = await bundle('dist/src/cli/run.js', program, {
  external,
  plugins: [lateEmoji],
  // CommonJS packages load Node's own modules by `require`, which a module does not have. Packages for widths of text make a segmenter
  // when they are loaded: 30 ms, where only help and drawings need one.
  define: { 'Intl.Segmenter': 'LateSegmenter' },
  inject: ['scripts/late-segmenter.mjs'],
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
})
await writeLicences(metafile, program)
const main = 'dist/src/cli/main.js'
await writeFile(main, (await readFile(main, 'utf8')).replace("'./run.js'", "'./bundle/run.mjs'"))
