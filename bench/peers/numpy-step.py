#!/usr/bin/env python3
"""The NumPy peer of `npm run bench`: the reference network's training step (ReLU, inverted dropout, softmax
cross-entropy, L2, Adam) in float64, written as lean as NumPy allows: every array is allocated once, every operation
writes in place, and the optimizer walks the weights in blocks that stay in cache (`--block 0`: in whole arrays, as
NumPy is mostly written). One process, started by bench/main.ts; the only threads are OpenBLAS's.

    /usr/bin/python3 bench/peers/numpy-step.py --widths 784,3000,2500,2000,1500,1000,500,10 --batch 256 --threads 2
    /usr/bin/python3 bench/peers/numpy-step.py --selftest

Needs Debian's python3-numpy and libopenblas0-pthread. Protocol, one JSON object a line:
    stdout, once warm         {"ready": true, "peer": "numpy-float64", "version", "threads", "blas", "block"}
    stdin                     {"steps": N}
    stdout                    {"seconds": [t1, ..., tN], "loss": cross-entropy of the last step}
End of input ends the program. When it cannot start, the first line is {"ready": false, "peer", "error", "hint"}.

Letters: B rows of the batch, I inputs and O outputs of a layer.
"""
import argparse
import ctypes
import math
import os
import sys

from peer_protocol import answer, say

PEER = "numpy-float64"
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
# Where the toy problem of `--selftest` ends, here and in tfjs/step.mjs: the two check each other.
TOY_LOSS = 0.018275801584
# Elements the optimizer handles at once. One update of the reference network's 19.9 million weights on a Zen 3 core
# took 485 ms in whole arrays, about 250 in blocks of 4096, 165 of 8192, and 125 to 150 from 16384 to 131072.
BLOCK = 32768


def options():
    parser = argparse.ArgumentParser(description="NumPy float64 training step, timed over stdin/stdout.")
    parser.add_argument("--widths", default="784,3000,2500,2000,1500,1000,500,10")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--l2", type=float, default=0.05)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--block", type=int, default=BLOCK, help="elements updated at once; 0: whole arrays")
    parser.add_argument("--selftest", action="store_true", help="check gradients and a toy problem, then end")
    args = parser.parse_args()
    widths = args.widths.split(",")
    if len(widths) < 2 or not all(width.isdecimal() and int(width) > 0 for width in widths):
        parser.error(f"--widths is {args.widths!r}, expected two or more positive integers joined by commas")
    args.widths = [int(width) for width in widths]
    return args


args = options()
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # read once, when the library loads
    os.environ[variable] = str(args.threads)
try:
    import numpy as np
except ImportError as error:
    hint = "apt-get install python3-numpy libopenblas0-pthread, and run with /usr/bin/python3"
    say({"ready": False, "peer": PEER, "error": str(error), "hint": hint})
    sys.exit(1)


class Network:
    def __init__(self, widths, images, labels, dropout, l2, learning_rate=0.001, seed=1, block=BLOCK):
        self.images = images  # (B, I) uint8
        self.labels = labels  # (B)
        self.dropout, self.learning_rate, self.step_number = dropout, learning_rate, 0
        self.rows = rows = len(images)
        self.decay = l2 / rows
        self.random = np.random.Generator(np.random.SFC64(seed))
        pairs = list(zip(widths, widths[1:]))
        self.weights = [self.random.standard_normal(pair) * math.sqrt(2 / pair[0]) for pair in pairs]  # (I, O)
        self.biases = [np.zeros(o) for _, o in pairs]
        self.d_weights = [np.empty(pair) for pair in pairs]
        self.d_biases = [np.empty(o) for _, o in pairs]
        self.moments = [(np.zeros(p.size), np.zeros(p.size)) for p in self.weights + self.biases]
        self.activations = [np.empty((rows, width)) for width in widths]  # (B, O), the input first
        self.deltas = [np.empty((rows, width)) for width in widths]  # gradients of the same arrays
        self.noise = [np.empty((rows, width), np.float32) for width in widths]  # uniform, decides what is dropped
        self.flags = [np.empty((rows, width), bool) for width in widths]
        largest = max(p.size for p in self.weights + self.biases)
        self.block = min(block or largest, largest)
        self.scratch = np.empty(self.block)

    def forward(self):
        """Fill the activations; the last becomes the softmax probabilities. Answers the mean cross-entropy."""
        keep = 1 - self.dropout
        np.multiply(self.images, 1 / 255, out=self.activations[0])
        last = len(self.weights) - 1
        for layer, (w, b) in enumerate(zip(self.weights, self.biases)):
            out = self.activations[layer + 1]
            np.matmul(self.activations[layer], w, out=out)
            out += b
            if layer == last:
                break
            np.maximum(out, 0, out=out)
            if self.dropout > 0:
                noise, kept = self.noise[layer + 1], self.flags[layer + 1]
                self.random.random(out=noise, dtype=np.float32)
                np.less(noise, keep, out=kept)
                np.multiply(kept, 1 / keep, out=noise, casting="same_kind")
                out *= noise
        out -= out.max(axis=1, keepdims=True)
        of_label = out[np.arange(self.rows), self.labels].sum()
        np.exp(out, out=out)
        sums = out.sum(axis=1, keepdims=True)
        out /= sums
        return (np.log(sums).sum() - of_label) / self.rows

    def backward(self):
        """Fill the gradients of the cross-entropy; `forward` must have run. The penalty joins in `update`."""
        delta = self.deltas[-1]
        np.copyto(delta, self.activations[-1])
        delta[np.arange(self.rows), self.labels] -= 1
        delta /= self.rows
        for layer in reversed(range(len(self.weights))):
            inputs = self.activations[layer]
            np.matmul(inputs.T, delta, out=self.d_weights[layer])
            np.sum(delta, axis=0, out=self.d_biases[layer])
            if layer == 0:
                break
            # An activation above zero passed both ReLU and dropout, so it alone tells where the gradient flows.
            d_inputs, live = self.deltas[layer], self.noise[layer]
            np.matmul(delta, self.weights[layer].T, out=d_inputs)
            np.greater(inputs, 0, out=self.flags[layer])
            np.multiply(self.flags[layer], 1 / (1 - self.dropout), out=live, casting="same_kind")
            d_inputs *= live
            delta = d_inputs

    def update(self):
        """Adam with bias correction, folded into the rate and epsilon: m / c1 / (sqrt(v / c2) + e) = m / (sqrt(v)
        + e * sqrt(c2)) * sqrt(c2) / c1. Overwrites parameters, moments and gradients."""
        self.step_number += 1
        root = math.sqrt(1 - BETA2**self.step_number)
        rate = self.learning_rate * root / (1 - BETA1**self.step_number)
        gradients = self.d_weights + self.d_biases
        for index, p in enumerate(self.weights + self.biases):
            p, g = p.reshape(-1), gradients[index].reshape(-1)
            decay = self.decay if index < len(self.weights) else 0  # biases are not penalised
            for start in range(0, p.size, self.block):
                here = slice(start, start + self.block)
                adam_block(p[here], g[here], *(moment[here] for moment in self.moments[index]), self.scratch,
                           decay, rate, EPSILON * root)

    def step(self):
        loss = self.forward()
        self.backward()
        self.update()
        return float(loss)


