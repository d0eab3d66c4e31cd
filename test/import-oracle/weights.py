"""Weights of a network 6-5-4 as NumPy saves what PyTorch and Keras give: `python3 weights.py` writes the .npz beside it.

Weight (i, o) of layer l is (7 i + 3 o + l) % 11 / 16 - 0.25, bias o is o / 8 - l.
"""

import os

import numpy as np

HERE = os.path.dirname(__file__)
WIDTHS = [6, 5, 4]


def kernel(layer):
    i, o = np.indices((WIDTHS[layer], WIDTHS[layer + 1]))
    return (7 * i + 3 * o + layer) % 11 / 16 - 0.25


def bias(layer):
    return np.arange(WIDTHS[layer + 1]) / 8 - layer


def save(name, *arrays, **named):
    np.savez(os.path.join(HERE, name), *arrays, **named)


# nn.Sequential(Linear, ReLU, Linear).state_dict(), float64
save("pytorch.npz", **{
    "0.weight": kernel(0).T, "0.bias": bias(0), "2.weight": kernel(1).T, "2.bias": bias(1),
})
# model.weights by their paths, float32; one matrix in Fortran order
save("keras.npz", **{
    "sequential/dense/kernel": np.asfortranarray(kernel(0).astype(np.float32)),
    "sequential/dense/bias": bias(0).astype(np.float32),
    "sequential/dense_1/kernel": kernel(1).astype(np.float32),
    "sequential/dense_1/bias": bias(1).astype(np.float32),
})
# np.savez(file, *model.get_weights())
save("unnamed.npz", kernel(0), bias(0), kernel(1), bias(1))
