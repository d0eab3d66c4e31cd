/** Generator of `docs/experiment.md`: every setting with its values, default and meaning, from the schema. Pure. */
import { expectation, experimentJsonSchema, type Setting, settings } from './settings.js'

const INTRODUCTION = `# The experiment file

<!-- Written by \`npm run schema\` from src/config/schema.ts; edits here are lost. -->

An experiment is one JSON file. Every key but \`data.dataset\` has a default, so a file lists only what differs:

\`\`\`json
{
  "$schema": "../schema/experiment.schema.json",
  "data": { "dataset": "digits" },
  "model": { "hidden": [512, 256] },
  "train": { "epochs": 12 }
}
\`\`\`

\`$schema\` is for editors, which then complete keys and explain them. Unknown keys are errors, and all problems of a file
are reported at once.

- \`gradloom config check <file...>\` validates files, without training.
- \`gradloom config show <file>\` prints the experiment with every default; \`--diff\` only the settings that differ from them.
- \`--set path=value\`, as in \`--set train.epochs=3\` or \`--set model.hidden.0=100\`, changes a setting for one command. The
  value is read as JSON where it is JSON, else as text.
`

/** The whole page. */
export function experimentMarkdown(): string {
  const top = settings().filter(({ path }) => !path.includes('.'))
  const sections = Object.entries(experimentJsonSchema().properties ?? {}).filter(
    ([, node]) => node.title !== undefined,
  )
  const parts = sections.map(([name, { title, description }]) => {
    const inside = settings().filter(({ path }) => path.startsWith(`${name}.`))
    return `## ${title}: \`${name}\`\n\n${description}\n\n${table(inside)}`
  })
  return [INTRODUCTION, `## The experiment itself\n\n${table(top)}`, ...parts].join('\n')
}

function table(rows: readonly Setting[]): string {
  const paths = [...new Set(rows.map(({ path }) => path))]
  const variants = rows.find(({ path }) => path.endsWith('.type'))?.node.enum?.length ?? 0
  const lines = paths.map(path => {
    const entries = rows.filter(row => row.path === path)
    const cells = [
      `\`${path}\``,
      byVariant(entries, variants, ({ node }) => expectation(node)),
      byVariant(entries, 0, ({ node }) => defaultOf(path, node.default)),
      byVariant(entries, variants, ({ node }) => node.description ?? ''),
    ]
    return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
  })
  return ['| key | values | default | meaning |', '|---|---|---|---|', ...lines, ''].join('\n')
}

function defaultOf(path: string, value: unknown): string {
  if (path === 'data.dataset') return '**required**'
  if (value === undefined) return ''
  return `\`${JSON.stringify(value).replaceAll(',', ', ')}\``
}

/** Table cell that names the types it applies to, unless it is the same for all `count` of them. */
function byVariant(entries: readonly Setting[], count: number, cell: (entry: Setting) => string): string {
  const texts = [...new Set(entries.map(cell))]
  if (texts.length === 1 && (entries.length >= count || entries[0].variant === null)) return texts[0]
  const owners = (text: string) => entries.filter(entry => cell(entry) === text).map(({ variant }) => `\`${variant}\``)
  return texts.map(text => `${owners(text).join(', ')}: ${text}`).join('<br>')
}