def adam_block(p, g, m, v, scratch, decay, rate, epsilon):
    scratch = scratch[: p.size]
    if decay:
        np.multiply(p, decay, out=scratch)
        g += scratch
    m *= BETA1
    np.multiply(g, 1 - BETA1, out=scratch)
    m += scratch
    v *= BETA2
    np.multiply(g, g, out=g)
    g *= 1 - BETA2
    v += g
    np.sqrt(v, out=scratch)
    scratch += epsilon
    np.divide(m, scratch, out=scratch)
    scratch *= rate
    p -= scratch


def blas_in_use():
    """What the process really loaded: path, build string and thread count, asked of the library itself."""
    with open("/proc/self/maps") as maps:
        paths = sorted({line.split()[-1] for line in maps if "blas" in line and ".so" in line})
    for path in paths:
        library = ctypes.CDLL(path)
        for form in ("openblas_%s", "openblas_%s64_", "scipy_openblas_%s64_", "scipy_openblas_%s"):
            try:
                config = getattr(library, form % "get_config")
                threads = getattr(library, form % "get_num_threads")
            except AttributeError:
                continue
            config.restype = ctypes.c_char_p
            return f"{config().decode().strip()} ({os.path.basename(path)})", threads()
    return f"not OpenBLAS: {', '.join(paths) or 'no BLAS library loaded'}", None


def selftest():
    """Gradients against central differences, dropout and L2 on; then the toy problem that step.mjs trains too."""
    rows = 30
    labels = np.arange(rows) % 3
    images = np.array([[(200 if j == i % 3 else 0) + (i * 7 + j * 13) % 11 * 5 for j in range(4)]
                       for i in range(rows)], np.uint8)

    net = Network([4, 16, 8, 3], images, labels, dropout=0.3, l2=0.05)
    for bias in net.biases:
        bias[:] = net.random.standard_normal(bias.shape) * 0.1
    state = net.random.bit_generator.state

    def objective():
        net.random.bit_generator.state = state  # the same units drop every time
        return net.forward() + net.decay / 2 * sum(np.vdot(w, w) for w in net.weights)

    objective()
    net.backward()
    gradients = [g + net.decay * w for g, w in zip(net.d_weights, net.weights)] + [g.copy() for g in net.d_biases]
    worst, checked, h = 0.0, 0, 1e-5
    for p, g in zip(net.weights + net.biases, gradients):
        for at in np.ndindex(p.shape):
            p[at] += h
            above = objective()
            p[at] -= 2 * h
            below = objective()
            p[at] += h
            want = (above - below) / (2 * h)
            worst = max(worst, abs(want - g[at]) / max(1e-3, abs(want), abs(g[at])))
            checked += 1

    kept = 0
    for _ in range(100):
        net.forward()
        kept += net.flags[1].mean() / 100

    toy = Network([4, 16, 3], images, labels, dropout=0, l2=0.05, learning_rate=0.02, block=10)
    for layer, w in enumerate(toy.weights):
        angles = 1 + 12.9898 * np.arange(w.size) + 78.233 * layer
        w[:] = (math.sqrt(2 / len(w)) * np.sin(angles)).reshape(w.shape)
    losses = [toy.step() for _ in range(40)]
    good = worst < 1e-6 and checked == 243 and abs(kept - 0.7) < 0.01 and abs(losses[-1] / TOY_LOSS - 1) < 1e-4
    say({"selftest": bool(good), "gradientError": float(worst), "gradientsChecked": checked, "kept": float(kept),
         "losses": losses[::3]})
    return 0 if good else 1


def main():
    if args.selftest:
        return selftest()
    random = np.random.default_rng(2)
    images = random.integers(0, 256, (args.batch, args.widths[0]), np.uint8)
    labels = random.integers(0, args.widths[-1], args.batch)
    network = Network(args.widths, images, labels, args.dropout, args.l2, block=args.block)
    for _ in range(args.warmup):
        network.step()
    blas, threads = blas_in_use()
    say({"ready": True, "peer": PEER, "version": np.__version__, "threads": threads, "blas": blas, "block": args.block})
    answer(network.step)
    return 0


sys.exit(main())
