/**
 * The WASM module as TypeScript sees it: pointers are byte offsets into the arena, sizes as in the AssemblyScript
 * sources under module/assembly/, where each function states what it overwrites. Runs on any thread.
 */
type Pointer = number

/** Place of a matrix, as module/assembly/layout.ts defines it. */
export type Place = readonly [at: Pointer, panelStride: number, rowStride: number]
export type Extent = readonly [rows: number, panels: number, vectors: number]

/** Features (N, features), bytes or floats, of which some rows are shifted and scaled. */
type ScaledRows = readonly [from: Pointer, floats: number, samples: Pointer, offset: Pointer, factor: Pointer]
/** Arguments that decide which units dropout keeps. */
type Mask = readonly [
  ...[samples: Pointer, scratch: Pointer, k0: number, k1: number],
  ...[layer: number, epoch: number, threshold: number, scale: number],
]

type AdamScalars = readonly [
  ...[stepSize: number, beta1: number, oneMinusBeta1: number, beta2: number, oneMinusBeta2: number],
  ...[invBiasCorrection2: number, epsilon: number, decay: number, weightDecay: number],
]
/** Rows of a dense 64-column block of weights, and where their layouts in bf16 begin. */
type WeightBlock = readonly [
  ...[w: Pointer, rows: number, padded: number, pairs: Pointer],
  ...[transposed: Pointer, transposedBlock: number, transposedPairs: number],
]
/** A dense 64-column block of a product, and where it goes. */
type ForwardBlock = readonly [
  ...[z: Pointer, zRow: number, block: Pointer, rows: number, bias: Pointer],
  ...[to: Pointer, toStride: number, ahead: Pointer, aheadRow: number],
]

