/**
 * Kernels over oneDNN's products in bf16: operands are rounded to nearest even, sums and all else stay float32, as do
 * weights and moments. Instantiated once per thread.
 *
 * oneDNN 2.6 has fast kernels (`brg`) only for dense operands; with any other stride it falls back to slow ones without
 * a word. So a product is c (m, 64) = a (m, k) · b (k, 64), a and c dense, b in pairs of rows as the instructions want
 * it, and everything here lies in strips of 64 columns:
 *
 * - a batch matrix (B, cols): the float32 numbers row-major, rows padded to 64; after them the same in bf16 (B, K), dense,
 *   what a product reads as a; after that, what a gradient reads: of deltas in bf16 in pairs of rows, strip after strip,
 *   its b; of activations in bf16 transposed, (cols, B), its a;
 * - a weight (I, O), its moments and gradients: float32, `(O / 64, I, 64)`, so that the tile of a product is contiguous;
 * - derived from it: bf16 in pairs of rows, what `linear` reads as b, and that of its transpose, for `linearBackward`.
 *
 * Whoever writes a batch matrix or a tile of weights writes the bf16 forms with it.
 *
 * Test: npx tap dist/test/tensor/bf16.test.js   Bench: npm run bench -- step --backends onednn
 */
import type { OptimizerStep } from '../../model/optimizer.js'
import { byteOffsetOf, type Matrix } from '../../tensor/tensor.js'
import { instantiateWasm, type WasmExports } from '../abi.js'
import type {
  Backend,
  BlockKernel,
  Columns,
  KernelContext,
  Kernels,
  Tile,
  WeightTensors,
  WeightUpdate,
} from '../backend.js'
import { bindMask } from '../module/elementwise.js'
import { BF16_COLUMNS, BF16_DEPTH, type BindBf16, type NativeGemm, type NativeProducts } from '../products.js'
import { checkLinear, checkLinearBackward, checkWeightUpdate } from '../shapes.js'
import { adamNumbers, bindOptimizer, bindRuns, isAdam } from '../wasm/update.js'
import { nativeBackend } from './rows.js'

const F32_BYTES = 4
const BF16_BYTES = 2
const VECTOR = 4
const OCTET = 8
/** Of a strip's row in float32, and of two of its rows in bf16. */
const STRIP_ROW_BYTES = BF16_COLUMNS * F32_BYTES
const PAIR_BYTES = 2 * BF16_COLUMNS * BF16_BYTES
const LINE_BYTES = 64

/** A product of 256 x 64 is worth its call, and its weights, moments and gradient stay in the second-level cache. */
const TILE = { inputs: 512, outputs: 512 }

const upTo = (n: number, unit: number): number => Math.ceil(n / unit) * unit
const widthOf = (cols: number): number => upTo(cols, BF16_COLUMNS)
const depthOf = (n: number): number => upTo(n, BF16_DEPTH)
/** Bytes of a (k, n) operand in pairs of rows. */
const pairsBytes = (k: number, n: number): number => depthOf(k) * widthOf(n) * BF16_BYTES

export function bf16Backend(): Backend {
  const f32 = nativeBackend('onednn')
  return {
    ...f32,
    tileUnit: { inputs: BF16_COLUMNS, outputs: BF16_COLUMNS },
    bestTile: TILE,
    blockColumns: BF16_COLUMNS,
    blockRows: BF16_DEPTH,
    scratchBytes: (widest, rows, augmentation) =>
      Math.max(ownScratchBytes(rows), f32.scratchBytes(widest, rows, augmentation)),
    // Both bf16 forms take as much as the float32 one.
    matrixShape: (rows, cols) => [2 * depthOf(rows), widthOf(cols)],
    weightShape: (inputs, outputs) => [widthOf(outputs) / BF16_COLUMNS, inputs, BF16_COLUMNS],
    derivedShape: (inputs, outputs, { training, first }) => [
      (pairsBytes(inputs, outputs) + (training && !first ? pairsBytes(outputs, inputs) : 0)) / F32_BYTES,
    ],
    biasShape: outputs => [widthOf(outputs)],
    instantiate: context => instantiate(context, f32),
  }
}

/** Of a tile's transposed inputs, and of a product before it is put where it belongs, or of a tile's gradient. */
function ownScratchBytes(rows: number): number {
  return TILE.inputs * depthOf(rows) * BF16_BYTES + Math.max(TILE.inputs, depthOf(rows)) * STRIP_ROW_BYTES
}

