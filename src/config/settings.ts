/**
 * The experiment's schema as a tree of JSON Schema nodes, with queries: what is known at a path, what is
 * expected there, and the flat list of all settings. Messages, overrides, the checked-in schema and the docs read it.
 * Pure; runs on any thread.
 */
import * as z from 'zod'
import { experimentSchema } from './schema.js'

/** The part of JSON Schema that the experiment's schema uses. */
export interface SchemaNode {
  readonly title?: string
  readonly description?: string
  readonly type?: string
  readonly default?: unknown
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly SchemaNode[]
  /** Variants of a section with a `type` key. */
  readonly oneOf?: readonly SchemaNode[]
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly required?: readonly string[]
  readonly items?: SchemaNode
  /** Values of an object whose keys are the user's, such as names of columns; false: it has no other keys than `properties`. */
  readonly additionalProperties?: boolean | SchemaNode
  readonly pattern?: string
  readonly minLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly exclusiveMaximum?: number
}

/** One key that can be set. A section with a `type` has one entry for each type that has the key. */
export interface Setting {
  /** Dotted, as in `--set`. */
  readonly path: string
  /** The section's `type` that this entry belongs to, or null if the section has no types. */
  readonly variant: string | null
  readonly node: SchemaNode
}

let schema: SchemaNode | undefined
let listed: readonly Setting[] | undefined

/** JSON Schema of an experiment file, in the draft that most editors support. Built when it is first asked for: it takes 30 ms. */
export function experimentJsonSchema(): SchemaNode {
  schema ??= createJsonSchema()
  return schema
}

/** Every setting, in the schema's order. */
export function settings(): readonly Setting[] {
  listed ??= listSettings(experimentJsonSchema(), '', null)
  return listed
}

function createJsonSchema(): SchemaNode {
  return z.toJSONSchema(experimentSchema, {
    io: 'input',
    target: 'draft-07',
    override({ path, jsonSchema }) {
      // The real default is the file's name, which the schema does not have.
      if (path.join('.') === 'properties.name') delete jsonSchema.default
    },
  }) as SchemaNode
}

function listSettings(node: SchemaNode, prefix: string, variant: string | null): Setting[] {
  if (node.oneOf) {
    const options = node.oneOf.flatMap(option => listSettings(option, prefix, variantOf(option)))
    return [{ path: `${prefix}type`, variant: null, node: typeNode(node.oneOf) }, ...options.filter(isNoType)]
  }
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) =>
    child.properties || child.oneOf
      ? listSettings(child, `${prefix}${key}.`, variant)
      : [{ path: prefix + key, variant, node: child }],
  )
}

function isNoType({ path }: Setting): boolean {
  return !path.endsWith('.type')
}

function variantOf(option: SchemaNode): string {
  return String(option.properties?.type?.const)
}

/** The `type` keys of all variants of a section, as one setting. */
function typeNode(options: readonly SchemaNode[]): SchemaNode {
  return {
    type: 'string',
    enum: options.map(variantOf),
    default: options.map(option => option.properties?.type?.default).find(value => value !== undefined),
    description: options.map(option => `\`${variantOf(option)}\`: ${option.properties?.type?.description}`).join(' '),
  }
}

/** True if the path is an object with settings in it; the empty path is the experiment itself. */
export function isSection(path: string): boolean {
  return path === '' || settings().some(setting => setting.path.startsWith(`${path}.`))
}

/** True if any experiment may have a value at `path`: a setting, a section, or an entry of a list. */
export function isKnown(path: string): boolean {
  if (isSection(path) || settings().some(setting => setting.path === path)) return true
  if (recordAt(path)) return true
  const [, list, inside] = /^(.+?)\.\d+(\..+)?$/.exec(path) ?? []
  if (inside !== undefined && descend(experimentJsonSchema(), path.split('.')) === undefined) return false
  return settings().some(setting => setting.path === list && setting.node.type === 'array')
}

/** The setting with keys of the user's own that `path` is an entry of, and the entry's key, which may have dots. */
export function recordAt(path: string): { readonly setting: Setting; readonly key: string } | undefined {
  const setting = settings().find(({ path: prefix, node }) => valuesOf(node) && path.startsWith(`${prefix}.`))
  return setting && { setting, key: path.slice(setting.path.length + 1) }
}

/** Values of an object with keys of the user's own, which may be one of several forms of a setting. */
function valuesOf(node: SchemaNode): SchemaNode | undefined {
  if (typeof node.additionalProperties === 'object') return node.additionalProperties
  return node.anyOf?.map(valuesOf).find(values => values !== undefined)
}

