/** One rule for every setting that is a path: in a file from the file's folder, on the command line from the current one. */
import { join } from 'node:path'
import t from 'tap'
import { fromCurrentFolder, PATH_SETTINGS } from '../../src/config/paths.js'
import { settings } from '../../src/config/settings.js'

t.test('every setting that is a path is in the list', async t => {
  const named = [...new Set(settings().map(({ path }) => path))].filter(path =>
    /(path|file|dir|folder|library)$/i.test(path),
  )
  t.strictSame(new Set(named), new Set(PATH_SETTINGS))
})

t.test('paths on the command line are relative to the current folder in every notation', async t => {
  const typed = (text: string) => fromCurrentFolder(text, '/here')
  for (const setting of PATH_SETTINGS) {
    const wanted = `${setting}=${JSON.stringify(join('/here', 'd/x'))}`
    t.equal(typed(`${setting}=d/x`), wanted, setting)
    t.equal(typed(`${setting}="d/x"`), wanted, `${setting}, quoted`)
    t.equal(typed(`${setting}=./d/x`), wanted, `${setting}, with a dot`)
    t.equal(typed(`${setting}=/d/x`), `${setting}="/d/x"`, `${setting}, absolute`)
    t.equal(typed(`${setting}=null`), `${setting}=null`, `${setting}, null`)
  }
  t.equal(
    typed('data={"dataset":"table","path":"a.csv","testPath":"b.csv"}'),
    'data={"dataset":"table","path":"/here/a.csv","testPath":"/here/b.csv"}',
  )
  for (const other of ['compute.library=libopenblas.so', 'seed=3', 'name=d/x', 'no.such=d/x', 'data.path']) {
    t.equal(typed(other), other)
  }
})
