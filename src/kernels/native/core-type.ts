/**
 * The kernel that OpenBLAS is made to take where it does not know the CPU: a build that is older than the CPU falls back to kernels for
 * SSE, such as 0.3.21 on an Emerald Rapids, at a quarter of the speed. Any thread.
 */
import { hasFlags } from '../cpu.js'
import type { LibraryFacts } from './library.js'

/** Environment variable that OpenBLAS reads when it is loaded. */
export const CORE_TYPE_VARIABLE = 'OPENBLAS_CORETYPE'

/** Kernels of OpenBLAS for AVX and later: its own choice of one of these stands. */
const MODERN = new Set(
  ['Sandybridge', 'Haswell', 'SkylakeX', 'Cooperlake', 'Sapphirerapids', 'Zen', 'Excavator', 'Steamroller']
    .concat(['Piledriver', 'Bulldozer'])
    .map(name => name.toLowerCase()),
)

/** Kernels, and the flags of a CPU that can run them, as Linux spells them. */
export const CORE_TYPE_FLAGS = {
  Haswell: ['avx2', 'fma'],
  Zen: ['avx2', 'fma'],
  SkylakeX: ['avx512f', 'avx512dq', 'avx512vl', 'avx512bw'],
  Cooperlake: ['avx512f', 'avx512dq', 'avx512vl', 'avx512bw', 'avx512_bf16'],
} as const

/** Kernels to ask for, the best first: every build for several CPUs of the last years has them. */
const FALLBACKS = ['SkylakeX', 'Haswell'] as const

/** The kernel to ask for instead of that which the library chose; null: its choice stands, or the user has made one. */
export function betterCoreType(
  { name, detail }: LibraryFacts,
  flags: string,
  env: NodeJS.ProcessEnv = process.env,
): string | null {
  if (name !== 'OpenBLAS' || env[CORE_TYPE_VARIABLE] !== undefined) return null
  if (detail === 'unknown' || MODERN.has(detail.toLowerCase())) return null
  return FALLBACKS.find(coreType => hasFlags(CORE_TYPE_FLAGS[coreType], flags)) ?? null
}

/** The environment with a kernel of OpenBLAS; null: as it is. */
export const withCoreType = (coreType: string | null): Readonly<Record<string, string>> =>
  coreType === null ? {} : { [CORE_TYPE_VARIABLE]: coreType }

/** True if an open library runs that kernel. */
export const isCoreType = ({ detail }: Pick<LibraryFacts, 'detail'>, coreType: string): boolean =>
  detail.toLowerCase() === coreType.toLowerCase()
