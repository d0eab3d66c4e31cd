/** A pipe in the place of a file of data, weights or a picture is refused: opening it would wait for a writer that never comes. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openDataset } from '../../src/data/dataset.js'
import { isPictureFile } from '../../src/data/picture-files.js'
import { readForeign } from '../../src/import/read.js'
import { readBytes } from '../../src/picture/picture.js'
import { dataConfig } from '../helpers/data-config.js'

const skip = process.platform === 'win32' && 'no mkfifo'

t.test('pipes are refused by whatever reads files', { skip }, async t => {
  const dir = t.testdir({})
  const pipe = (...names: string[]) => {
    const path = join(dir, ...names)
    execFileSync('mkfifo', [path])
    return path
  }
  const message = /not a regular file|expected a regular file/
  const open = (dataset: 'npz' | 'idx' | 'images', path: string) =>
    openDataset(dataConfig({ dataset, path }), { baseDir: dir })
  const archive = pipe('a.npz')
  await t.rejects(open('npz', archive), { name: 'DataError', message })
  mkdirSync(join(dir, 'arrays'))
  pipe('arrays', 'x_train.npy')
  await t.rejects(open('npz', join(dir, 'arrays')), { name: 'DataError', message })
  mkdirSync(join(dir, 'idx'))
  for (const name of ['train-labels-idx1-ubyte', 't10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte']) {
    writeFileSync(join(dir, 'idx', name), '')
  }
  pipe('idx', 'train-images-idx3-ubyte')
  await t.rejects(open('idx', join(dir, 'idx')), { name: 'DataError', message })
  await t.rejects(open('images', archive), { name: 'DataError' })
  await t.rejects(readForeign(archive, 1e6), { name: 'DataError', message })
  await t.rejects(readBytes(archive), { message })
  t.equal(await isPictureFile(archive), false)
})