/** Keys directly under a section; with a variant, only those of this `type`. */
export function keysOf(section: string, variant: string | null = null): string[] {
  const prefix = section === '' ? '' : `${section}.`
  const inside = settings().filter(({ path }) => path.startsWith(prefix))
  const fitting = inside.filter(setting => variant === null || setting.variant === null || setting.variant === variant)
  return [...new Set(fitting.map(({ path }) => path.slice(prefix.length).split('.')[0]))]
}

/** The `type`s that have the setting at `path`; empty if its section has no types. */
export function variantsWith(path: string): string[] {
  return settings()
    .filter(setting => setting.path === path)
    .flatMap(({ variant }) => variant ?? [])
}

/** The `type` of a section's value: as given, or the default. Null for a section without types. */
export function variantIn(section: string, value: unknown): string | null {
  const type = settings().find(setting => setting.path === `${section}.type`)
  if (!type) return null
  const written = typeof value === 'object' && value !== null && 'type' in value ? value.type : undefined
  return typeof written === 'string' ? written : String(type.node.default)
}

/** The node at `path`, in the given variant. */
export function nodeAt(path: string, variant: string | null): SchemaNode {
  const found = settings().filter(setting => setting.path === path)
  const exact = found.find(setting => setting.variant === variant) ?? found[0]
  if (exact) return exact.node
  const record = recordAt(path)
  if (record) return valuesOf(record.setting.node)!
  const inList = /\.\d+(\.|$)/.test(path) ? descend(experimentJsonSchema(), path.split('.')) : undefined
  if (inList) return inList
  const list = settings().find(setting => setting.path === path.replace(/\.\d+$/, ''))
  const items = list?.node.items ?? list?.node.anyOf?.find(({ type }) => type === 'array')?.items
  return items ?? { type: 'object' }
}

/** The node below another one, by keys and indices of lists; undefined: there is none. */
function descend(node: SchemaNode, [key, ...rest]: readonly string[]): SchemaNode | undefined {
  if (key === undefined) return node
  for (const form of [node, ...(node.anyOf ?? [])]) {
    const below = form.properties?.[key] ?? (/^\d+$/.test(key) ? form.items : undefined)
    const found = below && descend(below, rest)
    if (found) return found
  }
  return undefined
}

/** The schema of an object with known keys: the given one, or the one of several forms of a value that is such. */
export function objectForm({
  anyOf,
  properties,
}: SchemaNode): { readonly properties: Readonly<Record<string, SchemaNode>> } | undefined {
  if (properties) return { properties }
  return anyOf?.flatMap(({ properties }) => (properties ? [{ properties }] : []))[0]
}

/** Values that a node accepts, in words that follow "expected". */
export function expectation(node: SchemaNode): string {
  if (node.anyOf) {
    const of = (form: SchemaNode) =>
      form.properties ? `an object with ${alternatives(Object.keys(form.properties))}` : expectation(form)
    return node.anyOf.map(of).join(' or ')
  }
  if (node.enum) return alternatives(node.enum.map(value => JSON.stringify(value)))
  if (node.const !== undefined) return JSON.stringify(node.const)
  switch (node.type) {
    case 'integer':
    case 'number': {
      const noun = node.type === 'integer' ? 'an integer' : 'a number'
      return [noun, bounds(node)].filter(Boolean).join(' ')
    }
    case 'string':
      return node.minLength ? 'non-empty text' : 'text'
    case 'boolean':
      return 'true or false'
    case 'array':
      return `an array, each entry ${expectation(node.items ?? {})}`
    case 'null':
      return 'null'
    default:
      return 'an object'
  }
}

/** `"a", "b" or "c"`. */
export function alternatives(items: readonly string[], last = 'or'): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} ${last} ${items[items.length - 1]}`
}

function bounds({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: SchemaNode): string {
  // Every integer is limited to those that are exact; only a setting's own limit is worth mentioning.
  const top = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum
  if (minimum !== undefined && top !== undefined) return `from ${minimum} to ${top}`
  const limits = [
    minimum !== undefined && `>= ${minimum}`,
    exclusiveMinimum !== undefined && `> ${exclusiveMinimum}`,
    top !== undefined && `<= ${top}`,
    exclusiveMaximum !== undefined && `< ${exclusiveMaximum}`,
  ]
  return limits.filter(Boolean).join(' and ')
}