/** Where the forms of a batch matrix lie. */
interface Forms {
  readonly at: number
  readonly stride: number
  /** bf16 (B, depth) */
  readonly rowsAt: number
  readonly depth: number
  /** Of deltas: bf16 in pairs of rows; bytes from strip to strip. */
  readonly pairsAt: number
  readonly stripBytes: number
  /** Of activations, in the same place: bf16 (cols, B), and how many rows B is. */
  readonly columnsAt: number
  readonly capacity: number
}

function formsOf({ cols, tensor }: Matrix): Forms {
  const at = byteOffsetOf(tensor)
  const rows = tensor.shape[0] / 2
  const stride = tensor.shape[1] * F32_BYTES
  const rowsAt = at + rows * stride
  const depth = depthOf(cols)
  const last = rowsAt + rows * depth * BF16_BYTES
  return {
    at,
    stride,
    rowsAt,
    depth,
    pairsAt: last,
    stripBytes: (rows * PAIR_BYTES) / 2,
    columnsAt: last,
    capacity: rows,
  }
}

const allColumns = (cols: number): Columns => ({ start: 0, end: cols })

function instantiate(context: KernelContext, f32: Backend): Kernels {
  const { memory, module, scratchByteOffset: scratch, native } = context
  if (!module) throw new TypeError('bf16.instantiate: module is null, expected what compile() returned')
  const portable = instantiateWasm(module, memory)
  const wasm = native?.faster?.(portable) ?? portable
  const kernels = f32.instantiate(context)
  const products = productsOf(native)

  /** Writes the bf16 form that products read as a. */
  const rowsForm = (matrix: Matrix) => {
    const { at, stride, rowsAt, depth } = formsOf(matrix)
    return (row: number, rows: number, { start, end } = allColumns(matrix.cols)) => {
      const to = rowsAt + (row * depth + start) * BF16_BYTES
      const octets = (depthOf(end) - start) / OCTET
      wasm.bf16_rows(to, depth * BF16_BYTES, at + row * stride + start * F32_BYTES, stride, rows, octets)
    }
  }

  /** Writes the one that gradients read of activations. `row` is a multiple of BF16_DEPTH. */
  const columnsForm = (matrix: Matrix) => {
    const { at, stride, columnsAt, capacity } = formsOf(matrix)
    return (row: number, rows: number, { start, end } = allColumns(matrix.cols)) => {
      const to = columnsAt + (start * capacity + row) * BF16_BYTES
      const from = at + row * stride + start * F32_BYTES
      const vectors = (widthOf(end) - start) / VECTOR
      wasm.bf16_columns(to, capacity * BF16_BYTES, from, stride, rows, vectors, depthOf(rows))
    }
  }

  /** Both: of activations; the second is for training alone. */
  const activationForms = (matrix: Matrix) => {
    const [asRows, asColumns] = [rowsForm(matrix), columnsForm(matrix)]
    return (row: number, rows: number, training: boolean, columns?: Columns) => {
      asRows(row, rows, columns)
      if (training) asColumns(row, rows, columns)
    }
  }

  /** Both bf16 forms of deltas. `row` is a multiple of BF16_DEPTH. */
  const deltaForms = (matrix: Matrix) => {
    const asRows = rowsForm(matrix)
    const { at, stride, pairsAt, stripBytes } = formsOf(matrix)
    return (row: number, rows: number, columns = allColumns(matrix.cols)) => {
      asRows(row, rows, columns)
      for (let start = columns.start; start < columns.end; start += BF16_COLUMNS) {
        const to = pairsAt + (start / BF16_COLUMNS) * stripBytes + (row / 2) * PAIR_BYTES
        wasm.bf16_pairs(to, at + row * stride + start * F32_BYTES, stride, rows, depthOf(rows))
      }
    }
  }

  const biasActivate: Kernels['biasActivate'] = (...args) => {
    const activate = kernels.biasActivate(...args)
    const forms = activationForms(args[0])
    return (row, rows, epoch, training, columns) => {
      const finite = activate(row, rows, epoch, training, columns)
      forms(row, rows, training, columns)
      return finite
    }
  }

  const activateBackward: Kernels['activateBackward'] = (...args) => {
    const activate = kernels.activateBackward(...args)
    const forms = deltaForms(args[0])
    return (row, rows, columns) => {
      const finite = activate(row, rows, columns)
      forms(row, rows, columns)
      return finite
    }
  }

  return {
    ...kernels,
    biasActivate,
    activateBackward,
    gather(...args) {
      const gather = kernels.gather(...args)
      const forms = activationForms(args[0])
      return (row, rows) => {
        gather(row, rows)
        forms(row, rows, true)
      }
    },
    dropout(...args) {
      const drop = kernels.dropout(...args)
      const forms = activationForms(args[0])
      return (row, rows, epoch) => {
        drop(row, rows, epoch)
        forms(row, rows, true)
      }
    },
    softmaxLoss(args) {
      return withDeltas(kernels.softmaxLoss(args), deltaForms(args.z))
    },
    squaredLoss(args) {
      return withDeltas(kernels.squaredLoss(args), deltaForms(args.z))
    },
    batchNormBackward(...args) {
      const backward = kernels.batchNormBackward(...args)
      const forms = deltaForms(args[0])
      return (rows, columns) => {
        const finite = backward(rows, columns)
        forms(0, rows, columns)
        return finite
      }
    },
    layerNormBackward(...args) {
      const backward = kernels.layerNormBackward(...args)
      const forms = deltaForms(args[0])
      return (row, rows) => {
        const finite = backward(row, rows)
        forms(row, rows)
        return finite
      }
    },
    linear(out, x, w) {
      checkLinear(out, x, w)
      if (!w.derived) return linearInF32(native, wasm, scratch, out, x, w)
      const multiply = strips(products, scratch, out, x, byteOffsetOf(w.derived))
      const place = bindPlace(wasm, scratch, out)
      return (row, rows, columns) => void multiply(row, rows, columns, place)
    },
    linearBackward(dx, dz, w) {
      checkLinearBackward(dx, dz, w)
      const multiply = strips(products, scratch, dx, dz, transposedOf(w))
      const place = bindPlace(wasm, scratch, dx)
      return (row, rows, columns) => void multiply(row, rows, columns, place)
    },
    linearActivate(out, x, w, bias, activation, dropout) {
      checkLinear(out, x, w)
      if (!w.derived || activation.type !== 'relu') return null
      const multiply = strips(products, scratch, out, x, byteOffsetOf(w.derived))
      const place = bindPlace(wasm, scratch, out)
      const activate = biasActivate(out, bias, activation, dropout)
      const turn = columnsForm(out)
      // Nothing is left in the scratch when the mask is drawn there.
      const maskOf = bindMask(dropout, scratch)
      const forms = formsOf(out)
      const biasAt = byteOffsetOf(bias.master)
      return (row, rows, epoch, training, columns) => {
        const drops = training && dropout.rate > 0
        const mask = maskOf(row, epoch)
        const finite = multiply(row, rows, columns, (row, rows, column, ahead, aheadRow) => {
          if (column + BF16_COLUMNS > forms.depth) {
            place(row, rows, column)
            return activate(row, rows, epoch, training, { start: column, end: out.cols })
          }
          const { at, stride, rowsAt, depth } = forms
          const b = biasAt + column * F32_BYTES
          const z = at + row * stride + column * F32_BYTES
          const to = rowsAt + (row * depth + column) * BF16_BYTES
          const strip = [z, stride, scratch, rows, b, to, depth * BF16_BYTES, ahead, aheadRow] as const
          const bad = drops
            ? wasm.bf16_forward_dropout(...strip, column / VECTOR, ...mask)
            : wasm.bf16_forward(...strip)
          return bad === 0
        })
        if (training) turn(row, rows, columns)
        return finite
      }
    },
    linearActivateBackward(dx, dz, w, a, activation, rate) {
      checkLinearBackward(dx, dz, w)
      if (activation.type !== 'relu') return null
      const multiply = strips(products, scratch, dx, dz, transposedOf(w))
      const place = bindPlace(wasm, scratch, dx)
      const activate = activateBackward(dx, a, activation, rate)
      const [forms, left] = [formsOf(dx), formsOf(a)]
      const scale = 1 / (1 - rate)
      return (row, rows, columns) =>
        multiply(row, rows, columns, (row, rows, column, ahead, aheadRow) => {
          if (column + BF16_COLUMNS > forms.depth) {
            place(row, rows, column)
            return activate(row, rows, { start: column, end: dx.cols })
          }
          const { at, stride, rowsAt, depth, pairsAt, stripBytes } = forms
          const bad = wasm.bf16_backward(
            ...([at + row * stride + column * F32_BYTES, stride, scratch, rows] as const),
            ...([left.at + row * left.stride + column * F32_BYTES, left.stride] as const),
            ...([rowsAt + (row * depth + column) * BF16_BYTES, depth * BF16_BYTES] as const),
            ...([pairsAt + (column / BF16_COLUMNS) * stripBytes + (row / 2) * PAIR_BYTES, depthOf(rows)] as const),
            ...([ahead, aheadRow, scale] as const),
          )
          return bad === 0
        })
    },
    derive: w => bindDeriveTile(wasm, w),
    weightUpdate: (w, x, dz) => bindWeightUpdate(wasm, products, scratch, w, x, dz),
    storeRow(w, i, values) {
      eachStrip(w, i, (at, start, end) => w.master.data.set(values.subarray(start, end), at))
    },
    loadRow(w, i, values) {
      eachStrip(w, i, (at, start, end) => {
        values.set(w.master.data.subarray(at, at + end - start) as Float32Array, start)
      })
    },
  }
}

