/**
 * Products through matmul primitives of oneDNN 2.x. Any thread: engine, stream, primitives and memories are the calling
 * thread's own, and so is the scratchpad, which the library keeps for each thread (its default mode).
 *
 * On the CPU, outside of SYCL, `dnnl_primitive_execute` returns when the work is done, so nobody waits for the stream.
 *
 * `dnnl_sgemm` was measured too: on AVX2 it is what `gemm:jit` runs, 0.6 µs a call cheaper, and up to 15 % faster on some
 * products of a step; but it does not report which kernel it takes, and has no others where there are better ones.
 */
import { type Koffi, type LibraryHandle, optional } from '../../ffi/koffi.js'
import { BF16_COLUMNS, BF16_DEPTH } from '../layouts.js'
import type { Bf16Shape, BindBf16, NativeGemm, ProductForm, ProductShape } from '../products.js'
import { type OpenLibrary, spelled, UnfitLibrary } from './library.js'
import { BF16, type Described, good, type OneDnn, openApi } from './onednn-api.js'

/** Tag `dnnl_BA16a64b2a`: (k, n) in blocks of 32 x 64, of which rows lie in pairs. The tag of 2.6; a probe's products check it. */
const PAIRS_OF_ROWS = 380
/** Prefix of the kernels made for bf16, or AMX; others are several times slower. */
const BF16_KERNELS = 'brg'
/** Ids of a primitive's arguments, and the bytes of one in the list that `execute` takes. */
const ARGUMENTS = { src: 1, weights: 33, dst: 17 } as const
const ARGUMENT_BYTES = 16
const OUT_OF_ORDER_RUNTIMES: Readonly<Record<number, string>> = { 4: 'TBB', 512: 'SYCL' }
/** Bits of dnnl_cpu_isa_t, best first. */
const ISAS: readonly (readonly [bits: number, name: string])[] = [
  [0x3e7, 'AMX'],
  [0xe7, 'AVX512-BF16'],
  [0x67, 'AVX512-VNNI'],
  [0x27, 'AVX-512'],
  [0x7, 'AVX2'],
  [0x3, 'AVX'],
  [0x1, 'SSE4.1'],
]
const AVX512_CORE = 0x27
/** AVX512-BF16, which AMX includes: without it oneDNN converts to f32 and back. */
const AVX512_BF16 = 0xe7

export function openOneDnn(koffi: Koffi, handle: LibraryHandle): OpenLibrary {
  const version = versionOf(koffi, handle)
  // Each thread is an OpenMP master of its own; this counts for the calling one. Absent where the runtime is sequential.
  optional<(n: number) => void>(handle, 'void omp_set_num_threads(int n)')?.(1)
  const api = openApi(koffi, handle)
  const isa = optional<() => number>(handle, 'int dnnl_get_effective_cpu_isa()')?.() ?? 0
  const implementations = (['nn', 'nt', 'tn'] as const).map(
    form => `${form} ${api.implementationOf(describeProduct(api, dense(form)))}`,
  )
  const [first, ...others] = implementations.map(text => text.slice(3))
  const kernels = others.every(name => name === first) ? first : implementations.join(', ')
  const kind = ISAS.find(([bits]) => (isa & bits) === bits)?.[1] ?? 'unknown CPU kind'
  const hasAvx512 = (isa & AVX512_CORE) === AVX512_CORE
  return {
    name: 'oneDNN',
    version,
    detail: `${kernels}, ${kind}`,
    gemm: { bind: shape => bindProduct(koffi, api, shape) },
    bf16:
      (isa & AVX512_BF16) === AVX512_BF16
        ? { bind: shape => bindBf16(koffi, api, shape), kernel: () => bf16Kernel(api) }
        : { obstacle: `oneDNN finds ${kind}, bf16 needs AVX512-BF16 or AMX` },
    landmark: 'dnnl_primitive_execute',
    slow: hasAvx512 && !first.startsWith('brg') ? `dense products run in ${first}, expected brg... with AVX-512` : null,
  }
}

const dense = (form: ProductForm): ProductShape => {
  const [m, n, k] = [128, 512, 256]
  return { form, m, n, k, lda: form === 'tn' ? m : k, ldb: form === 'nt' ? k : n, ldc: n, accumulate: false }
}

