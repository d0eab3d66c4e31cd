/**
 * Draws small pictures of circles, squares and triangles in any colour, at any place, into a folder of folders: an example for
 * `data.dataset` "images", see docs/data.md. The same pictures every time.
 *
 *   node scripts/draw-shapes.mjs FOLDER [--each 200]
 *
 * Exit code 1 if the folder is there already.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import sharp from 'sharp'

const SIDE = 32
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { each: { type: 'string', default: '200' } },
})
const [folder] = positionals
if (folder === undefined) fail('FOLDER is missing; usage: node scripts/draw-shapes.mjs FOLDER [--each 200]')
if (existsSync(folder)) fail(`${folder}: is there already, expected a new folder`)

/** Park and Miller 1988. */
let state = 7
function random(from, to) {
  state = (state * 48271) % 2147483647
  return from + (to - from) * (state / 2147483647)
}
const colour = (from, to) =>
  `hsl(${random(0, 360).toFixed()} ${random(30, 100).toFixed()}% ${random(from, to).toFixed()}%)`

const SHAPES = {
  circle: (x, y, r) => `<circle cx="${x}" cy="${y}" r="${r}"/>`,
  square: (x, y, r) => `<rect x="${x - 0.88 * r}" y="${y - 0.88 * r}" width="${1.76 * r}" height="${1.76 * r}"/>`,
  triangle: (x, y, r) => `<path d="M${x} ${y - 1.2 * r} l${1.17 * r} ${2 * r} h${-2.34 * r} z"/>`,
}

for (const [name, draw] of Object.entries(SHAPES)) {
  mkdirSync(join(folder, name), { recursive: true })
  for (let i = 0; i < Number(values.each); i++) {
    const r = random(5, 9)
    const [x, y] = [random(r + 3, SIDE - r - 3), random(r + 3, SIDE - r - 3)]
    const turn = `rotate(${random(-20, 20)} ${x} ${y})`
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${SIDE}" height="${SIDE}">
      <rect width="100%" height="100%" fill="${colour(5, 40)}"/>
      <g transform="${turn}" fill="${colour(50, 90)}">${draw(x, y, r)}</g>
    </svg>`
    await sharp(Buffer.from(svg))
      .png()
      .toFile(join(folder, name, `${name}-${i}.png`))
  }
}
process.stdout.write(`${folder}: ${Number(values.each)} pictures each of ${Object.keys(SHAPES).join(', ')}\n`)

function fail(message) {
  process.stderr.write(`draw-shapes: ${message}\n`)
  process.exit(1)
}