/** Where the loss leaves deltas, they are rounded; where it only scores, nobody reads what it leaves. */
function withDeltas(
  loss: (row: number, rows: number, deltaScale: number) => boolean,
  forms: (row: number, rows: number) => void,
): (row: number, rows: number, deltaScale: number) => boolean {
  return (row, rows, deltaScale) => {
    const finite = loss(row, rows, deltaScale)
    if (deltaScale > 0) forms(row, rows)
    return finite
  }
}

/** Visits row i of the weights strip by strip: index into the master's data, outputs [start, end). */
function eachStrip(
  { master, outputs }: WeightTensors,
  i: number,
  visit: (at: number, start: number, end: number) => void,
) {
  for (let start = 0; start < outputs; start += BF16_COLUMNS) {
    visit(master.index(start / BF16_COLUMNS, i, 0), start, Math.min(start + BF16_COLUMNS, outputs))
  }
}

/** c = a · b, or plus that; all are byte offsets in the arena. */
type Multiply = (m: number, k: number, a: number, b: number, c: number, accumulate?: boolean) => void

/** Each shape is bound at its first use. A layer has few: a list is searched faster than a map. */
function productsOf(native: NativeProducts | null): Multiply {
  if (!native) {
    return () => {
      throw new TypeError('bf16: the library is not open in this thread')
    }
  }
  const { bf16, base } = native
  if (!bf16) throw new TypeError('bf16: the library has no products in bf16')
  const known: { m: number; k: number; accumulate: boolean; run: ReturnType<BindBf16> }[] = []
  return (m, k, a, b, c, accumulate = false) => {
    let bound = known.find(shape => shape.m === m && shape.k === k && shape.accumulate === accumulate)
    if (!bound) {
      bound = { m, k, accumulate, run: bf16({ m, k, accumulate }) }
      known.push(bound)
    }
    bound.run(base + a, base + b, base + c)
  }
}