function versionOf(koffi: Koffi, handle: LibraryHandle): string {
  const get = optional<() => bigint>(handle, 'const void* dnnl_version()')
  if (!get) throw new UnfitLibrary('has no dnnl_version')
  const at = get()
  const [major, minor, patch] = koffi.decode(at, koffi.array('int', 3)) as Int32Array
  const version = `${major}.${minor}.${patch}`
  if (major !== 2) throw new UnfitLibrary(`is oneDNN ${version}, expected 2.x; ${major}.x has another C API`)
  const runtime = OUT_OF_ORDER_RUNTIMES[koffi.decode(at, 24, 'uint32_t') as number]
  if (runtime) throw new UnfitLibrary(`is built for ${runtime}, expected OpenMP: its threads cannot be limited to one`)
  return version
}

function describeProduct(api: OneDnn, { form, m, n, k, lda, ldb, ldc, accumulate }: ProductShape): Described {
  const src = form === 'tn' ? api.describe(m, k, 1, lda) : api.describe(m, k, lda, 1)
  const weights = form === 'nt' ? api.describe(k, n, 1, ldb) : api.describe(k, n, ldb, 1)
  return api.describeMatmul([src, weights, api.describe(m, n, ldc, 1)], accumulate)
}

function bindProduct(koffi: Koffi, api: OneDnn, shape: ProductShape): ReturnType<NativeGemm['bind']> {
  const described = describeProduct(api, shape)
  const kernel = api.implementationOf(described)
  // Refuse a plain loop, which is hundreds of times slower.
  if (kernel.startsWith('ref')) {
    throw new UnfitLibrary(`runs ${spelled(shape)} in ${kernel}, expected an optimized kernel`)
  }
  return bindMatmul(koffi, api, spelled(shape), described)
}

function describeBf16(api: OneDnn, { m, k, accumulate }: Bf16Shape): Described {
  const src = api.describe(m, k, k, 1, BF16)
  const weights = api.describeBlocked(k, BF16_COLUMNS, BF16, PAIRS_OF_ROWS)
  return api.describeMatmul([src, weights, api.describe(m, BF16_COLUMNS, BF16_COLUMNS, 1)], accumulate)
}

function bindBf16(koffi: Koffi, api: OneDnn, shape: Bf16Shape): ReturnType<BindBf16> {
  const described = describeBf16(api, shape)
  const kernel = api.implementationOf(described)
  const what = `bf16 ${shape.m}x${BF16_COLUMNS}x${shape.k}`
  if (!kernel.startsWith(BF16_KERNELS)) {
    throw new UnfitLibrary(`runs ${what} in ${kernel}, expected ${BF16_KERNELS}...`)
  }
  return bindMatmul(koffi, api, what, described)
}

/** The kernel in which the library multiplies bf16; throws if it cannot. */
const bf16Kernel = (api: OneDnn): string =>
  api.implementationOf(describeBf16(api, { m: 256, k: 8 * BF16_DEPTH, accumulate: false }))

/** A function of three addresses. `what` names the product in errors. */
function bindMatmul(koffi: Koffi, api: OneDnn, what: string, described: Described) {
  const primitive = api.createPrimitive(described)
  const memories = described.operands.map(api.createMemory)
  const [ma, mb, mc] = memories
  const args = new DataView(new ArrayBuffer(memories.length * ARGUMENT_BYTES))
  for (const [i, id] of [ARGUMENTS.src, ARGUMENTS.weights, ARGUMENTS.dst].entries()) {
    args.setInt32(i * ARGUMENT_BYTES, id, true)
    args.setBigUint64(i * ARGUMENT_BYTES + 8, BigInt(memories[i]), true)
  }
  const argsAt = Number(koffi.address(args.buffer))
  const { setHandle, execute } = api
  // A task repeats its addresses from step to step; setting one costs as much as the call itself.
  let [atA, atB, atC] = [0, 0, 0]
  return (a: number, b: number, c: number): void => {
    let status = 0
    if (a !== atA) status |= setHandle(ma, a)
    if (b !== atB) status |= setHandle(mb, b)
    if (c !== atC) status |= setHandle(mc, c)
    atA = a
    atB = b
    atC = c
    status |= execute(primitive, args.byteLength / ARGUMENT_BYTES, argsAt)
    if (status !== 0) good(`dnnl_primitive_execute of ${what}`, status)
  }
}
