/** Colour for terminals; none if output is not a terminal, with `NO_COLOR`, or without colour support. Main thread. */
import { styleText } from 'node:util'

export interface Paint {
  readonly strong: (text: string) => string
  readonly faint: (text: string) => string
}

export function paintFor(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): Paint {
  const plain = (text: string) => text
  if (stream.isTTY !== true || env.NO_COLOR || env.TERM === 'dumb') return { strong: plain, faint: plain }
  const style = (format: 'bold' | 'dim') => (text: string) => styleText(format, text, { validateStream: false })
  return { strong: style('bold'), faint: style('dim') }
}