/**
 * What becomes of a strip of a product, rows of which are in the scratch; says whether it is finite. What the next
 * product reads begins at `ahead`: so many bytes of it for each row.
 */
type FinishStrip = (row: number, rows: number, column: number, ahead: number, aheadRow: number) => boolean

/** A block of a · b, strip by strip through the scratch; `b` is in pairs of rows. Says whether all strips are finite. */
function strips(multiply: Multiply, scratch: number, out: Matrix, a: Matrix, b: number) {
  const from = formsOf(a)
  const stripBytes = from.depth * BF16_COLUMNS * BF16_BYTES
  return (row: number, rows: number, { start, end }: Columns = allColumns(out.cols), finish: FinishStrip): boolean => {
    const aheadRow = upTo(stripBytes / rows, LINE_BYTES)
    let finite = true
    for (let column = start; column < end; column += BF16_COLUMNS) {
      const strip = b + (column / BF16_COLUMNS) * stripBytes
      const hasNext = column + BF16_COLUMNS < end
      multiply(rows, from.depth, from.rowsAt + row * from.depth * BF16_BYTES, strip, scratch)
      if (!finish(row, rows, column, strip + stripBytes, hasNext ? aheadRow : 0)) finite = false
    }
    return finite
  }
}

/** Copies a strip of a product to where it belongs. */
function bindPlace(wasm: WasmExports, scratch: number, out: Matrix) {
  const { at, stride } = formsOf(out)
  return (row: number, rows: number, column: number): boolean => {
    const to = at + row * stride + column * F32_BYTES
    wasm.copy_rows(to, stride, scratch, STRIP_ROW_BYTES, rows, STRIP_ROW_BYTES)
    return true
  }
}

function transposedOf({ derived, inputs, outputs }: WeightTensors): number {
  if (!derived) throw new TypeError('linearBackward: w.derived is null, expected the bf16 forms of the weights')
  return byteOffsetOf(derived) + pairsBytes(inputs, outputs)
}

