/**
 * The functions of oneDNN 2.x's C API that products need, declared once for each thread. Every function returns a status, 0
 * for success. Objects are pointers, here numbers. Any thread.
 *
 * Results come back through typed arrays, not through koffi's `_Out_` parameters: those set properties of JavaScript objects,
 * which Node-API refuses in a thread that is being terminated, and koffi then ends the whole process.
 */
import { type Koffi, type LibraryHandle, optional } from '../../ffi/koffi.js'
import { UnfitLibrary } from './library.js'

/** Bytes larger than the structs of any 2.x, which are 696 and 2800 bytes in 2.6: the library writes them, nothing here reads them. */
const MEMORY_DESC_BYTES = 2048
const OPERATION_DESC_BYTES = 8192

const CPU = 1
const IN_ORDER = 1
const QUERY_IMPLEMENTATION = 8

/** dnnl_data_type_t */
export const BF16 = 2
export const F32 = 3

type Status = number
type Pointer = number

/** A matmul whose operands are described: what the library will run, before it is compiled. */
export interface Described {
  /** dnnl_primitive_desc_t */
  readonly pd: Pointer
  /** dnnl_memory_desc_t of each. */
  readonly operands: readonly [src: Uint8Array, weights: Uint8Array, dst: Uint8Array]
}

export interface OneDnn {
  /** Describes a matrix in memory with these strides, in elements. */
  describe(rows: number, cols: number, rowStride: number, colStride: number, type?: number): Uint8Array
  /** Describes a matrix in one of the library's blocked layouts. */
  describeBlocked(rows: number, cols: number, type: number, tag: number): Uint8Array
  /** dst = src · weights, or dst += that. */
  describeMatmul(operands: Described['operands'], accumulate: boolean): Described
  /** Name of the kernel that the library takes, such as `gemm:jit`. */
  implementationOf(described: Described): string
  /** Compiles a described matmul, whose descriptor it frees. */
  createPrimitive(described: Described): Pointer
  /** A memory object without memory: see `setHandle`. */
  createMemory(desc: Uint8Array): Pointer
  setHandle(memory: Pointer, address: number): Status
  /** Runs a primitive with `count` arguments at `args`; returns when the work is done. */
  execute(primitive: Pointer, count: number, args: number): Status
}

/** Creates the engine and the stream of the calling thread. Throws UnfitLibrary if a function is missing or fails. */
export function openApi(koffi: Koffi, handle: LibraryHandle): OneDnn {
  const f = declareFunctions(handle)
  const out = new BigUint64Array(1)
  const created = (what: string, create: (out: BigUint64Array) => Status): Pointer => {
    good(what, create(out))
    return Number(out[0])
  }
  const engine = created('dnnl_engine_create', out => f.engineCreate(out, CPU, 0))
  const stream = created('dnnl_stream_create', out => f.streamCreate(out, engine, IN_ORDER))
  const adding = created('dnnl_primitive_attr_create', f.attrCreate)
  const sum = created('dnnl_post_ops_create', f.postOpsCreate)
  good('dnnl_post_ops_append_sum', f.appendSum(sum, 1))
  good('dnnl_primitive_attr_set_post_ops', f.setPostOps(adding, sum))
  return {
    describe(rows, cols, rowStride, colStride, type = F32) {
      const desc = new Uint8Array(MEMORY_DESC_BYTES)
      const [dims, strides] = [pair(rows, cols), pair(rowStride, colStride)]
      good('dnnl_memory_desc_init_by_strides', f.initByStrides(desc, 2, dims, type, strides))
      return desc
    },
    describeBlocked(rows, cols, type, tag) {
      const desc = new Uint8Array(MEMORY_DESC_BYTES)
      good('dnnl_memory_desc_init_by_tag', f.initByTag(desc, 2, pair(rows, cols), type, tag))
      return desc
    },
    describeMatmul(operands, accumulate) {
      const [src, weights, dst] = operands
      const operation = new Uint8Array(OPERATION_DESC_BYTES)
      good('dnnl_matmul_desc_init', f.initMatmul(operation, src, weights, null, dst))
      const attr = accumulate ? adding : 0
      const pd = created('dnnl_primitive_desc_create', out => f.primitiveDescCreate(out, operation, attr, engine, 0))
      return { pd, operands }
    },
    implementationOf({ pd }) {
      good('dnnl_primitive_desc_query', f.query(pd, QUERY_IMPLEMENTATION, 0, out))
      return koffi.decode.string(out[0])
    },
    createPrimitive({ pd }) {
      const primitive = created('dnnl_primitive_create', out => f.primitiveCreate(out, pd))
      good('dnnl_primitive_desc_destroy', f.primitiveDescDestroy(pd))
      return primitive
    },
    createMemory: desc => created('dnnl_memory_create', out => f.memoryCreate(out, desc, engine, 0)),
    setHandle: f.setHandle,
    execute: (primitive, count, args) => f.execute(primitive, stream, count, args),
  }
}

