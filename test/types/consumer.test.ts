/**
 * The published types compile for a user of TypeScript: strict, declarations checked, found through the package's `exports`. An
 * export that is taken away breaks the consumer; one that is added must be named in it.
 */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const CONSUMER = 'test/types/consumer.ts.txt'

t.test('a consumer of all exports compiles', async t => {
  const dir = t.testdir({ 'package.json': '{ "type": "module" }' })
  mkdirSync(join(dir, 'node_modules'))
  symlinkSync(resolve('.'), join(dir, 'node_modules/gradloom'), 'junction')
  cpSync(CONSUMER, join(dir, 'consumer.ts'))
  const compilerOptions = {
    ...{ target: 'es2023', lib: ['es2023', 'dom', 'esnext.disposable'], module: 'nodenext', strict: true },
    ...{ exactOptionalPropertyTypes: true, skipLibCheck: false, noEmit: true },
    ...{ types: ['node'], typeRoots: [resolve('node_modules/@types')] },
  }
  writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }))
  const tsc = resolve('node_modules/typescript/bin/tsc')
  const found = await promisify(execFile)(process.execPath, [tsc, '-p', dir]).catch(
    (error: { stdout: string }) => error,
  )
  t.equal(found.stdout, '')
})

t.test('the consumer names every export', async t => {
  const consumer = readFileSync(CONSUMER, 'utf8')
  const lists = [...readFileSync('src/index.ts', 'utf8').matchAll(/export (?:type )?\{([^}]*)\}/g)].map(
    ([, list]) => list,
  )
  const names = lists
    .flatMap(list => list.split(','))
    .map(name => name.replace(/\btype\b/, '').trim())
    .filter(Boolean)
  t.ok(names.length > 60, `${names.length} exports`)
  t.same(
    names.filter(name => !new RegExp(`\\b${name}\\b`).test(consumer)),
    [],
  )
})

t.test('types that the declarations mention are dependencies, and the files are in the package', async t => {
  const { dependencies, files, exports, types } = JSON.parse(readFileSync('package.json', 'utf8'))
  t.ok(dependencies['@types/ndarray'], 'ndarray is part of the public types')
  t.ok(files.includes('dist/src'))
  t.equal(exports['.'].types, types)
  t.equal(exports['./package.json'], './package.json')
})