/** out = x · w where no bf16 form is kept: averages of weights, which are scored and never trained. */
function linearInF32(
  native: NativeProducts | null,
  wasm: WasmExports,
  scratch: number,
  out: Matrix,
  x: Matrix,
  w: WeightTensors,
): BlockKernel {
  if (!native) throw new TypeError('bf16: the library is not open in this thread')
  const { gemm, base } = native
  const bound = new Map<number, ReturnType<NativeGemm['bind']>>()
  const to = formsOf(out)
  const from = formsOf(x)
  const shape = { form: 'nn', n: BF16_COLUMNS, k: w.inputs, lda: from.stride / F32_BYTES } as const
  return (row, rows, { start, end } = allColumns(out.cols)) => {
    let run = bound.get(rows)
    if (!run) {
      run = gemm.bind({ ...shape, m: rows, ldb: BF16_COLUMNS, ldc: BF16_COLUMNS, accumulate: false })
      bound.set(rows, run)
    }
    for (let column = start; column < end; column += BF16_COLUMNS) {
      const strip = byteOffsetOf(w.master) + (column / BF16_COLUMNS) * w.inputs * STRIP_ROW_BYTES
      run(base + from.at + row * from.stride, base + strip, base + scratch)
      const place = to.at + row * to.stride + column * F32_BYTES
      wasm.copy_rows(place, to.stride, scratch, STRIP_ROW_BYTES, rows, STRIP_ROW_BYTES)
    }
  }
}

function bindWeightUpdate(
  wasm: WasmExports,
  multiply: Multiply,
  scratch: number,
  w: WeightTensors,
  x: Matrix, //  (B, I)
  dz: Matrix, // (B, O)
): WeightUpdate {
  checkWeightUpdate(w, x, dz)
  const apply = bindOptimizer(wasm)
  const { inputs, outputs } = w
  const master = byteOffsetOf(w.master)
  const moments = w.moments.map(byteOffsetOf)
  const xs = formsOf(x)
  const dzs = formsOf(dz)
  const forms = bindForms(w)
  const derive = bindDerive(wasm, w)
  const deriveTile = bindDeriveTile(wasm, w)

  /** Of the numbers of a tile's strip, from the first of the matrix. */
  const placeOf = (strip: number, inputStart: number) => (strip * inputs + inputStart) * STRIP_ROW_BYTES
  const stripsOf = ({ outputStart, outputEnd }: Tile) => ({
    first: outputStart / BF16_COLUMNS,
    end: Math.ceil(outputEnd / BF16_COLUMNS),
  })

  /** Visits the parts of a tile whose products have one shape. Of fewer rows than there may be, inputs are transposed anew, into the scratch. */
  const eachPart = (
    tile: Tile,
    row: number,
    rows: number,
    visit: (part: { strip: number; inputStart: number; height: number; multiplyInto: Into }) => void,
  ) => {
    const depth = depthOf(rows)
    const { first, end } = stripsOf(tile)
    for (let inputStart = tile.inputStart; inputStart < tile.inputEnd; inputStart += TILE.inputs) {
      const height = Math.min(TILE.inputs, tile.inputEnd - inputStart)
      let turned = xs.columnsAt + inputStart * depth * BF16_BYTES
      if (depth !== xs.capacity) {
        turned = scratch
        const from = xs.at + row * xs.stride + inputStart * F32_BYTES
        wasm.bf16_columns(turned, depth * BF16_BYTES, from, xs.stride, rows, Math.ceil(height / VECTOR), depth)
      }
      for (let strip = first; strip < end; strip++) {
        const deltas = dzs.pairsAt + strip * dzs.stripBytes + (row / 2) * PAIR_BYTES
        const multiplyInto: Into = (g, accumulate) => multiply(height, depth, turned, deltas, g, accumulate)
        visit({ strip, inputStart, height, multiplyInto })
      }
    }
  }
  type Into = (g: number, accumulate: boolean) => void

  const update = (strip: number, inputStart: number, height: number, g: number, step: OptimizerStep) => {
    const offset = placeOf(strip, inputStart)
    const at = moments.map(moment => moment + offset)
    const n = height * BF16_COLUMNS
    if (isAdam(step) && w.derived) {
      if (step.clip < Number.POSITIVE_INFINITY) wasm.clip(g, n, step.clip)
      const numbers = adamNumbers(step, step.decay, step.weightDecay)
      return wasm.bf16_adam(...forms(strip, inputStart, height), at[0], at[1], g, ...numbers)
    }
    apply(master + offset, at, g, n, 'weight', step)
    derive(strip, inputStart, height)
  }

  /** Visits the tile's numbers in runs: strip, bytes from the first of the matrix, floats. */
  const eachRun = (tile: Tile, visit: (offset: number, n: number, strip: number) => void) => {
    const { first, end } = stripsOf(tile)
    const n = (tile.inputEnd - tile.inputStart) * BF16_COLUMNS
    for (let strip = first; strip < end; strip++) visit(placeOf(strip, tile.inputStart), n, strip)
  }
  return {
    fused(tile, rows, step) {
      const gradient = scratch + TILE.inputs * depthOf(rows) * BF16_BYTES
      eachPart(tile, 0, rows, ({ strip, inputStart, height, multiplyInto }) => {
        multiplyInto(gradient, false)
        update(strip, inputStart, height, gradient, step)
      })
    },
    accumulate(buffer, tile, row, rows, first) {
      const at = byteOffsetOf(buffer)
      eachPart(tile, row, rows, ({ strip, inputStart, multiplyInto }) => {
        multiplyInto(at + placeOf(strip, inputStart), !first)
      })
    },
    reduce(buffers, tile, step) {
      const [sum, ...others] = buffers.map(byteOffsetOf)
      const height = tile.inputEnd - tile.inputStart
      eachRun(tile, (offset, n, strip) => {
        for (const other of others) wasm.add(sum + offset, other + offset, n)
        update(strip, tile.inputStart, height, sum + offset, step)
      })
    },
    limit({ start, end }, limit) {
      for (let column = start; column < end; column += BF16_COLUMNS) {
        const vectors = Math.ceil(Math.min(BF16_COLUMNS, end - column) / VECTOR)
        wasm.limit_columns(master + placeOf(column / BF16_COLUMNS, 0), STRIP_ROW_BYTES, inputs, vectors, limit)
      }
      deriveTile({ inputStart: 0, inputEnd: inputs, outputStart: start, outputEnd: Math.min(end, outputs) })
    },
    ...bindRuns(wasm, master, eachRun),
  }
}

