/**
 * The published types compile for a user of TypeScript: strict, declarations checked, found through the package's `exports`. An
 * export that is taken away breaks the consumer; one that is added must be named in it.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const CONSUMER = 'test/types/consumer.ts.txt'

t.test('a program that uses all exports compiles, and fails to compile without one of them', async t => {
  const dir = t.testdir({ 'package.json': '{ "type": "module" }' })
  mkdirSync(join(dir, 'node_modules'))
  symlinkSync(resolve('.'), join(dir, 'node_modules/gradloom'), 'junction')
  const compilerOptions = {
    ...{ target: 'es2023', lib: ['es2023', 'dom', 'esnext.disposable'], module: 'nodenext', strict: true },
    ...{ skipLibCheck: false, noEmit: true },
    ...{ types: ['node'], typeRoots: [resolve('node_modules/@types')] },
  }
  writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }))
  // The compiler itself: its script does not run under tap's loader.
  const finder = pathToFileURL(resolve('node_modules/typescript/lib/getExePath.js')).href
  const { default: compiler } = (await import(finder)) as { default: () => string }
  const compile = async (text: string) => {
    writeFileSync(join(dir, 'consumer.ts'), text)
    return promisify(execFile)(compiler(), ['-p', dir]).then(
      ({ stdout }) => ({ code: 0, text: stdout }),
      ({ code, stdout, stderr }) => ({ code, text: `${stdout}${stderr}` }),
    )
  }
  const consumer = readFileSync(CONSUMER, 'utf8')
  t.same(await compile(consumer), { code: 0, text: '' })
  const { code, text } = await compile(consumer.replaceAll('WorkerError', 'NoSuchError'))
  t.not(code, 0)
  t.match(text, /no exported member '?NoSuchError/)
})

t.test('that program uses every export', async t => {
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

t.test('packages named in the declarations are dependencies, and the declaration files are in the package', async t => {
  const { dependencies, files, exports, types } = JSON.parse(readFileSync('package.json', 'utf8'))
  t.ok(dependencies['@types/ndarray'], 'ndarray is part of the public types')
  t.ok(files.includes('dist/src'))
  t.equal(exports['.'].types, types)
  t.equal(exports['./package.json'], './package.json')
})
