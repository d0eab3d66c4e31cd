/** Contents of `manifest.json` and names of a run directory's files. Types and names only; any thread. */
import type { LoadedFile } from '../data/dataset.js'
import type { Backend, Precision } from '../kernels/backend.js'
import type { NativeLibrary } from '../kernels/products.js'
import type { MachineFacts } from './machine.js'

export const FILES = {
  experiment: 'experiment.json',
  resolved: 'resolved.json',
  manifest: 'manifest.json',
  metrics: 'metrics.jsonl',
  summary: 'summary.json',
  checkpoints: 'checkpoints',
  tensorboard: 'tensorboard',
} as const

/** Orientation of weight matrices in a file of another program: (inputs, outputs) or (outputs, inputs). */
export type WeightLayout = 'in-out' | 'out-in'

/** The file of another program that weights were imported from. */
export interface ImportedFrom {
  /** SHA-256 of the file, hexadecimal. */
  readonly sha256: string
  readonly layout: WeightLayout
  /** Modules in the order of the layers; undefined in manifests of older versions. */
  readonly order?: readonly string[]
}

/** Times of a step that decided for backend, precision and number of workers. */
export interface TrialRecord {
  readonly times: readonly {
    readonly backend: Backend['name']
    readonly precision: Precision
    readonly workers: number
    /** Median milliseconds of a step. */
    readonly ms: number
  }[]
  /** True if an earlier run on this machine measured them. */
  readonly remembered: boolean
}

/** Processes that trained a run together, over MPI. */
export interface RanksRecord {
  readonly launcher: string
  /** Library, as it names itself. */
  readonly library: string
  /** `one`: all ranks are on one host and have one memory; `own`: each has its own, and they exchange what they need. */
  readonly memory: 'one' | 'own'
  readonly hosts: readonly { readonly rank: number; readonly host: string; readonly cores: number }[]
}

/** Facts about a run that do not come from the machine. */
export interface ManifestDetails {
  readonly startedAt: string
  readonly backend: {
    readonly name: string
    readonly reason: string
    /** Library of the matrix products; null for none. */
    readonly library: NativeLibrary | null
    /** Precision of the products; besides experiment and data the bits of the weights depend on it. */
    readonly precision?: Precision
    readonly bitsDependOn: string
    /** Times that decided what `auto` is; undefined where no trial did. */
    readonly trial?: TrialRecord
  }
  readonly workers: number
  /** Processes that trained the run together; undefined: one. */
  readonly ranks?: RanksRecord
  /** The data set, and the digests of its files. */
  readonly data: {
    readonly dataset: string
    readonly rows: object
    readonly classNames: readonly string[]
    readonly files: readonly LoadedFile[]
    /** Versions of the libraries that decoded the files, by name; undefined where gradloom reads them itself. */
    readonly libraries?: Readonly<Record<string, string>>
    /** Paths of the data relative to the run directory, with forward slashes, so that a folder that holds both can move. */
    readonly fromRun?: DataPaths
  }
  /** The file that the first weights were taken from; null for random ones. */
  readonly from: {
    readonly file: string
    /** Path of that file relative to the run directory, with forward slashes; undefined in older versions. */
    readonly fromRun?: string
    /** SHA-256 of the weights that were read from it. */
    readonly weightsSha256: string
    /** Source of the run's columns, classes and scales: the model (`kept`) or the data (`new`); undefined in older versions: `new`. */
    readonly input?: 'kept' | 'new'
    /** Import of a file of another program. */
    readonly imported?: ImportedFrom
  } | null
}

export interface DataPaths {
  readonly path: string | null
  readonly testPath: string | null
}

export interface ResumeNote {
  readonly at: string
  readonly step: number
  readonly workers: number
  readonly ranks?: RanksRecord
  /** Settings that differ from before, as `path: old -> new`. */
  readonly changes: readonly string[]
  /** True if the completed steps would have other bits with the changes: the run cannot be reproduced from its configuration. */
  readonly changesPast: boolean
}

/** SHA-256 of the run's own files, hexadecimal. */
export interface OwnFiles {
  /** Bytes of `experiment.json`. */
  readonly experiment: string
  /** Content of `resolved.json`; two digests while a resume replaces the file, either of which is right. */
  readonly resolved: readonly string[]
}

/** Content of `manifest.json`. */
export interface Manifest extends ManifestDetails {
  readonly machine: MachineFacts
  readonly resumes?: readonly (ResumeNote & { readonly machine: MachineFacts })[]
  /** Undefined in runs of older versions. */
  readonly own?: OwnFiles
  /** SHA-256 of the rest of the manifest, see seal.ts. */
  readonly sha256?: string
}
