/** Folders of pictures: what systems leave in them, other formats, sizes, and that all is read in the same order. */
import { createHash } from 'node:crypto'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import t from 'tap'
import { openDataset } from '../../src/data/dataset.js'
import type { DataConfig } from '../../src/data/source.js'
import { encodePng } from '../../src/picture/png.js'
import { dataConfig } from '../helpers/data-config.js'
import { writeFolder } from '../helpers/write-folder.js'
import { OTHERS } from '../picture/odd-files.js'

const dir = t.testdir()
let folders = 0

const png = (grey: number, width = 2, height = 2): Uint8Array =>
  encodePng(width, height, new Uint8Array(width * height * 3).fill(grey))

type Files = Readonly<Record<string, Uint8Array>>

const writeFiles = (files: Files): string => writeFolder(join(dir, String(folders++)), files)

const open = (path: string, more: Partial<DataConfig> = {}) =>
  openDataset(dataConfig({ dataset: 'images', path, ...more }), { baseDir: '/' })

async function trainRows(path: string, more: Partial<DataConfig> = {}) {
  const source = await open(path, more)
  const { height, width } = source
  const features = new Uint8Array(source.train.rows * height * width)
  const labels = new Int32Array(source.train.rows)
  const { files } = await source.load('train', features, labels)
  return {
    source,
    labels: [...labels],
    md5: files[0].md5,
    levels: [...features].filter((_, i) => i % (height * width) === 0),
  }
}

/** Five pictures of each of two classes. */
const TWO: Files = Object.fromEntries(
  ['a', 'b'].flatMap((name, c) => Array.from({ length: 5 }, (_, i) => [`${name}/${i}.png`, png(100 * c + i)])),
)

t.test('hidden files of systems and editors are neither classes nor pictures', async t => {
  const clean = await trainRows(writeFiles(TWO))
  t.same(clean.source.warnings, [])
  const cluttered = await trainRows(
    writeFiles({
      ...TWO,
      '.ipynb_checkpoints/0-checkpoint.png': png(7),
      'a/.ipynb_checkpoints/0-checkpoint.png': png(7),
      '__MACOSX/a/._0.png': Buffer.from('0005160700020000', 'hex'),
      'a/._0.png': Buffer.from('0005160700020000', 'hex'),
      'b/.DS_Store': Buffer.from('Bud1'),
      '.DS_Store': Buffer.from('Bud1'),
      'b/Thumbs.db': Buffer.from('x'),
      'a/desktop.ini': Buffer.from('x'),
      '@eaDir/x.png': png(3),
    }),
  )
  t.same(cluttered.source.classNames, ['a', 'b'])
  t.same(cluttered.source.warnings, [])
  t.same([cluttered.levels, cluttered.labels, cluttered.md5], [clean.levels, clean.labels, clean.md5])
})

t.test('files that are not read are named and counted', async t => {
  const path = writeFiles({
    ...TWO,
    'a/x.bmp': OTHERS.bmp,
    'a/y.BMP': OTHERS.bmp,
    'b/notes.txt': Buffer.from('x'),
    'b/LICENSE': Buffer.from('x'),
    'readme.md': Buffer.from('x'),
    'b/more/1.png': png(1),
  })
  const { source } = await trainRows(path)
  t.equal(source.train.rows + source.test.rows, 10)
  t.same(source.warnings, [
    `${path}: ignored files that are not pictures gradloom reads: 1 .md (readme.md); 2 .bmp (a/x.bmp, …); ` +
      '1 nested in a class folder (b/more); 1 without an ending (b/LICENSE); 1 .txt (b/notes.txt)',
  ])
})

t.test('folders beside train and test are named; other names of splits are explained', async t => {
  const parts = (names: readonly string[]): Files =>
    Object.fromEntries(names.flatMap(part => Object.entries(TWO).map(([name, bytes]) => [`${part}/${name}`, bytes])))
  const path = writeFiles(parts(['train', 'val', 'test']))
  const { source } = await trainRows(path)
  t.same([source.train.rows, source.test.rows], [10, 10])
  t.match(source.warnings, [`${path}: ignored beside train and test: val; the validation split is a part of train`])
  for (const names of [
    ['train', 'val'],
    ['Train', 'Test'],
  ]) {
    await t.rejects(open(writeFiles(parts(names))), {
      name: 'DataError',
      hint: /^splits are two folders called train and test; .* data\.testPath/,
    })
  }
})