function bindDeriveTile(wasm: WasmExports, w: WeightTensors): (tile: Tile) => void {
  const derive = bindDerive(wasm, w)
  return ({ inputStart, inputEnd, outputStart, outputEnd }) => {
    for (let column = outputStart; column < outputEnd; column += BF16_COLUMNS) {
      derive(column / BF16_COLUMNS, inputStart, inputEnd - inputStart)
    }
  }
}

/** Writes the bf16 forms of inputs [inputStart, inputStart + height) of a strip; inputStart is a multiple of 64. */
function bindDerive(wasm: WasmExports, w: WeightTensors): (strip: number, inputStart: number, height: number) => void {
  if (!w.derived) return () => {}
  const forms = bindForms(w)
  return (strip, inputStart, height) => wasm.bf16_weights(...forms(strip, inputStart, height))
}

/** Where inputs [inputStart, inputStart + height) of a strip lie in the master, and in both forms, as `bf16_weights` takes them. */
function bindForms({ master, derived, inputs, outputs }: WeightTensors) {
  if (!derived)
    return () => {
      throw new TypeError('bf16: w.derived is null, expected the bf16 forms of the weights')
    }
  const from = byteOffsetOf(master)
  const forward = byteOffsetOf(derived)
  const forwardStrip = depthOf(inputs) * BF16_COLUMNS * BF16_BYTES
  const isTrained = derived.shape[0] * F32_BYTES > pairsBytes(inputs, outputs)
  const backward = forward + pairsBytes(inputs, outputs)
  const depth = depthOf(outputs)
  const turnedBlock = depth * BF16_COLUMNS * BF16_BYTES
  return (strip: number, inputStart: number, height: number) => {
    const turned = backward + ((inputStart / BF16_COLUMNS) * depth + strip * BF16_COLUMNS) * BF16_COLUMNS * BF16_BYTES
    const turnedPairs = Math.min(BF16_COLUMNS, depth - strip * BF16_COLUMNS) / 2
    return [
      ...([from + (strip * inputs + inputStart) * STRIP_ROW_BYTES, height, depthOf(height)] as const),
      ...([forward + strip * forwardStrip + (inputStart / 2) * PAIR_BYTES] as const),
      ...([isTrained ? turned : 0, turnedBlock, turnedPairs] as const),
    ] as const
  }
}
