/**
 * Static files of the pages: a fixed list, read when the server starts and kept in memory, so that no URL can reach another
 * file. All are part of this package, or of uPlot's. Server's thread.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

export interface Asset {
  readonly type: string
  readonly body: Buffer
  readonly etag: string
}

const HTML = 'text/html; charset=utf-8'
const CSS = 'text/css; charset=utf-8'
const SCRIPT = 'text/javascript; charset=utf-8'
const SVG = 'image/svg+xml'

/** Location of HTML and CSS, which lie beside the sources; relative to dist/src/serve. */
const page = (name: string): URL => new URL(`../../../src/serve/pages/${name}`, import.meta.url)
const compiled = (name: string): URL => new URL(`../${name}`, import.meta.url)
const ofUplot = (name: string): URL => new URL(name, import.meta.resolve('uplot'))

const PAGE_SCRIPTS = [
  ...['answer', 'board', 'charts', 'curves', 'dom', 'draw', 'fields', 'form', 'heatmap', 'photo', 'pick-run'],
  ...['run-card', 'slider', 'watch'],
]

/** Paths as in dist/src, so that imports between them resolve. */
const SCRIPTS = [
  ...PAGE_SCRIPTS.map(name => `serve/pages/${name}.js`),
  ...['format.js', 'picture/colours.js', 'picture/mosaic.js'],
]

const FILES: readonly (readonly [address: string, type: string, file: URL])[] = [
  ['/draw', HTML, page('draw.html')],
  ['/form', HTML, page('form.html')],
  ['/watch', HTML, page('watch.html')],
  ['/assets/style.css', CSS, page('style.css')],
  ['/assets/icon.svg', SVG, page('icon.svg')],
  ...SCRIPTS.map(name => [`/assets/${name}`, SCRIPT, compiled(name)] as const),
  ['/assets/serve/pages/uplot.js', SCRIPT, ofUplot('./uPlot.esm.js')],
  ['/assets/uplot.css', CSS, ofUplot('./uPlot.min.css')],
]

export async function loadAssets(): Promise<ReadonlyMap<string, Asset>> {
  const assets = await Promise.all(
    FILES.map(async ([address, type, file]) => {
      const body = await readFile(fileURLToPath(file))
      const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
      return [address, { type, body, etag }] as const
    }),
  )
  return new Map(assets)
}
