/**
 * Parses JSON text. Messages show the place of a syntax error; the line of every key is kept for
 * later messages. Runs on the main thread.
 */
import { findNodeAtLocation, type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser'
import { ConfigError } from '../errors.js'
import { type PlacedProblem, show } from './problems.js'

/** A parsed JSON text. */
export interface JsonText {
  readonly value: unknown
  /** Keys that an object has twice: JSON.parse would silently keep the last. */
  readonly duplicates: readonly PlacedProblem[]
  /** Line, from 1, of the deepest node on the way to `path` that the text has. */
  lineOf(path: readonly PropertyKey[]): number | null
}

/** Parses strict JSON; throws a ConfigError with line, column and an excerpt. */
export function parseJson(text: string, where: string): JsonText {
  if (text.trim() === '') throw new ConfigError(`${where}: the file is empty, expected a JSON object`)
  const errors: ParseError[] = []
  try {
    const root = parseTree(text, errors, { disallowComments: true, allowTrailingComma: false })
    if (errors.length > 0) throw syntaxError(text, where, errors)
    return {
      value: JSON.parse(text),
      duplicates: duplicateKeys(root, []).map(({ keys, offset }) => {
        const message = `key ${JSON.stringify(keys.join('.'))} is there twice, expected once`
        return { keys, line: positionOf(text, offset).line, override: null, message }
      }),
      lineOf: path => lineOf(text, root, path),
    }
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    // Recursion overflows the stack some thousand levels down.
    if (cause instanceof RangeError) {
      throw new ConfigError(`${where}: values are nested too deep, expected an experiment`, { cause })
    }
    throw new ConfigError(`${where}: ${(cause as Error).message}, expected JSON`, { cause })
  }
}

function lineOf(text: string, root: Node | undefined, path: readonly PropertyKey[]): number | null {
  for (let depth = path.length; root && depth > 0; depth--) {
    const node = findNodeAtLocation(
      root,
      path.slice(0, depth).map(key => (typeof key === 'number' ? key : String(key))),
    )
    // The key, not the value: an editor should jump there.
    if (node) return positionOf(text, (node.parent?.type === 'property' ? node.parent : node).offset).line
  }
  return null
}

function duplicateKeys(
  node: Node | undefined,
  path: readonly PropertyKey[],
): { keys: PropertyKey[]; offset: number }[] {
  const found: { keys: PropertyKey[]; offset: number }[] = []
  const seen = new Set<PropertyKey>()
  for (const [i, child] of (node?.children ?? []).entries()) {
    const [key, value] = child.type === 'property' ? (child.children ?? []) : [undefined, child]
    const keys = [...path, key ? String(key.value) : i]
    if (key && seen.has(key.value)) found.push({ keys, offset: key.offset })
    seen.add(key ? key.value : i)
    found.push(...duplicateKeys(value, keys))
  }
  return found
}

function syntaxError(text: string, where: string, errors: readonly ParseError[]): ConfigError {
  const first = errors.reduce((a, b) => (b.offset < a.offset ? b : a))
  const { offset, message } = explain(text, first)
  const { line, column } = positionOf(text, offset)
  return new ConfigError(`${where}:${line}:${column}: ${message}\n${excerpt(text, offset)}`)
}

/** Message of a syntax error, and the offset to point at. */
function explain(text: string, error: ParseError): { offset: number; message: string } {
  const { offset } = error
  const token = text.slice(offset, offset + error.length)
  const got = token === '' ? 'the text ends' : `found ${show(token)}`
  const before = text.slice(0, offset).trimEnd()
  const at = (message: string) => ({ offset, message })
  switch (printParseErrorCode(error.error)) {
    case 'PropertyNameExpected':
    case 'ValueExpected':
      if (before.endsWith(',') && (token === '}' || token === ']')) {
        const message = `trailing comma, expected none before ${show(token)}; JSON allows no comma after the last entry`
        return { offset: before.length - 1, message }
      }
      if (token === ',') return at("found ',', expected a value before it")
      return at(`${got}, expected ${token === '' || !before.endsWith('{') ? 'a value' : 'a key in double quotes'}`)
    case 'InvalidCommentToken':
      return at('found a comment, expected none; JSON has no comments')
    case 'InvalidSymbol':
      return at(symbolMessage(wordAt(text, offset) || token, text.slice(offset + error.length)))
    case 'CommaExpected':
      if (before.length === offset && before.endsWith('0')) {
        return at('found a number with a leading zero, expected none; JSON has no octal numbers')
      }
      return at(`${got}, expected a comma before it`)
    case 'ColonExpected':
      return at(`${got}, expected a colon after the key`)
    case 'CloseBraceExpected':
      return at(`${got}, expected "}"`)
    case 'CloseBracketExpected':
      return at(`${got}, expected "]"`)
    case 'EndOfFileExpected':
      return at(`${got}, expected nothing after the end of the object`)
    case 'UnexpectedEndOfString':
      return at(`${got}, expected a double quote at the end of the text, on the same line`)
    case 'UnexpectedEndOfNumber':
      return at(`${got}, expected a number with digits after the point or the exponent`)
    case 'InvalidUnicode':
    case 'InvalidEscapeCharacter':
      return at(`${got}, expected only the escapes \\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with four hex digits`)
    case 'InvalidCharacter':
      return at(`${got}, expected control characters, tabs too, to be written as escapes`)
    default:
      return at(`${got}, expected JSON`)
  }
}

/** The whole of -Infinity, which the scanner splits. */
function wordAt(text: string, offset: number): string {
  return /^[^\s,:[\]{}"]*/.exec(text.slice(offset, offset + EXCERPT_CHARS))?.[0] ?? ''
}

function symbolMessage(token: string, rest: string): string {
  const got = `found ${show(token)}`
  if (/^['`‘’“”]/u.test(token)) return `${got}, expected text in double quotes ("...")`
  if (/^\s*:/.test(rest)) return `${got}, expected a key in double quotes: ${JSON.stringify(token)}`
  if (/^[+-]?(nan|infinity|inf)$/i.test(token)) return `${got}, expected a number that JSON has`
  if (/^[+-]?\.?\d/.test(token)) return `${got}, expected a number that begins with a digit, or - and a digit`
  const literal = { true: 'true', false: 'false', none: 'null', undefined: 'null', nil: 'null' }[token.toLowerCase()]
  if (literal !== undefined) return `${got}, expected ${literal}`
  return `${got}, expected a value; text goes in double quotes`
}

function positionOf(text: string, offset: number): { line: number; column: number } {
  const lines = text.slice(0, offset).split(/\r\n|\r|\n/)
  return { line: lines.length, column: lines[lines.length - 1].length + 1 }
}

const EXCERPT_CHARS = 100

/** The line of `offset` with a caret under it; of a very long line, the part around it. */
function excerpt(text: string, offset: number): string {
  const { line, column } = positionOf(text, offset)
  const whole = text.split(/\r\n|\r|\n/)[line - 1]
  const start = Math.max(0, Math.min(column - EXCERPT_CHARS / 2, whole.length - EXCERPT_CHARS))
  const shown = whole.slice(start, start + EXCERPT_CHARS).replace(/[^\P{Cc}\t]/gu, '\u00b7')
  const gutter = `${line} | `
  // Keep tabs, so that the caret is in place whatever their width.
  const indent = shown.slice(0, column - 1 - start).replace(/[^\t]/g, ' ')
  return `${gutter}${shown}\n${' '.repeat(gutter.length)}${indent}^`
}
