/**
 * A scan of JSON text before `JSON.parse` sees it, for untrusted files: nesting is bounded, so that a hostile file cannot make the parser
 * allocate without end, and no object names a key twice, of which `JSON.parse` would silently take the last. The scan follows strings and
 * brackets only; `JSON.parse` checks the rest. Pure; runs on any thread.
 */

export interface JsonProblem {
  readonly what: string
  /** Index into the text. */
  readonly at: number
}

/** The first object or array nested deeper than `maxDepth`, or the first key given twice; undefined if all is well. */
export function scanJson(text: string, maxDepth: number): JsonProblem | undefined {
  // One entry per open bracket: the keys seen in an object, or null for an array.
  const open: (Set<string> | null)[] = []
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '{' || char === '[') {
      if (open.length === maxDepth) return { what: `nesting is deeper than ${maxDepth} levels`, at }
      open.push(char === '{' ? new Set() : null)
    } else if (char === '}' || char === ']') {
      open.pop()
    } else if (char === '"') {
      const end = endOfString(text, at)
      const keys = open.at(-1)
      if (keys && isKey(text, end)) {
        const key = decoded(text.slice(at, end))
        if (keys.has(key)) return { what: `key ${JSON.stringify(key)} is given twice`, at }
        keys.add(key)
      }
      at = end - 1
    }
  }
  return undefined
}

/** Index after the closing quote of the string that opens at `start`, or of the text's end. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === '"') return at + 1
  }
  return text.length
}

function isKey(text: string, after: number): boolean {
  while (after < text.length && ' \t\n\r'.includes(text[after])) after++
  return text[after] === ':'
}

/** Escapes can spell one key in two ways. A string that does not decode is left for `JSON.parse` to complain about. */
function decoded(literal: string): string {
  try {
    return String(JSON.parse(literal))
  } catch {
    return literal
  }
}
