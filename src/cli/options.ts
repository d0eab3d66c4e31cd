/** Options that several commands read in the same way. Main thread. */
import { inspect } from 'node:util'
import { ConfigError } from '../errors.js'

export const savedRun = {
  describe: 'Run directory, or a .safetensors file of one',
  type: 'string',
  demandOption: true,
} as const

export const movedData = {
  describe: 'Where the data of the run are now: file or folder (data.path); digests prove that they are the same',
  ...single('data'),
} as const

export const movedTestData = {
  describe: 'Where the test data of the run are now: file or folder (data.testPath)',
  ...single('test-data'),
} as const

export const movedStart = {
  describe:
    'Where the weights are now that the run started from (train --from); their digest proves that they are the same',
  ...single('from'),
} as const

export const jsonObject = { describe: 'Print one JSON object', type: 'boolean', default: false } as const

/** Kernels that a saved network predicts with. */
export const backendOption = {
  describe: 'Kernels to predict with',
  choices: ['auto', 'onednn', 'blas', 'wasm', 'reference'],
  defaultDescription: "the experiment's",
} as const

/** Text option that may be given once: yargs makes a list of repeated ones, and a usage error of what `coerce` throws. */
export function single(name: string) {
  return {
    type: 'string',
    nargs: 1,
    coerce: (value: string | string[] | undefined) => {
      if (!Array.isArray(value)) return value
      throw new Error(`--${name} is given ${value.length} times, expected once`)
    },
  } as const
}

export const liveOption = {
  describe: 'Show curves and progress in the browser while training',
  type: 'boolean',
  default: false,
} as const

export const livePortOption = {
  describe: 'Port of --live; 0: any that is free',
  defaultDescription: '4747, or any that is free',
  ...single('port'),
} as const

export const setOption = {
  describe: 'Change a setting, as in --set model.dropout=0.1; may be repeated',
  type: 'string',
  array: true,
  nargs: 1,
  default: [] as string[],
  defaultDescription: 'none',
} as const

/** Integer of at least `least`, from the text of an option. */
export function integerOption(command: string, name: string, text: string, least: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value
  throw new ConfigError(`gradloom ${command}: --${name} is ${inspect(text)}, expected an integer >= ${least}`, {
    hint: `npx gradloom ${command} --help`,
  })
}

/** `--name` alone: the default; `--name=5` or `--name 5`: 5; not given: null. */
export function countOption(command: string, name: string, text: string | undefined, standard: number): number | null {
  if (text === undefined) return null
  return text === '' ? standard : integerOption(command, name, text, 1)
}

/** Text option that may be given once, with or without a value. */
export function singleOptional(name: string) {
  return {
    type: 'string',
    coerce: (value: string | string[] | undefined) => {
      if (!Array.isArray(value)) return value
      throw new Error(`--${name} is given ${value.length} times, expected once`)
    },
  } as const
}

/** Port number; null if none is given: the default port, or any that is free. */
export function portOption(command: string, text: string | undefined): number | null {
  if (text === undefined) return null
  const port = integerOption(command, 'port', text, 0)
  if (port <= 65535) return port
  throw new ConfigError(`gradloom ${command}: --port is ${port}, expected at most 65535`)
}
