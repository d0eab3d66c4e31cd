/** Checks an encoding that was read from a file, field by field. Pure; any thread. */
import * as z from 'zod'
import { CYCLES, featureCount, type TableEncoding } from './encoding.js'

const number = z.number()
const column = z.string()
const seen = z.strictObject({ min: number, max: number, step: number.nullable() }).optional()
const usual = z.string().optional()
const schema = z.strictObject({
  version: z.literal(1),
  columns: z
    .array(
      z.discriminatedUnion('kind', [
        z.strictObject({
          column,
          kind: z.literal('number'),
          knots: z.array(number),
          offset: number,
          factor: number,
          limit: number.positive().optional(),
          fill: number,
          indicator: z.boolean(),
          seen,
        }),
        z.strictObject({ column, kind: z.literal('boolean'), fill: number, indicator: z.boolean() }),
        z.strictObject({
          ...{ column, kind: z.literal('category'), categories: z.array(z.string()), numeric: z.boolean() },
          ...{ buckets: z.int().min(0), missing: z.boolean(), usual },
        }),
        z.strictObject({
          ...{ column, kind: z.literal('embedding'), categories: z.array(z.string()), numeric: z.boolean() },
          ...{ missing: z.boolean(), size: z.int().min(1), usual },
        }),
        z.strictObject({
          ...{ column, kind: z.literal('date'), cycles: z.array(z.enum(CYCLES)), elapsed: z.boolean() },
          ...{ offset: number, factor: number, fill: number, indicator: z.boolean(), seen },
        }),
      ]),
    )
    .min(1),
  targets: z.array(column).min(1),
  weight: column.nullable(),
  unused: z.array(z.strictObject({ column, reason: z.string() })),
})

/** True if no other column follows an embedded one. */
const embeddedLast = ({ columns }: TableEncoding): boolean =>
  columns.every(({ kind }, i) => i === 0 || kind === 'embedding' || columns[i - 1].kind !== 'embedding')

/** The encoding of a network with `features` inputs; null if it is none. */
export function parseEncoding(value: unknown, features: number): TableEncoding | null {
  const { data } = schema.safeParse(value)
  return data && featureCount(data) === features && embeddedLast(data) ? data : null
}
