#!/usr/bin/env bash
# TensorFlow.js's wasm backend computes a convolution and the gradients by its input and through max pooling, but not the gradient by
# its filter: a network with a convolution predicts there and cannot be trained. The same step on the cpu backend works.
#
# @tensorflow/tfjs-core, tfjs-layers, tfjs-backend-wasm and tfjs-backend-cpu 4.22.0. No kernel Conv2DBackpropFilter is registered for wasm, which is
# found only when the gradient is asked for. So there is no speed of training convolutions in TensorFlow.js's wasm as it is to
# compare with; who measures it has to bring a filter gradient of his own.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --ignore-scripts @tensorflow/tfjs-core@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0 \
  @tensorflow/tfjs-backend-cpu@4.22.0 @tensorflow/tfjs-layers@4.22.0 >/dev/null
cat >gradients.cjs <<'JS'
const tf = require('@tensorflow/tfjs-core')
const { setWasmPaths } = require('@tensorflow/tfjs-backend-wasm')
require('@tensorflow/tfjs-backend-cpu')
require('@tensorflow/tfjs-layers') // registers the gradients
const { dirname } = require('node:path')
setWasmPaths(`${dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json'))}/wasm-out/`)
const outcome = run => {
  try {
    return run().shape.join('x')
  } catch (error) {
    return error.message.split(';')[0].split('\n')[0]
  }
}
async function main() {
  for (const backend of ['wasm', 'cpu']) {
    await tf.setBackend(backend)
    const x = tf.ones([1, 6, 6, 2])
    const filter = tf.ones([3, 3, 2, 4])
    const loss = (x, filter) => tf.sum(tf.maxPool(tf.conv2d(x, filter, 1, 'same'), 2, 2, 'valid'))
    console.log(backend, 'forward:', outcome(() => tf.conv2d(x, filter, 1, 'same')))
    console.log(backend, 'by input:', outcome(() => tf.grad(x => loss(x, filter))(x)))
    console.log(backend, 'by filter:', outcome(() => tf.grad(filter => loss(x, filter))(filter)))
  }
}
main()
JS
seen=$(node gradients.cjs 2>&1 | grep -E '^(wasm|cpu) ')
echo "$seen"
[ "$seen" = "wasm forward: 1x6x6x4
wasm by input: 1x6x6x2
wasm by filter: Kernel 'Conv2DBackpropFilter' not registered for backend 'wasm'
cpu forward: 1x6x6x4
cpu by input: 1x6x6x2
cpu by filter: 3x3x2x4" ]
