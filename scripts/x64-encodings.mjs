// Bytes of the instructions in test/kernels/x64/encodings.ts, by the system's assembler (GNU as and objcopy, of binutils):
// compares them with encodings.json; --write writes it anew. Needs a build (dist/).
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Room for one row: each begins at a multiple, so that its bytes are found without asking where it ends. */
const ROOM = 64
const END = 'ff'.repeat(4)

/** Bytes of each spelling, in hex; null where there is no `as`. */
export function assemble(spellings, symbols) {
  const dir = mkdtempSync(join(tmpdir(), 'x64-'))
  const at = name => join(dir, name)
  try {
    const definitions = symbols.map((value, i) => `.set n${i}, ${value}`)
    // The marker behind each row says where it ends; the rest of its room is zero.
    const lines = spellings.flatMap((spelling, i) => [
      spelling.replace(/ #.*/, ''),
      '.long -1',
      `.org ${ROOM * (i + 1)}`,
    ])
    writeFileSync(at('rows.s'), `.intel_syntax noprefix\n${[...lines, ...definitions].join('\n')}\n`)
    try {
      execFileSync('as', ['--64', '-o', at('rows.o'), at('rows.s')], { stdio: ['ignore', 'ignore', 'inherit'] })
    } catch (error) {
      if (error.code === 'ENOENT') return null
      throw error
    }
    execFileSync('objcopy', ['-O', 'binary', '-j', '.text', at('rows.o'), at('rows.bin')])
    const bytes = readFileSync(at('rows.bin'))
    return spellings.map((_, i) => {
      const hex = bytes.subarray(ROOM * i, ROOM * (i + 1)).toString('hex')
      return hex.slice(0, hex.replace(/(00)+$/, '').length - END.length)
    })
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const file = fileURLToPath(new URL('../test/kernels/x64/encodings.json', import.meta.url))

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { ROWS, SYMBOLS } = await import('../dist/test/kernels/x64/encodings.js')
  const spellings = ROWS.map(({ spelling }) => spelling)
  const bytes = assemble(spellings, SYMBOLS)
  if (!bytes) throw new Error('x64-encodings: there is no `as`; hint: apt-get install binutils')
  const table = Object.fromEntries(spellings.map((spelling, i) => [spelling, bytes[i]]))
  if (process.argv.includes('--write')) {
    writeFileSync(file, `${JSON.stringify(table, null, 2)}\n`)
    console.log(`${spellings.length} rows written to ${file}`)
  } else {
    const stored = JSON.parse(readFileSync(file, 'utf8'))
    const wrong = Object.keys({ ...stored, ...table }).filter(spelling => stored[spelling] !== table[spelling])
    for (const spelling of wrong) console.error(`${spelling}: ${stored[spelling]} stored, as makes ${table[spelling]}`)
    console.log(`${spellings.length} rows, ${wrong.length} differ`)
    process.exitCode = wrong.length > 0 ? 1 : 0
  }
}
