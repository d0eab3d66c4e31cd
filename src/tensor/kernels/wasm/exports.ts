/**
 * The WASM module as TypeScript sees it: pointers are byte offsets into the arena, sizes as in the AssemblyScript
 * sources under assembly/, where each function states what it overwrites. Runs on any thread.
 */
type Pointer = number

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
  gather(out: Pointer, outStride: number, rows: number, images: Pointer, features: number, samples: Pointer): void
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
  bias_relu(z: Pointer, zStride: number, rows: number, panels: number, bias: Pointer): number
  bias_relu_dropout(
    z: Pointer,
    zStride: number,
    rows: number,
    firstPanel: number,
    panels: number,
    bias: Pointer,
    samples: Pointer,
    scratch: Pointer,
    k0: number,
    k1: number,
    layer: number,
    epoch: number,
    threshold: number,
    scale: number,
  ): number
  softmax_loss(
    z: Pointer,
    zStride: number,
    rows: number,
    classes: number,
    bias: Pointer,
    labels: Pointer,
    samples: Pointer,
    losses: Pointer,
    correct: Pointer,
    deltaScale: number,
    smoothing: number,
  ): number
  gather_scaled(
    out: Pointer,
    rowStride: number,
    panelStride: number,
    width: number,
    rows: number,
    from: Pointer,
    floats: number,
    features: number,
    samples: Pointer,
    offset: Pointer,
    factor: Pointer,
  ): void
  squared_loss(
    z: Pointer,
    rowStride: number,
    panelStride: number,
    width: number,
    rows: number,
    outputs: number,
    bias: Pointer,
    targets: Pointer,
    samples: Pointer,
    losses: Pointer,
    correct: Pointer,
    deltaScale: number,
  ): number
  relu_backward(
    dx: Pointer,
    dxStride: number,
    a: Pointer,
    aStride: number,
    rows: number,
    panels: number,
    scale: number,
  ): number
  bias_activate(
    z: Pointer,
    stride: number,
    gates: Pointer,
    gateStride: number,
    rows: number,
    panels: number,
    bias: Pointer,
    code: number,
    width: number,
  ): number
  dropout(
    z: Pointer,
    stride: number,
    gates: Pointer,
    gateStride: number,
    rows: number,
    firstPanel: number,
    panels: number,
    samples: Pointer,
    scratch: Pointer,
    k0: number,
    k1: number,
    layer: number,
    epoch: number,
    threshold: number,
    scale: number,
  ): void
  gate_backward(dx: Pointer, dxStride: number, gates: Pointer, gateStride: number, rows: number, panels: number): number
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
  column_sums(g: Pointer, dz: Pointer, rows: number, accumulate: number): void
  transpose_blocks(t: Pointer, tStride: number, w: Pointer, iPanels: number): void
  adam(
    w: Pointer,
    m: Pointer,
    v: Pointer,
    g: Pointer,
    n: number,
    stepSize: number,
    beta1: number,
    rest1: number,
    beta2: number,
    rest2: number,
    correction2: number,
    epsilon: number,
    decay: number,
    weightDecay: number,
  ): void
  momentum(
    w: Pointer,
    v: Pointer,
    g: Pointer,
    n: number,
    stepSize: number,
    beta: number,
    rest: number,
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
    rest: number,
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
    rest1: number,
    beta2: number,
    rest2: number,
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
  batch_norm(
    z: Pointer,
    zPanel: number,
    zRow: number,
    normed: Pointer,
    nPanel: number,
    nRow: number,
    rows: number,
    panels: number,
    vectors: number,
    scale: Pointer,
    mean: Pointer,
    variance: Pointer,
    factors: Pointer,
    epsilon: number,
  ): void
  batch_norm_score(
    z: Pointer,
    zPanel: number,
    zRow: number,
    rows: number,
    panels: number,
    vectors: number,
    scale: Pointer,
    bias: Pointer,
    mean: Pointer,
    variance: Pointer,
    epsilon: number,
  ): void
  norm_sums(
    dScale: Pointer,
    dShift: Pointer,
    dy: Pointer,
    dPanel: number,
    dRow: number,
    normed: Pointer,
    nPanel: number,
    nRow: number,
    rows: number,
    panels: number,
    vectors: number,
  ): void
  batch_norm_backward(
    dy: Pointer,
    dPanel: number,
    dRow: number,
    normed: Pointer,
    nPanel: number,
    nRow: number,
    rows: number,
    panels: number,
    vectors: number,
    dScale: Pointer,
    dShift: Pointer,
    factors: Pointer,
  ): number
  layer_norm(
    z: Pointer,
    zPanel: number,
    zRow: number,
    normed: Pointer,
    nPanel: number,
    nRow: number,
    rows: number,
    panels: number,
    vectors: number,
    width: number,
    scale: Pointer,
    bias: Pointer,
    inverses: Pointer,
    epsilon: number,
  ): void
  layer_norm_backward(
    dy: Pointer,
    dPanel: number,
    dRow: number,
    normed: Pointer,
    nPanel: number,
    nRow: number,
    rows: number,
    panels: number,
    vectors: number,
    width: number,
    scale: Pointer,
    inverses: Pointer,
  ): number
  // Row-major forms, for native products:
  gather_rows(out: Pointer, stride: number, rows: number, images: Pointer, features: number, samples: Pointer): void
  bias_relu_rows(z: Pointer, stride: number, rows: number, vectors: number, bias: Pointer): number
  bias_relu_dropout_rows(
    z: Pointer,
    stride: number,
    rows: number,
    firstVector: number,
    vectors: number,
    bias: Pointer,
    samples: Pointer,
    scratch: Pointer,
    k0: number,
    k1: number,
    layer: number,
    epoch: number,
    threshold: number,
    scale: number,
  ): number
  relu_backward_rows(
    dx: Pointer,
    dxStride: number,
    a: Pointer,
    aStride: number,
    rows: number,
    vectors: number,
    scale: number,
  ): number
  bias_activate_rows(
    z: Pointer,
    stride: number,
    gates: Pointer,
    gateStride: number,
    rows: number,
    vectors: number,
    bias: Pointer,
    code: number,
    width: number,
  ): number
  dropout_rows(
    z: Pointer,
    stride: number,
    gates: Pointer,
    gateStride: number,
    rows: number,
    firstVector: number,
    vectors: number,
    samples: Pointer,
    scratch: Pointer,
    k0: number,
    k1: number,
    layer: number,
    epoch: number,
    threshold: number,
    scale: number,
  ): void
  gate_backward_rows(
    dx: Pointer,
    dxStride: number,
    gates: Pointer,
    gateStride: number,
    rows: number,
    vectors: number,
  ): number
  softmax_loss_rows(
    z: Pointer,
    stride: number,
    rows: number,
    classes: number,
    bias: Pointer,
    labels: Pointer,
    samples: Pointer,
    losses: Pointer,
    correct: Pointer,
    deltaScale: number,
    smoothing: number,
  ): number
  column_sums_rows(g: Pointer, dz: Pointer, stride: number, rows: number, vectors: number, accumulate: number): void
  bf16_rows(to: Pointer, toStride: number, from: Pointer, fromStride: number, rows: number, octets: number): void
  bf16_pairs(to: Pointer, from: Pointer, fromStride: number, rows: number, padded: number): void
  bf16_columns(to: Pointer, from: Pointer, fromStride: number, rows: number, vectors: number, padded: number): void
  bf16_column_pairs(to: Pointer, from: Pointer, fromStride: number, rows: number, pairs: number): void
  copy_rows(to: Pointer, toStride: number, from: Pointer, fromStride: number, rows: number, bytes: number): void
  // For tests and benchmarks of the parts:
  micro_f32_3x12(c: Pointer, list: Pointer, end: Pointer, b: Pointer, accumulate: number): void
  exp_f32(out: Pointer, x: Pointer): void
  log_f64(x: number): number
  philox_words(out: Pointer, c0: number, c1: number, c2: Pointer, c3: number, k0: number, k1: number): void
}

/** The module's functions over one memory. */
export function instantiateWasm(module: WebAssembly.Module, memory: WebAssembly.Memory): WasmExports {
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as WasmExports
}
