#!/usr/bin/env bash
# numpy-parser reads an .npy file of text as numbers where its strings are two or four characters wide: the type '<U2' (unicode, four
# bytes a character) is compared in lower case with '<u2' (unsigned 16 bit). Four labels become sixteen numbers without an error;
# strings of another width are refused. The shape of every array of one dimension is given as (n, 1).
#
# numpy-parser 1.2.3; the file is one that numpy.save writes, byte for byte. npyjs 1.2.0 reads the labels as text.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --ignore-scripts numpy-parser@1.2.3 npyjs@1.2.0 >/dev/null
cat >read.mjs <<'JS'
import Npy from 'npyjs'
import { fromArrayBuffer } from 'numpy-parser'
// numpy.save of np.array(['ab', 'cd', 'ab', 'cd']): magic, version 1.0, header padded to 128 bytes, UTF-32 text
function save(labels) {
  const width = labels[0].length
  const header = `{'descr': '<U${width}', 'fortran_order': False, 'shape': (${labels.length},), }`.padEnd(117) + '\n'
  const file = Buffer.alloc(128 + labels.length * width * 4)
  file.write('\x93NUMPY\x01\x00', 0, 'latin1')
  file.writeUInt16LE(118, 8)
  file.write(header, 10, 'latin1')
  ;[...labels.join('')].forEach((character, i) => file.writeUInt32LE(character.codePointAt(0), 128 + 4 * i))
  return file.buffer.slice(file.byteOffset, file.byteOffset + file.length)
}
const outcome = read => {
  try {
    const { shape, data } = read()
    return `(${shape}) ${data.constructor.name} ${data.slice(0, 4).join(' ')}`
  } catch {
    return 'refused'
  }
}
for (const labels of [['ab', 'cd', 'ab', 'cd'], ['abc', 'def', 'abc', 'def']]) {
  console.log('npyjs:', outcome(() => new Npy().parse(save(labels))))
  console.log('numpy-parser:', outcome(() => fromArrayBuffer(save(labels))))
}
JS
seen=$(node read.mjs)
echo "$seen"
[ "$seen" = 'npyjs: (4) Array ab cd ab cd
numpy-parser: (4,1) Uint16Array 97 0 98 0
npyjs: (4) Array abc def abc def
numpy-parser: refused' ]