t.test('a class without a readable picture is an error, in the training and the test part', async t => {
  for (const [name, files, message] of [
    [
      'other formats',
      { ...TWO, 'c/1.bmp': OTHERS.bmp, 'c/2.bmp': OTHERS.bmp },
      /c: the class has no picture .*it has 2 other files/,
    ],
    ['deeper', { ...TWO, 'c/d/1.png': png(1) }, /c: the class has no picture .*it has 1 folder/],
    ['hidden', { ...TWO, 'c/.1.png': png(1) }, /c: the class has no picture .*it has nothing/],
    ['test', { 'train/a/1.png': png(1), 'train/b/1.png': png(2), 'test/a/1.bmp': OTHERS.bmp }, /test\/a: the class/],
    ['no folders', { '1.png': png(1) }, /has no pictures, expected PNG, .* files in one folder per class/],
  ] as const)
    await t.rejects(open(writeFiles(files)), { name: 'DataError', message }, name)
})

t.test('formats are recognised by content, not by name; damage is an error that names the file', async t => {
  const grey = sharp(Buffer.alloc(12, 90), { raw: { width: 2, height: 2, channels: 3 } })
  const files = {
    'a/1.png': png(90),
    'a/2.jpg': await grey.clone().webp({ lossless: true }).toBuffer(), // another format than its name
    'a/3': png(90), // no ending
    'b/1.TIFF': await grey.clone().tiff().toBuffer(),
    'b/2.gif': await grey.clone().gif().toBuffer(),
    'b/3.jfif': await grey.clone().jpeg({ quality: 100 }).toBuffer(),
    'b/4.webp': await grey.clone().webp({ lossless: true }).toBuffer(),
  }
  const { levels, source } = await trainRows(writeFiles(files))
  t.ok(
    levels.every(level => Math.abs(level - 90) <= 2),
    String(levels),
  )
  t.equal(source.train.rows + source.test.rows, 7)
  for (const [name, bytes] of [
    ['b/damaged.png', png(1).subarray(0, 50)],
    ['b/html.jpg', Buffer.from('<!DOCTYPE html>')],
    ['b/bmp.png', OTHERS.bmp],
    ['b/empty.png', Buffer.alloc(0)],
  ] as const) {
    await t.rejects(open(writeFiles({ ...files, [name]: bytes })), { name: 'PictureError', message: name }, name)
  }
})

t.test('a link to a folder is a class', async t => {
  const path = writeFiles(TWO)
  symlinkSync(join(path, 'b'), join(path, 'c'))
  t.same((await open(path)).classNames, ['a', 'b', 'c'])
})

t.test('pictures of the test part have the size of the training pictures, or are resized to it', async t => {
  const files = { 'train/a/1.png': png(1), 'train/b/1.png': png(2), 'test/a/1.png': png(3, 4, 3) }
  await t.rejects(open(writeFiles(files)), {
    message: /test\/a\/1\.png: picture is 4 x 3, expected 2 x 2 as the training/,
  })
  t.match(await open(writeFiles(files), { imageSize: [3, 3] }), { height: 3, width: 3, test: { rows: 1 } })
})

t.test('grey pictures keep their bits: those of versions that knew no colour', async t => {
  const noise = (i: number) => Math.imul(i + 1, 2_654_435_761) >>> 24
  const glass = (i: number) =>
    sharp(
      Uint8Array.from({ length: 24 * 24 * 4 }, (_, k) => noise(600 * i + (k >> 2)) >> (k % 4 === 3 ? i % 2 : 0)),
      { raw: { width: 24, height: 24, channels: 4 } },
    )
  const files: Record<string, Uint8Array> = {}
  for (let i = 0; i < 20; i++) {
    const file = `${i % 2 ? 'a' : 'b'}/${String(i).padStart(2, '0')}.png`
    files[file] = await (i % 3 === 0 ? glass(i) : glass(i).removeAlpha()).png().toBuffer()
  }
  const path = writeFiles(files)
  const digestOf = async (imageSize: number[] | null) => {
    const { source } = await trainRows(path, { imageSize })
    const features = new Uint8Array(source.train.rows * source.height * source.width)
    await source.load('train', features, new Int32Array(source.train.rows))
    return createHash('sha256').update(features).digest('hex').slice(0, 16)
  }
  t.same([await digestOf(null), await digestOf([40, 50])], ['b83ebc504c5ef8ed', '36e30aa7c1f6afed'])
})
