/** The module's exports. The last three are there for tests of the parts. */
import { exp4, log64 } from './math'
import { philox4 } from './philox'

export { add_noise, elastic_fields, jitter_colours, warp_image } from './augment'
export {
  bf16_adam, bf16_backward, bf16_column_pairs, bf16_columns, bf16_forward, bf16_forward_dropout, bf16_pairs, bf16_rows,
  bf16_weights, copy_rows,
} from './bf16'
export { convolution_gradient, convolution_transpose, convolve } from './convolution'
export {
  bias_activate, bias_relu, bias_relu_dropout, column_sums, dropout, derivative_backward, relu_backward,
} from './elementwise'
export { gather, gather_scaled } from './gather'
export { gemm, transpose_blocks, weight_gradient } from './gemm'
export { list_columns } from './lists'
export { sigmoid_loss, softmax_loss, squared_loss, weigh_rows } from './losses'
export { flatten_panels, map_norm_backward, map_normalise, map_sums } from './map-norm'
export { gather_patches, pool, pool_backward, transpose_rows } from './maps'
export { micro_f32_3x12 } from './micro-kernels'
export { batch_norm, batch_norm_backward, batch_norm_score, layer_norm, layer_norm_backward, norm_sums } from './norm'
export { adam, adam_rows, add, approach, clip, limit_columns, lion, momentum, nesterov, rmsprop, scale, sgd, squares } from './optimizers'

/** Four exponentials, x[0..3] <= 0. Overwrites out. */
export function exp_f32(out: usize, x: usize): void {
  v128.store(out, exp4(v128.load(x)))
}

export function log_f64(x: f64): f64 {
  return log64(x)
}

/** Words of four counters (c0, c1, c2[0..3], c3), four words each. Overwrites out. */
export function philox_words(out: usize, c0: u32, c1: u32, c2: usize, c3: u32, k0: u32, k1: u32): void {
  philox4(out, c0, c1, c2, c3, k0, k1)
}
