"""
Batch normalisation by PyTorch, in float64: torch.nn.BatchNorm1d between a bias and a loss that is linear in its outputs,
so that the gradient of every output is given. Three steps of plain gradient descent on scale and shift, each with
another product; the last mini-batch is smaller. Writes batch-norm.json beside itself:

    python3 test/norm-oracle/batch-norm.py

The numbers in the repository are of PyTorch 1.13, laid out by npm run format. test/worker/network/norm.test.ts compares with them.
"""

import json
import math
from pathlib import Path

import torch

UNITS = 5
ROWS = [6, 6, 3]
RATE = 0.3
MOMENTUM = 0.1
EPSILON = 1e-5


def wave(seed, count):
    """Numbers that need no generator; f32 holds them exactly."""
    return [round(math.sin(seed + 1.7 * i) * 2**12) / 2**11 for i in range(count)]


def main():
    torch.set_default_dtype(torch.float64)
    norm = torch.nn.BatchNorm1d(UNITS, eps=EPSILON, momentum=MOMENTUM)
    bias = torch.tensor(wave(0.3, UNITS))
    start = {"scale": [1 + x / 4 for x in wave(1, UNITS)], "shift": wave(2, UNITS)}
    with torch.no_grad():
        norm.weight.copy_(torch.tensor(start["scale"]))
        norm.bias.copy_(torch.tensor(start["shift"]))
    optimizer = torch.optim.SGD(norm.parameters(), lr=RATE)
    steps = []
    for step, rows in enumerate(ROWS):
        z = wave(10 + step, rows * UNITS)
        dy = wave(20 + step, rows * UNITS)
        product = torch.tensor(z).reshape(rows, UNITS).requires_grad_()
        norm.train()
        y = norm(product + bias)
        optimizer.zero_grad()
        (y * torch.tensor(dy).reshape(rows, UNITS)).sum().backward()
        optimizer.step()
        norm.eval()
        with torch.no_grad():
            scored = norm(product + bias)
        steps.append(
            {
                "rows": rows,
                "z": z,
                "dy": dy,
                "y": y.flatten().tolist(),
                "dz": product.grad.flatten().tolist(),
                "scale": norm.weight.tolist(),
                "shift": norm.bias.tolist(),
                "mean": norm.running_mean.tolist(),
                "variance": norm.running_var.tolist(),
                "scored": scored.flatten().tolist(),
            }
        )
    oracle = {
        "madeBy": "test/norm-oracle/batch-norm.py",
        "torch": torch.__version__,
        **{"units": UNITS, "rate": RATE, "momentum": MOMENTUM, "epsilon": EPSILON, "bias": bias.tolist()},
        **start,
        "steps": steps,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(oracle, indent=2) + "\n")


if __name__ == "__main__":
    main()
