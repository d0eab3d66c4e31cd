#!/usr/bin/env python3
"""Expected numbers for the optimizers' tests, computed apart from gradloom: plain Python floats (IEEE binary64), one
scalar at a time, straight from the published formulas. Writes optimizers.json beside this file.

    python3 test/optimizer-oracle/optimizers.py                        writes optimizers.json
    /usr/bin/python3 test/optimizer-oracle/optimizers.py --check-torch compares with torch.optim, writes nothing

How the numbers were made: 5 weights start at `start` and take 10 steps. At every step the gradient of weight i is
g_i = a_i * (w_i - b_i) + 0.5 * sin(3 * w_i), to which an L2 penalty adds (l2 / rows) * w_i. Then, t counting from 1:

    sgd       w -= rate * g
    momentum  v = beta1 * v + (1 - beta1) * g;   w -= rate * v / (1 - beta1**t)
    adam      m = beta1 * m + (1 - beta1) * g;   v = beta2 * v + (1 - beta2) * g * g
              w -= rate * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon)
              (Kingma and Ba, "Adam: a method for stochastic optimization", algorithm 1: epsilon outside the root)

Every optimizer runs at three learning rates, the last one far too high (sgd then diverges to about 1e11, on purpose),
with and without L2. A case holds its settings and, per step, `gradients` (before L2) and `weights` after the step. A
test does best to feed these gradients: at the high rates the sine amplifies the last bit of a weight, to 2e-11 after
10 steps in float64. Floats are written so that reading them back gives the same bits.

Checked against PyTorch 1.13.1 (Debian's python3-torch, float64) with --check-torch: in all 12 adam and sgd cases
autograd gives the same gradients and torch.optim the same weights at every step, see BOUND. torch.optim has no
bias-corrected momentum; each velocity is checked, whenever this program runs, against its closed form, the sum of
(1 - beta1) * beta1**(t - k) * g_k.
"""
import json
import math
import re
import sys
import textwrap
from pathlib import Path

START = [0.5, -1.25, 2.0, -0.03125, 3.0]
A = [1.0, 0.5, 2.0, 0.25, 1.5]
B = [-0.5, 1.0, 0.75, -2.0, 2.5]
STEPS, ROWS = 10, 8
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
# Largest accepted |torch - ours| / max(1, |ours|). 4e-15 was seen: the two order their operations differently.
BOUND = 1e-13


def gradient(i, w):
    return A[i] * (w - B[i]) + 0.5 * math.sin(3 * w)


def run(kind, rate, l2):
    """The case as it goes into the file."""
    w, m, v = list(START), [0.0] * len(START), [0.0] * len(START)
    fed = []  # gradients with L2, per step
    gradients, weights = [], []
    for t in range(1, STEPS + 1):
        gradients.append([gradient(i, w[i]) for i in range(len(w))])
        fed.append([g + l2 / ROWS * w[i] for i, g in enumerate(gradients[-1])])
        for i, g in enumerate(fed[-1]):
            if kind == "sgd":
                w[i] -= rate * g
                continue
            m[i] = BETA1 * m[i] + (1 - BETA1) * g
            if kind == "momentum":
                w[i] -= rate * m[i] / (1 - BETA1**t)
                continue
            v[i] = BETA2 * v[i] + (1 - BETA2) * g * g
            w[i] -= rate * (m[i] / (1 - BETA1**t)) / (math.sqrt(v[i] / (1 - BETA2**t)) + EPSILON)
        weights.append(list(w))
    check_closed_forms(kind, fed, m, v)
    return {"type": kind, "learningRate": rate, "l2": l2, "gradients": gradients, "weights": weights}


def check_closed_forms(kind, fed, m, v):
    for i in range(len(START)):
        if kind != "sgd":
            want = math.fsum((1 - BETA1) * BETA1 ** (STEPS - k) * fed[k - 1][i] for k in range(1, STEPS + 1))
            assert math.isclose(m[i], want, rel_tol=1e-12, abs_tol=1e-12), (kind, i, m[i], want)
        if kind == "adam":
            want = math.fsum((1 - BETA2) * BETA2 ** (STEPS - k) * fed[k - 1][i] ** 2 for k in range(1, STEPS + 1))
            assert math.isclose(v[i], want, rel_tol=1e-12), (kind, i, v[i], want)


def cases():
    return [run(kind, rate, l2) for kind in ("sgd", "momentum", "adam") for rate in (0.001, 0.1, 10.0)
            for l2 in (0.0, 0.05)]


def check_torch():
    import torch

    compared, worst = 0, 0.0
    for case in cases():
        if case["type"] == "momentum":
            continue
        w = torch.tensor(START, dtype=torch.float64, requires_grad=True)
        a, b = torch.tensor(A, dtype=torch.float64), torch.tensor(B, dtype=torch.float64)
        same = {"lr": case["learningRate"], "weight_decay": case["l2"] / ROWS}
        if case["type"] == "sgd":
            optimizer = torch.optim.SGD([w], **same)
        else:
            optimizer = torch.optim.Adam([w], betas=(BETA1, BETA2), eps=EPSILON, **same)
        for fed, expected, at in zip(case["gradients"], case["weights"], [START, *case["weights"]]):
            # The gradient's formula, against autograd of the function it belongs to.
            x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
            (a * (x - b) ** 2 / 2 - torch.cos(3 * x) / 6).sum().backward()
            w.grad = torch.tensor(fed, dtype=torch.float64)
            optimizer.step()
            for got, want in zip(x.grad.tolist() + w.tolist(), fed + expected):
                worst = max(worst, abs(got - want) / max(1, abs(want)))
                compared += 1
    good = worst < BOUND and compared == 12 * STEPS * 2 * len(START)
    print(f"torch {torch.__version__}: {compared} numbers, worst difference {worst:.2e}, bound {BOUND}")
    return 0 if good else 1


def layout(value, indent=0, used=0):
    """JSON laid out as the project's formatter does, which then has nothing to change: 120 columns, numbers filled."""
    pad, inner = "  " * indent, "  " * (indent + 1)
    if isinstance(value, dict):
        rows = [f"{inner}{json.dumps(k)}: {layout(v, indent + 1, len(k) + 4)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{pad}}}"
    if not isinstance(value, list):
        return re.sub(r"e-0(\d)$", r"e-\1", json.dumps(value))
    if isinstance(value[0], (list, dict)):
        return "[\n" + ",\n".join(inner + layout(v, indent + 1) for v in value) + f"\n{pad}]"
    line = ", ".join(map(repr, value))
    if len(pad) + used + len(line) + 3 <= 120:  # brackets and a comma
        return f"[{line}]"
    return "[\n" + textwrap.fill(line, 120, initial_indent=inner, subsequent_indent=inner) + f"\n{pad}]"


def main():
    if "--check-torch" in sys.argv[1:]:
        return check_torch()
    oracle = {
        "madeBy": "test/optimizer-oracle/optimizers.py",
        "gradient": "a[i] * (w[i] - b[i]) + 0.5 * sin(3 * w[i]), then + l2 / rows * w[i]",
        "start": START,
        "a": A,
        "b": B,
        "rows": ROWS,
        "steps": STEPS,
        "beta1": BETA1,
        "beta2": BETA2,
        "epsilon": EPSILON,
        "cases": cases(),
    }
    Path(__file__).with_name("optimizers.json").write_text(layout(oracle) + "\n")
    return 0


sys.exit(main())
