/** Binds the kernels of assembly/map-norm.ts: batch normalisation of row-major maps. Runs in workers. */
import { byteOffsetOf, type FloatTensor } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type { MapKernels } from '../backend.js'
import { F32_BYTES } from '../layouts.js'
import type { MapNorm } from '../map-norm.js'
import { checkMapNorm, mapNormWidth } from '../shapes.js'

const VECTOR = 4
/** Floats of a table for each vector of channels. */
const TABLE = 16
const F64_BYTES = 8

/** Scratch for the table of so many channels. */
export const mapNormScratchBytes = (channels: number): number => (mapNormWidth(channels) / VECTOR) * TABLE * F32_BYTES

/** `scratch` takes `mapNormScratchBytes`, at a multiple of 16. */
export function bindMapNorm(wasm: WasmExports, memory: ArrayBufferLike, scratch: number): MapKernels['batchNorm'] {
  return (z, normed, dz) => {
    checkMapNorm(z, normed, dz)
    const channels = z.cols
    const vectors = mapNormWidth(channels) / VECTOR
    const [zs, ns, ds] = [z, normed, dz].map(matrix =>
      matrix ? { at: byteOffsetOf(matrix.tensor), row: matrix.tensor.shape[1] * F32_BYTES } : { at: 0, row: 0 },
    )
    const table = new Float32Array(memory as ArrayBuffer, scratch, vectors * TABLE)
    /** Writes vector `which` of each four of the table. */
    const put = (which: number, channel: number, value: number) => {
      table[Math.floor(channel / VECTOR) * TABLE + which * VECTOR + (channel % VECTOR)] = value
    }
    const sumsOf = (a: typeof zs, b: typeof zs): MapNorm['sums'] => {
      return (sums, group, row, rows, first) => {
        const at = placeOf(sums, group)
        if (first) sums.data.fill(0, at.index, at.index + 2 * at.width)
        wasm.map_sums(
          ...([at.products, at.sums, a.at + row * a.row, a.row, b.at + row * b.row, b.row] as const),
          ...([rows, vectors] as const),
        )
      }
    }
    return {
      sums: sumsOf(zs, zs),
      gradientSums: sumsOf(ds, ns),
      normalise(row, rows, [mean, inverse, scale], keeps) {
        table.fill(0)
        for (let c = 0; c < channels; c++) {
          put(0, c, mean[c])
          put(1, c, mean[c] - Math.fround(mean[c]))
          put(2, c, inverse[c])
          put(3, c, scale[c])
        }
        const to = keeps ? ns : { at: 0, row: 0 }
        const place = keeps ? to.at + row * to.row : 0
        wasm.map_normalise(zs.at + row * zs.row, zs.row, place, to.row, rows, vectors, scratch)
      },
      backward(row, rows, [factor, shift, scale]) {
        table.fill(0)
        for (let c = 0; c < channels; c++) {
          put(0, c, factor[c])
          put(1, c, shift[c])
          put(2, c, scale[c])
        }
        const dy = ds.at + row * ds.row
        return wasm.map_norm_backward(dy, ds.row, ns.at + row * ns.row, ns.row, rows, vectors, scratch) === 0
      },
    }
  }
}

/** Sums of a group: (2, width), of products first. */
function placeOf(sums: FloatTensor, group: number) {
  const width = sums.shape[2]
  const at = byteOffsetOf(sums) + group * 2 * width * F64_BYTES
  return { width, index: sums.offset + group * 2 * width, products: at, sums: at + width * F64_BYTES }
}