type Out = BigUint64Array

function declareFunctions(handle: LibraryHandle) {
  const declare = <A extends unknown[]>(name: string, parameters: string) => {
    const f = optional<(...args: A) => Status>(handle, `int ${name}(${parameters})`)
    if (!f) throw new UnfitLibrary(`has no ${name}`)
    return f
  }
  return {
    engineCreate: declare<[Out, number, number]>('dnnl_engine_create', 'void* e, int kind, size_t index'),
    streamCreate: declare<[Out, Pointer, number]>('dnnl_stream_create', 'void* s, uintptr_t engine, uint32_t flags'),
    initByStrides: declare<[Uint8Array, number, BigInt64Array, number, BigInt64Array]>(
      'dnnl_memory_desc_init_by_strides',
      'void* md, int ndims, const void* dims, int type, const void* strides',
    ),
    initByTag: declare<[Uint8Array, number, BigInt64Array, number, number]>(
      'dnnl_memory_desc_init_by_tag',
      'void* md, int ndims, const void* dims, int type, int tag',
    ),
    initMatmul: declare<[Uint8Array, Uint8Array, Uint8Array, null, Uint8Array]>(
      'dnnl_matmul_desc_init',
      'void* d, const void* src, const void* weights, const void* bias, const void* dst',
    ),
    primitiveDescCreate: declare<[Out, Uint8Array, Pointer, Pointer, Pointer]>(
      'dnnl_primitive_desc_create',
      'void* pd, const void* d, uintptr_t attr, uintptr_t engine, uintptr_t hint',
    ),
    primitiveDescDestroy: declare<[Pointer]>('dnnl_primitive_desc_destroy', 'uintptr_t pd'),
    query: declare<[Pointer, number, number, Out]>(
      'dnnl_primitive_desc_query',
      'uintptr_t pd, int what, int index, void* text',
    ),
    primitiveCreate: declare<[Out, Pointer]>('dnnl_primitive_create', 'void* p, uintptr_t pd'),
    memoryCreate: declare<[Out, Uint8Array, Pointer, number]>(
      'dnnl_memory_create',
      'void* m, const void* md, uintptr_t engine, uintptr_t handle',
    ),
    setHandle: declare<[Pointer, number]>('dnnl_memory_set_data_handle', 'uintptr_t m, uintptr_t handle'),
    execute: declare<[Pointer, Pointer, number, number]>(
      'dnnl_primitive_execute',
      'uintptr_t p, uintptr_t stream, int n, uintptr_t args',
    ),
    attrCreate: declare<[Out]>('dnnl_primitive_attr_create', 'void* a'),
    postOpsCreate: declare<[Out]>('dnnl_post_ops_create', 'void* p'),
    appendSum: declare<[Pointer, number]>('dnnl_post_ops_append_sum', 'uintptr_t p, float scale'),
    setPostOps: declare<[Pointer, Pointer]>('dnnl_primitive_attr_set_post_ops', 'uintptr_t a, uintptr_t p'),
  }
}

const pair = (a: number, b: number): BigInt64Array => BigInt64Array.of(BigInt(a), BigInt(b))

/** Throws UnfitLibrary for a status that is not 0. */
export function good(what: string, status: Status): void {
  if (status !== 0) throw new UnfitLibrary(`${what} returned ${status}, expected 0`)
}
