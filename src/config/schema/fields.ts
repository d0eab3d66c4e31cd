/** Builders of fields that several sections of the experiment share. Types and data only; any thread. */
import * as z from 'zod'

/** Data sets: those that gradloom knows by name, then kinds of the user's own files, then samples that a program holds. */
export const DATASETS = ['digits', 'mnist', 'fashion-mnist', 'idx', 'table', 'npz', 'images', 'memory'] as const
/** Data sets that are the user's own files, and may lack a test part. */
export const OWN_TABLES = ['table', 'npz', 'images'] as const

/** Pattern of an experiment's name. It becomes part of a directory's name, so it must not reach out of `runs/`. */
export const NAME_PATTERN = /^[\p{L}\p{N}_][\p{L}\p{N} ._+-]{0,99}$/u
export const NAME_WANTED = 'up to 100 letters, digits, spaces or any of ._+-, the first a letter, a digit or _'

export const help = (description: string) => ({ description })
export const fraction = () => z.number().min(0).lt(1)
export const positive = () => z.number().positive()
export const count = () => z.int().min(1)
/** Column of a table, by name or by index. */
export const column = () => z.union([z.string().min(1), z.int().min(0)])