export interface WasmExports {
  elastic_fields(
    dx: Pointer,
    dy: Pointer,
    scratch: Pointer,
    weights: Pointer,
    height: number,
    stride: number,
    radius: number,
    factor: number,
    image: number,
    stream: number,
    epoch: number,
    k0: number,
    k1: number,
  ): void
  warp_image(
    to: Pointer,
    from: Pointer,
    height: number,
    width: number,
    channels: number,
    padded: Pointer,
    m0: number,
    m1: number,
    m2: number,
    m3: number,
    m4: number,
    m5: number,
    dx: Pointer,
    dy: Pointer,
    stride: number,
  ): void
  jitter_colours(
    pixels: Pointer,
    count: number,
    channels: number,
    brightness: number,
    contrast: number,
    saturation: number,
  ): void
  add_noise(
    pixels: Pointer,
    count: number,
    factor: number,
    scratch: Pointer,
    image: number,
    stream: number,
    epoch: number,
    k0: number,
    k1: number,
  ): void
  gemm(
    c: Pointer,
    cStride: number,
    a: Pointer,
    aStride: number,
    b: Pointer,
    rows: number,
    kPanels: number,
    nPanels: number,
    scratch: Pointer,
  ): void
  list_columns(lists: Pointer, spans: Pointer, x: Pointer, xStride: number, rows: number, iPanels: number): Pointer
  weight_gradient(
    g: Pointer,
    gStride: number,
    spans: Pointer,
    dz: Pointer,
    dzStride: number,
    iPanels: number,
    oPanels: number,
    accumulate: number,
  ): void
  transpose_blocks(t: Pointer, tStride: number, w: Pointer, iPanels: number): void
  adam(...args: [w: Pointer, m: Pointer, v: Pointer, g: Pointer, n: number, ...AdamScalars]): void
  adam_rows(
    ...args: [
      ...[w: Pointer, m: Pointer, v: Pointer, g: Pointer, n: number, rows: number],
      ...[row: number, mRow: number, gRow: number],
      ...AdamScalars,
    ]
  ): void
  momentum(
    w: Pointer,
    v: Pointer,
    g: Pointer,
    n: number,
    stepSize: number,
    beta: number,
    oneMinusBeta: number,
    decay: number,
    weightDecay: number,
  ): void
  nesterov(
    w: Pointer,
    v: Pointer,
    g: Pointer,
    n: number,
    stepSize: number,
    momentum: number,
    decay: number,
    weightDecay: number,
  ): void
  rmsprop(
    w: Pointer,
    v: Pointer,
    g: Pointer,
    n: number,
    stepSize: number,
    beta: number,
    oneMinusBeta: number,
    epsilon: number,
    decay: number,
    weightDecay: number,
  ): void
  lion(
    w: Pointer,
    m: Pointer,
    g: Pointer,
    n: number,
    stepSize: number,
    beta1: number,
    oneMinusBeta1: number,
    beta2: number,
    oneMinusBeta2: number,
    decay: number,
    weightDecay: number,
  ): void
  sgd(w: Pointer, g: Pointer, n: number, stepSize: number, decay: number, weightDecay: number): void
  clip(x: Pointer, n: number, limit: number): void
  limit_columns(w: Pointer, stride: number, rows: number, vectors: number, limit: number): void
  squares(x: Pointer, n: number): number
  scale(x: Pointer, n: number, factor: number): void
  approach(to: Pointer, from: Pointer, n: number, share: number): void
  add(to: Pointer, from: Pointer, n: number): void
  // Panels and row-major matrices, which are one panel:
  gather(...args: [...out: Place, ...Extent, features: number, images: Pointer, samples: Pointer]): void
  gather_scaled(...args: [...out: Place, ...Extent, features: number, ...ScaledRows]): void
  bias_relu(...args: [...z: Place, ...Extent, bias: Pointer]): number
  bias_relu_dropout(...args: [...z: Place, ...Extent, first: number, bias: Pointer, ...Mask]): number
  bias_activate(
    ...args: [...z: Place, ...derivatives: Place, ...Extent, bias: Pointer, code: number, width: number]
  ): number
  dropout(...args: [...z: Place, ...derivatives: Place, ...Extent, first: number, ...Mask]): void
  relu_backward(...args: [...dx: Place, ...a: Place, ...Extent, scale: number]): number
  derivative_backward(...args: [...dx: Place, ...derivatives: Place, ...Extent]): number
  softmax_loss(
    ...args: [
      ...[...z: Place, ...Extent, classes: number, bias: Pointer, labels: Pointer, samples: Pointer],
      ...[losses: Pointer, correct: Pointer, deltaScale: number, smoothing: number],
    ]
  ): number
  squared_loss(
    ...args: [
      ...[...z: Place, ...Extent, outputs: number, bias: Pointer, targets: Pointer, samples: Pointer],
      ...[losses: Pointer, correct: Pointer, deltaScale: number],
    ]
  ): number
  sigmoid_loss(...args: Parameters<WasmExports['squared_loss']>): number
  weigh_rows(...args: [...z: Place, ...Extent, weights: Pointer, samples: Pointer, losses: Pointer]): number
  batch_norm(
    ...args: [
      ...[...z: Place, ...normed: Place, ...Extent],
      ...[scale: Pointer, mean: Pointer, variance: Pointer, factors: Pointer, epsilon: number],
    ]
  ): void
  batch_norm_score(
    ...args: [
      ...[...z: Place, ...Extent],
      ...[scale: Pointer, bias: Pointer, mean: Pointer, variance: Pointer, epsilon: number],
    ]
  ): void
  norm_sums(...args: [dScale: Pointer, dShift: Pointer, ...dy: Place, ...normed: Place, ...Extent]): void
  batch_norm_backward(
    ...args: [...dy: Place, ...normed: Place, ...Extent, dScale: Pointer, dShift: Pointer, factors: Pointer]
  ): number
  layer_norm(
    ...args: [
      ...[...z: Place, ...normed: Place, ...Extent, width: number],
      ...[scale: Pointer, bias: Pointer, inverses: Pointer, epsilon: number],
    ]
  ): void
  layer_norm_backward(
    ...args: [...dy: Place, ...normed: Place, ...Extent, width: number, scale: Pointer, inverses: Pointer]
  ): number
  convolve(
    ...args: [
      ...[out: Pointer, outPos: number, outHeight: number, outWidth: number],
      ...[x: Pointer, xPos: number, height: number, width: number, channels: number],
      ...[size: number, stride: number, top: number, left: number],
      ...[b: Pointer, bStride: number, nPanels: number, scratch: Pointer, bandRows: number, backward: number],
    ]
  ): void
  convolution_gradient(
    ...args: [
      ...[g: Pointer, gStride: number, x: Pointer, xPos: number, height: number, width: number, channels: number],
      ...[dz: Pointer, dzPos: number, outHeight: number, outWidth: number],
      ...[size: number, stride: number, top: number, left: number],
      ...[oPanels: number, padded: Pointer, lists: Pointer, blockRows: number, accumulate: number],
    ]
  ): void
  convolution_transpose(
    ...args: [
      ...[t: Pointer, tStride: number, w: Pointer, wStride: number, channels: number, filters: number],
      ...[inputStart: number, inputEnd: number, outputStart: number, outputEnd: number],
    ]
  ): void
  gather_patches(
    ...args: [
      ...[to: Pointer, toRow: number, x: Pointer, xPos: number, height: number, width: number, channels: number],
      ...[outWidth: number, size: number, stride: number, top: number, left: number],
      ...[first: number, end: number, backward: number],
    ]
  ): void
  transpose_rows(
    ...args: [
      ...[to: Pointer, toStride: number, from: Pointer, fromStride: number],
      ...[rows: number, cols: number, accumulate: number],
    ]
  ): void
  pool(
    ...args: [
      ...[out: Pointer, outPos: number, outHeight: number, outWidth: number],
      ...[x: Pointer, xPos: number, width: number, vectors: number, size: number, average: number],
    ]
  ): void
  pool_backward(
    ...args: [
      ...[dx: Pointer, dxPos: number, height: number, width: number],
      ...[dz: Pointer, dzPos: number, outHeight: number, outWidth: number],
      ...[x: Pointer, xPos: number, vectors: number, size: number, average: number],
    ]
  ): void
  map_sums(
    ...args: [
      ...[products: Pointer, sums: Pointer, a: Pointer, aRow: number, b: Pointer, bRow: number],
      ...[rows: number, vectors: number],
    ]
  ): void
  map_normalise(...args: MapRows): void
  map_norm_backward(...args: MapRows): number
  flatten_panels(
    ...args: [
      ...[flat: Pointer, panelBytes: number, maps: Pointer, mapRow: number, positions: number, channels: number],
      ...[panel: number, back: number],
    ]
  ): void
  column_sums(g: Pointer, dz: Pointer, dzRow: number, rows: number, vectors: number, accumulate: number): void
  bf16_rows(to: Pointer, toStride: number, from: Pointer, fromStride: number, rows: number, octets: number): void
  bf16_pairs(to: Pointer, from: Pointer, fromStride: number, rows: number, padded: number): void
  bf16_columns(
    ...args: [
      ...[to: Pointer, toStride: number, from: Pointer, fromStride: number],
      ...[rows: number, vectors: number, padded: number],
    ]
  ): void
  bf16_column_pairs(to: Pointer, from: Pointer, fromStride: number, rows: number, pairs: number): void
  bf16_weights(...args: WeightBlock): void
  bf16_adam(...args: [...WeightBlock, m: Pointer, v: Pointer, g: Pointer, ...AdamScalars]): void
  bf16_forward(...args: ForwardBlock): number
  bf16_forward_dropout(...args: [...ForwardBlock, first: number, ...Mask]): number
  bf16_backward(
    ...args: [
      ...[dx: Pointer, dxRow: number, block: Pointer, rows: number, a: Pointer, aRow: number],
      ...[to: Pointer, toStride: number, pairs: Pointer, padded: number, ahead: Pointer, aheadRow: number],
      scale: number,
    ]
  ): number
  copy_rows(to: Pointer, toStride: number, from: Pointer, fromStride: number, rows: number, bytes: number): void
  // Used by tests and benchmarks of the parts:
  micro_f32_3x12(c: Pointer, list: Pointer, end: Pointer, b: Pointer, accumulate: number): void
  exp_f32(out: Pointer, x: Pointer): void
  log_f64(x: number): number
  philox_words(out: Pointer, c0: number, c1: number, c2: Pointer, c3: number, k0: number, k1: number): void
}

/** Maps, those that are normalised, and a table of their channels. */
type MapRows = [
  ...[x: Pointer, xRow: number, normed: Pointer, nRow: number, rows: number, vectors: number],
  ...[table: Pointer],
]

/** The module's functions over one memory. */
export function instantiateWasm(module: WebAssembly.Module, memory: WebAssembly.Memory): WasmExports {
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as WasmExports
}
