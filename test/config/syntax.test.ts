/** Texts that are no JSON: each by its message, line, column and caret. */

import t from 'tap'
import { parseJson } from '../../src/config/syntax.js'
import { ConfigError } from '../../src/errors.js'
import fc from '../helpers/fast-check.js'

function messageFor(text: string): string {
  try {
    parseJson(text, 'f')
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'accepted'
}

const ESCAPES = 'expected only the escapes \\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with four hex digits'

t.test('syntax errors name the problem and its place', async t => {
  for (const [text, place, message] of [
    ['{\n  "a": 1,\n}', '2:9', "trailing comma, expected none before '}'; JSON allows no comma after the last entry"],
    ['[1, 2 , ]', '1:7', "trailing comma, expected none before ']'; JSON allows no comma after the last entry"],
    ['{"a": 1} // why', '1:10', 'found a comment, expected none; JSON has no comments'],
    ['{\n/* a\n */ "a": 1}', '2:1', 'found a comment, expected none; JSON has no comments'],
    ["{'a': 1}", '1:2', `found "'a'", expected text in double quotes ("...")`],
    ['{“a”: 1}', '1:2', `found '“a”', expected text in double quotes ("...")`],
    ['{a: 1}', '1:2', `found 'a', expected a key in double quotes: "a"`],
    ['{"a": relu}', '1:7', "found 'relu', expected a value; text goes in double quotes"],
    ['{"a" 1}', '1:6', "found '1', expected a colon after the key"],
    ['{"a": 1\n "b": 2}', '2:2', `found '"b"', expected a comma before it`],
    ['{"a": 1,, "b": 2}', '1:9', "found ',', expected a value before it"],
    ['{"a": }', '1:7', "found '}', expected a value"],
    ['{"a": 01}', '1:8', 'found a number with a leading zero, expected none; JSON has no octal numbers'],
    ['{"a": .5}', '1:7', "found '.5', expected a number that begins with a digit, or - and a digit"],
    ['{"a": +1}', '1:7', "found '+1', expected a number that begins with a digit, or - and a digit"],
    ['{"a": 1.}', '1:7', "found '1.', expected a number with digits after the point or the exponent"],
    ['{"a": NaN}', '1:7', "found 'NaN', expected a number that JSON has"],
    ['{"a": -Infinity}', '1:7', "found '-Infinity', expected a number that JSON has"],
    ['{"a": True}', '1:7', "found 'True', expected true"],
    ['{"a": None}', '1:7', "found 'None', expected null"],
    ['{"a": "b\n"}', '1:7', `found '"b', expected a double quote at the end of the text, on the same line`],
    ['{"a": "\\d"}', '1:7', `found '"\\\\d"', ${ESCAPES}`],
    ['{"a": "\\u12"}', '1:7', `found '"\\\\u12"', ${ESCAPES}`],
    ['{"a": "\t"}', '1:7', `found '"\\t"', expected control characters, tabs too, to be written as escapes`],
    ['{"a": 1', '1:8', 'the text ends, expected "}"'],
    ['[1', '1:3', 'the text ends, expected "]"'],
    ['{"a":', '1:6', 'the text ends, expected a value'],
    ['{"a": 1}}', '1:9', "found '}', expected nothing after the end of the object"],
    ['{} {}', '1:4', "found '{', expected nothing after the end of the object"],
  ] as const) {
    t.equal(messageFor(text).split('\n')[0], `f:${place}: ${message}`)
  }
})

t.test('the excerpt has a caret under the place', async t => {
  t.equal(messageFor('{\r\n  "a": 1,\r\n}').split('\n').slice(1).join('\n'), '2 |   "a": 1,\n            ^')
  t.equal(messageFor('{\n\t"a":\t.5\n}').split('\n').slice(1).join('\n'), '2 | \t"a":\t.5\n    \t    \t^')
  t.equal(messageFor('{"a": \0}').split('\n')[1], '1 | {"a": \u00b7}', 'no control characters on the terminal')
  const [, line, caret] = messageFor(`{"a": "${'x'.repeat(500)}", b: "${'y'.repeat(500)}"}`).split('\n')
  t.equal(line.length, 'n | '.length + 100, 'a long line is cut')
  t.equal(line[caret.indexOf('^')], 'b')
})

t.test('line numbers of keys, of entries, and of missing keys', async t => {
  const { lineOf } = parseJson('{\n"a": {\n"b": [\n1,\n2\n]\n}\n}', 'f')
  t.equal(lineOf(['a']), 2)
  t.equal(lineOf(['a', 'b']), 3)
  t.equal(lineOf(['a', 'b', 1]), 5)
  t.equal(lineOf(['a', 'c', 'd']), 2)
  t.equal(lineOf(['z']), null)
})

t.test('accepts what JSON.parse accepts and refuses what it refuses, with a place', async t => {
  const slips = fc.constantFrom(',', '}', '"', "'", '0', '.', '-', 'e', '//', '\\', '\n', '\t', '\u00a0', '\u2028', 'x')
  const mangled = fc
    .tuple(fc.json({ maxDepth: 3 }), fc.nat(60), fc.nat(2), slips)
    .map(([text, at, cut, slip]) => text.slice(0, at) + slip + text.slice(at + cut))
  let refused = 0
  fc.assert(
    fc.property(fc.oneof(fc.json(), mangled, fc.string()), text => {
      const message = messageFor(text)
      try {
        JSON.parse(text)
      } catch {
        refused++
        return text.trim() === '' || /^f:\d+:\d+: .*\n\d+ \| .*\n +\s*\^$/su.test(message)
      }
      return message === 'accepted'
    }),
    { numRuns: 3000 },
  )
  t.ok(refused > 300, 'enough were refused')
})
