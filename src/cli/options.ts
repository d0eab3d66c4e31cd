/** Options that several commands read in the same way. Main thread. */
import { inspect } from 'node:util'
import { ConfigError } from '../errors.js'

/** An integer from `least` on, of an option's text. */
export function integerOption(command: string, name: string, text: string, least: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value
  throw new ConfigError(`gradloom ${command}: --${name} is ${inspect(text)}, expected an integer from ${least} on`, {
    hint: `npx gradloom ${command} --help`,
  })
}

/** `--name` alone: the default; `--name=5` or `--name 5`: 5; not given: null. */
export function countOption(command: string, name: string, text: string | undefined, standard: number): number | null {
  if (text === undefined) return null
  return text === '' ? standard : integerOption(command, name, text, 1)
}

/** As `single` of train.ts, for an option whose value may be left out. */
export function singleOptional(name: string) {
  return {
    type: 'string',
    coerce: (value: string | string[] | undefined) => {
      if (!Array.isArray(value)) return value
      throw new Error(`--${name} is given ${value.length} times, expected once`)
    },
  } as const
}

/** null where none is given: the usual one, or any that is free. */
export function portOption(command: string, text: string | undefined): number | null {
  if (text === undefined) return null
  const port = integerOption(command, 'port', text, 0)
  if (port <= 65535) return port
  throw new ConfigError(`gradloom ${command}: --port is ${port}, expected at most 65535`)
}
