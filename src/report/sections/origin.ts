/** Provenance of a run: experiment, machine, data, digests. Pure; any thread. */
import { basename } from 'node:path'
import { valueAt } from '../../config/problems.js'
import { settings } from '../../config/settings.js'
import { formatBytes, formatCount, formatCounted } from '../../format.js'
import type { NativeLibrary } from '../../kernels/products.js'
import { data, type Html, type HtmlValue, html } from '../html.js'
import type { RunReport } from '../report.js'
import { folded, table } from '../table.js'

export function experimentSection({ experiment, differences }: RunReport): Html {
  const chosen = [...new Set(settings().map(({ path }) => path))].flatMap(path => {
    const value = valueAt(differences, path.split('.'))
    return value === undefined || path === 'name' ? [] : [[path, text(value)]]
  })
  return html`${
    chosen.length > 0 &&
    table({
      name: 'Chosen settings',
      caption: 'Settings that are not the defaults',
      head: ['setting', 'value'],
      rows: chosen.map(([path, value]) => [html`<code>${path}</code>`, html`<code>${value}</code>`]),
      kind: 'text',
    })
  }
${folded('The whole experiment, every default filled in', html`<pre tabindex="0" role="group" aria-label="The whole experiment">${JSON.stringify(experiment, null, 2)}</pre>`)}`
}

const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

export function machineSection({ manifest, summary }: RunReport): Html {
  const { machine, backend, startedAt, resumes = [] } = manifest
  const rows: [string, HtmlValue][] = []
  const add = (name: string, value: HtmlValue) =>
    value !== undefined && value !== null && value !== false && rows.push([name, value])
  add('started', startedAt)
  const { model, available, cores } = machine?.cpu ?? {}
  add('processor', model)
  add('cores', available !== undefined && cores !== undefined && `${available} of ${cores}`)
  add('memory', machine?.memory && data(machine.memory.totalBytes, formatBytes))
  add('system', machine?.os)
  add('Node.js', machine?.node)
  add('gradloom', machine?.gradloom)
  add('backend', backend && html`${backend.name}: ${backend.reason}`)
  add('library', backend?.library && libraryText(backend.library))
  add('bits depend on', backend?.bitsDependOn)
  add('workers', summary?.workers ?? manifest.workers)
  for (const { at, step, workers, changes, machine: other } of resumes) {
    const changed = changes?.length > 0 ? `; ${changes.join('; ')}` : ''
    add(
      'resumed',
      `${at} after step ${step}, with ${formatCounted(workers, 'worker')} on ${other?.cpu?.model}${changed}`,
    )
  }
  if (rows.length === 0) return html`<p class="note">The run has no manifest.</p>`
  return table({
    name: 'Machine',
    caption: 'Where the run was trained',
    head: ['property', 'value'],
    rows,
    kind: 'text bare',
  })
}

/** Native library of a manifest, which an older version of gradloom may have written: absent fields are left out. */
function libraryText({ name, version, path, detail, bf16 }: Partial<NativeLibrary>): string {
  const kernel = bf16 && ('kernel' in bf16 ? `bf16 by ${bf16.kernel}` : `no bf16: ${bf16.obstacle}`)
  return [[name, version].filter(Boolean).join(' '), path, detail, kernel].filter(Boolean).join(', ')
}

export function digestsSection({ manifest, summary, checkpoints, test }: RunReport): Html {
  const files = [...new Map((manifest.data?.files ?? []).map(file => [file.path, file])).values()]
  const weights: [string, string][] = [
    ...(summary?.weightsSha256 ? [['final weights', summary.weightsSha256] as [string, string]] : []),
    ...('missing' in test ? [] : [['weights of the scores above', test.weightsSha256] as [string, string]]),
    ...(manifest.from
      ? [[`first weights, of ${basename(manifest.from.file)}`, manifest.from.weightsSha256] as [string, string]]
      : []),
  ]
  const saved = checkpoints.map(({ file, weightsSha256 }) => [basename(file), weightsSha256])
  return html`${
    weights.length > 0 &&
    digestTable(
      weights,
      'Digests of the weights',
      'SHA-256 of the parameters as little-endian f32; the same experiment and seed give the same',
    )
  }
${saved.length > 0 && folded(formatCounted(saved.length, 'checkpoint'), digestTable(saved, 'Digests of the checkpoints', 'Checkpoints as they were written; of old ones, the files may be gone'))}
${
  files.length > 0 &&
  folded(
    formatCounted(files.length, 'data file'),
    table({
      name: 'Files of the data set',
      caption: `Data set ${manifest.data?.dataset}, uncompressed`,
      head: ['file', 'bytes', 'MD5', 'published'],
      rows: files.map(({ path, bytes, md5, official }) => [
        html`<code>${basename(path)}</code>`,
        data(bytes, formatCount),
        html`<code>${md5}</code>`,
        official === null ? 'your own' : official ? 'yes' : 'no',
      ]),
      kind: 'text',
    }),
  )
}`
}

function digestTable(rows: readonly (readonly string[])[], name: string, caption: string): Html {
  return table({
    ...{ name, caption, kind: 'text' },
    head: ['weights', 'SHA-256'],
    rows: rows.map(([what, digest]) => [what, html`<code>${digest}</code>`]),
  })
}
