/**
 * Products through matmul primitives of oneDNN 2.x. Any thread: engine, stream, primitives and memories are the calling
 * thread's own, and so is the scratchpad, which the library keeps for each thread (its default mode).
 *
 * Every function of the C API returns a status, 0 for success. Objects are pointers, here numbers. On the CPU, outside
 * of SYCL, `dnnl_primitive_execute` returns when the work is done, so nobody waits for the stream.
 *
 * `dnnl_sgemm` was measured too: on AVX2 it is what `gemm:jit` runs, 0.6 µs a call cheaper, and up to 15 % faster on some
 * products of a step; but it does not say which kernel it takes, and has no others where there are better ones.
 */

import { type Koffi, type LibraryHandle, optional } from '../ffi/koffi.js'
import { BF16_COLUMNS, BF16_DEPTH } from '../layouts.js'
import type { Bf16Shape, BindBf16, NativeGemm, ProductForm, ProductShape } from '../products.js'
import { type OpenLibrary, spelled, UnfitLibrary } from './library.js'

/** More than the structs of any 2.x, which are 696 and 2800 bytes in 2.6: the library writes them, nobody here reads them. */
const MEMORY_DESC_BYTES = 2048
const OPERATION_DESC_BYTES = 8192

const CPU = 1
const IN_ORDER = 1
const BF16 = 2
const F32 = 3
/** `dnnl_BA16a64b2a`: (k, n) in blocks of 32 x 64, of which rows lie in pairs. Of 2.6; a probe's products tell if it is. */
const PAIRS_OF_ROWS = 380
const QUERY_IMPLEMENTATION = 8
/** The kernels made for bf16, or AMX; others are several times slower. */
const BF16_KERNELS = 'brg'
const ARGUMENT = { src: 1, weights: 33, dst: 17 } as const
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
  const { bind, bindBf16, implementationOf, bf16Kernel } = products(koffi, handle)
  const isa = optional<() => number>(handle, 'int dnnl_get_effective_cpu_isa()')?.() ?? 0
  const implementations = (['nn', 'nt', 'tn'] as const).map(form => `${form} ${implementationOf(dense(form))}`)
  const [first, ...others] = implementations.map(text => text.slice(3))
  const kernels = others.every(name => name === first) ? first : implementations.join(', ')
  const kind = ISAS.find(([bits]) => (isa & bits) === bits)?.[1] ?? 'unknown CPU kind'
  const hasAvx512 = (isa & AVX512_CORE) === AVX512_CORE
  return {
    name: 'oneDNN',
    version,
    detail: `${kernels}, ${kind}`,
    gemm: { bind },
    bf16:
      (isa & AVX512_BF16) === AVX512_BF16
        ? { bind: bindBf16, kernel: bf16Kernel }
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

type Status = number

function products(koffi: Koffi, handle: LibraryHandle) {
  const call = <A extends unknown[]>(declaration: string) => {
    const f = optional<(...args: A) => Status>(handle, declaration)
    if (!f) throw new UnfitLibrary(`has no ${/(\w+)\(/.exec(declaration)?.[1]}`)
    return f
  }
  type Out = [number]
  const engineCreate = call<[Out, number, number]>('int dnnl_engine_create(_Out_ uintptr_t* e, int kind, size_t index)')
  const streamCreate = call<[Out, number, number]>(
    'int dnnl_stream_create(_Out_ uintptr_t* s, uintptr_t engine, uint32_t flags)',
  )
  const initMemoryDesc = call<[Uint8Array, number, BigInt64Array, number, BigInt64Array]>(
    'int dnnl_memory_desc_init_by_strides(void* md, int ndims, const void* dims, int type, const void* strides)',
  )
  const initBlocked = call<[Uint8Array, number, BigInt64Array, number, number]>(
    'int dnnl_memory_desc_init_by_tag(void* md, int ndims, const void* dims, int type, int tag)',
  )
  const initMatmul = call<[Uint8Array, Uint8Array, Uint8Array, null, Uint8Array]>(
    'int dnnl_matmul_desc_init(void* d, const void* src, const void* weights, const void* bias, const void* dst)',
  )
  const primitiveDescCreate = call<[Out, Uint8Array, number, number, number]>(
    'int dnnl_primitive_desc_create(_Out_ uintptr_t* pd, const void* d, uintptr_t attr, uintptr_t engine, uintptr_t hint)',
  )
  const primitiveDescDestroy = call<[number]>('int dnnl_primitive_desc_destroy(uintptr_t pd)')
  const query = call<[number, number, number, [string]]>(
    'int dnnl_primitive_desc_query(uintptr_t pd, int what, int index, _Out_ const char** text)',
  )
  const primitiveCreate = call<[Out, number]>('int dnnl_primitive_create(_Out_ uintptr_t* p, uintptr_t pd)')
  const memoryCreate = call<[Out, Uint8Array, number, number]>(
    'int dnnl_memory_create(_Out_ uintptr_t* m, const void* md, uintptr_t engine, uintptr_t handle)',
  )
  const setHandle = call<[number, number]>('int dnnl_memory_set_data_handle(uintptr_t m, uintptr_t handle)')
  const execute = call<[number, number, number, number]>(
    'int dnnl_primitive_execute(uintptr_t p, uintptr_t stream, int n, uintptr_t args)',
  )
  const attrCreate = call<[Out]>('int dnnl_primitive_attr_create(_Out_ uintptr_t* a)')
  const postOpsCreate = call<[Out]>('int dnnl_post_ops_create(_Out_ uintptr_t* p)')
  const appendSum = call<[number, number]>('int dnnl_post_ops_append_sum(uintptr_t p, float scale)')
  const setPostOps = call<[number, number]>('int dnnl_primitive_attr_set_post_ops(uintptr_t a, uintptr_t p)')

  const made = (what: string, create: (out: Out) => Status): number => {
    const out: Out = [0]
    good(what, create(out))
    return out[0]
  }
  const engine = made('dnnl_engine_create', out => engineCreate(out, CPU, 0))
  const stream = made('dnnl_stream_create', out => streamCreate(out, engine, IN_ORDER))
  /** dst += src · weights */
  const adding = made('dnnl_primitive_attr_create', attrCreate)
  const sum = made('dnnl_post_ops_create', postOpsCreate)
  good('dnnl_post_ops_append_sum', appendSum(sum, 1))
  good('dnnl_primitive_attr_set_post_ops', setPostOps(adding, sum))

  const describe = (rows: number, cols: number, rowStride: number, colStride: number, type = F32): Uint8Array => {
    const md = new Uint8Array(MEMORY_DESC_BYTES)
    good('dnnl_memory_desc_init_by_strides', initMemoryDesc(md, 2, pair(rows, cols), type, pair(rowStride, colStride)))
    return md
  }
  /** Of what `dnnl_matmul_desc_init` makes of a product's operands. */
  interface Described {
    readonly pd: number
    readonly operands: readonly [src: Uint8Array, weights: Uint8Array, dst: Uint8Array]
  }
  const describeMatmul = (...[src, weights, dst, accumulate]: [...Described['operands'], boolean]): Described => {
    const operation = new Uint8Array(OPERATION_DESC_BYTES)
    good('dnnl_matmul_desc_init', initMatmul(operation, src, weights, null, dst))
    const attr = accumulate ? adding : 0
    const pd = made('dnnl_primitive_desc_create', out => primitiveDescCreate(out, operation, attr, engine, 0))
    return { pd, operands: [src, weights, dst] }
  }
  const describeProduct = ({ form, m, n, k, lda, ldb, ldc, accumulate }: ProductShape): Described => {
    const src = form === 'tn' ? describe(m, k, 1, lda) : describe(m, k, lda, 1)
    const weights = form === 'nt' ? describe(k, n, 1, ldb) : describe(k, n, ldb, 1)
    return describeMatmul(src, weights, describe(m, n, ldc, 1), accumulate)
  }

  /** The kernel that the library takes, such as `gemm:jit`. */
  const implementation = (pd: number): string => {
    const text: [string] = ['']
    good('dnnl_primitive_desc_query', query(pd, QUERY_IMPLEMENTATION, 0, text))
    return text[0]
  }
  const implementationOf = (shape: ProductShape): string => implementation(describeProduct(shape).pd)

  const bindMatmul = (what: string, { pd, operands }: Described): ReturnType<NativeGemm['bind']> => {
    const primitive = made('dnnl_primitive_create', out => primitiveCreate(out, pd))
    good('dnnl_primitive_desc_destroy', primitiveDescDestroy(pd))
    const memories = operands.map(md => made('dnnl_memory_create', out => memoryCreate(out, md, engine, 0)))
    const [ma, mb, mc] = memories
    const args = new DataView(new ArrayBuffer(memories.length * ARGUMENT_BYTES))
    for (const [i, id] of [ARGUMENT.src, ARGUMENT.weights, ARGUMENT.dst].entries()) {
      args.setInt32(i * ARGUMENT_BYTES, id, true)
      args.setBigUint64(i * ARGUMENT_BYTES + 8, BigInt(memories[i]), true)
    }
    const argsAt = Number(koffi.address(args.buffer))
    // A task repeats its addresses from step to step; setting one costs as much as the call itself.
    let [atA, atB, atC] = [0, 0, 0]
    return (a, b, c) => {
      let status = 0
      if (a !== atA) status |= setHandle(ma, a)
      if (b !== atB) status |= setHandle(mb, b)
      if (c !== atC) status |= setHandle(mc, c)
      atA = a
      atB = b
      atC = c
      status |= execute(primitive, stream, args.byteLength / ARGUMENT_BYTES, argsAt)
      if (status !== 0) good(`dnnl_primitive_execute of ${what}`, status)
    }
  }

  const bind: NativeGemm['bind'] = shape => {
    const described = describeProduct(shape)
    const kernel = implementation(described.pd)
    // A plain loop, hundreds of times slower: better no product than that one.
    if (kernel.startsWith('ref')) {
      throw new UnfitLibrary(`runs ${spelled(shape)} in ${kernel}, expected an optimized kernel`)
    }
    return bindMatmul(spelled(shape), described)
  }

  const describeBf16 = ({ m, k, accumulate }: Bf16Shape): Described => {
    const weights = new Uint8Array(MEMORY_DESC_BYTES)
    good('dnnl_memory_desc_init_by_tag', initBlocked(weights, 2, pair(k, BF16_COLUMNS), BF16, PAIRS_OF_ROWS))
    const dst = describe(m, BF16_COLUMNS, BF16_COLUMNS, 1)
    return describeMatmul(describe(m, k, k, 1, BF16), weights, dst, accumulate)
  }

  const bindBf16: BindBf16 = shape => {
    const described = describeBf16(shape)
    const kernel = implementation(described.pd)
    const what = `bf16 ${shape.m}x${BF16_COLUMNS}x${shape.k}`
    if (!kernel.startsWith(BF16_KERNELS))
      throw new UnfitLibrary(`runs ${what} in ${kernel}, expected ${BF16_KERNELS}...`)
    return bindMatmul(what, described)
  }
  /** What the library multiplies bf16 with; throws where it cannot. */
  const bf16Kernel = (): string => implementation(describeBf16({ m: 256, k: 8 * BF16_DEPTH, accumulate: false }).pd)

  return { bind, bindBf16, implementationOf, bf16Kernel }
}

const pair = (a: number, b: number): BigInt64Array => BigInt64Array.of(BigInt(a), BigInt(b))

function good(what: string, status: Status): void {
  if (status !== 0) throw new UnfitLibrary(`${what} answers ${status}, expected 0`)
}
