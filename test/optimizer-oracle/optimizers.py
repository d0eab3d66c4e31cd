#!/usr/bin/env python3
"""Expected numbers for the optimizers' tests, computed apart from gradloom: plain Python floats (IEEE binary64), one
scalar at a time, straight from the published formulas. Writes optimizers.json beside this file.

    python3 test/optimizer-oracle/optimizers.py                        writes optimizers.json
    /usr/bin/python3 test/optimizer-oracle/optimizers.py --check-torch compares with torch.optim, writes nothing

How the numbers were made: 5 weights start at `start` and take 10 steps. At every step the gradient of weight i is
g_i = a_i * (w_i - b_i) + 0.5 * sin(3 * w_i), limited to +-clip where a case has one, to which an L2 penalty adds
(l2 / rows) * w_i. Then, t counting from 1:

    sgd       w -= rate * g
    momentum  v = beta1 * v + (1 - beta1) * g;   w -= rate * v / (1 - beta1**t)
    nesterov  v = momentum * v + g;              w -= rate * (g + momentum * v)       (PyTorch's SGD, dampening 0)
    rmsprop   v = beta2 * v + (1 - beta2) * g * g;   w -= rate * g / (sqrt(v) + epsilon)
    adam      m = beta1 * m + (1 - beta1) * g;   v = beta2 * v + (1 - beta2) * g * g
              w -= rate * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon)
              (Kingma and Ba, "Adam: a method for stochastic optimization", algorithm 1: epsilon outside the root)
    adamw     the same, with weight decay
    lion      w -= rate * sign(beta1 * m + (1 - beta1) * g);   m = beta2 * m + (1 - beta2) * g
              (Chen et al., "Symbolic discovery of optimization algorithms", program 2)

Weight decay is of the decoupled kind: each step first multiplies w by 1 - rate * weightDecay; g has been taken before.

Every optimizer runs at three learning rates, the last one far too high (sgd then diverges to about 1e11, on purpose),
with and without L2; then at the middle one with weight decay, and with clipping, which with L2 meets weight decay too. A case holds its settings
and, per step, `gradients` (before clipping and L2) and `weights` after the step. A test does best to feed these
gradients: at the high rates the sine amplifies the last bit of a weight, to 2e-11 after 10 steps in float64. Floats are
written so that reading them back gives the same bits.

Checked against PyTorch 1.13.1 (Debian's python3-torch, float64) with --check-torch: in all cases but those of momentum
and lion autograd gives the same gradients, and clip_grad_value_ and torch.optim the same weights at every step, see
BOUND. torch.optim decays by itself in AdamW alone; for the others the factor is applied before its step. It has neither
bias-corrected momentum nor Lion. What every optimizer keeps is checked, whenever this program runs, against its closed
form, such as the sum of (1 - beta1) * beta1**(t - k) * g_k, and each step of Lion against its sign.
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
EPSILON = 1e-8
SETTINGS = {
    "sgd": {},
    "momentum": {"beta1": 0.9},
    "nesterov": {"momentum": 0.9},
    "rmsprop": {"beta2": 0.99, "epsilon": EPSILON},
    "adam": {"beta1": 0.9, "beta2": 0.999, "epsilon": EPSILON},
    "adamw": {"beta1": 0.9, "beta2": 0.999, "epsilon": EPSILON},
    "lion": {"beta1": 0.9, "beta2": 0.99},
}
# Largest accepted |torch - ours| / max(1, |ours|). 4e-15 was seen: the two order their operations differently.
BOUND = 1e-13


def gradient(i, w):
    return A[i] * (w - B[i]) + 0.5 * math.sin(3 * w)


def run(kind, rate, l2, decay=0.0, clip=None):
    """The case as it goes into the file."""
    settings = SETTINGS[kind]
    beta1 = settings.get("beta1", settings.get("momentum"))
    beta2 = settings.get("beta2")
    w, m, v = list(START), [0.0] * len(START), [0.0] * len(START)
    fed = []  # gradients with clipping and L2, per step
    gradients, weights = [], []
    for t in range(1, STEPS + 1):
        gradients.append([gradient(i, w[i]) for i in range(len(w))])
        limited = [g if clip is None else max(-clip, min(clip, g)) for g in gradients[-1]]
        fed.append([g + l2 / ROWS * w[i] for i, g in enumerate(limited)])
        for i, g in enumerate(fed[-1]):
            w[i] *= 1 - rate * decay
            if kind == "sgd":
                w[i] -= rate * g
            elif kind == "momentum":
                m[i] = beta1 * m[i] + (1 - beta1) * g
                w[i] -= rate * m[i] / (1 - beta1**t)
            elif kind == "nesterov":
                m[i] = beta1 * m[i] + g
                w[i] -= rate * (g + beta1 * m[i])
            elif kind == "rmsprop":
                v[i] = beta2 * v[i] + (1 - beta2) * g * g
                w[i] -= rate * g / (math.sqrt(v[i]) + EPSILON)
            elif kind == "lion":
                c = beta1 * m[i] + (1 - beta1) * g
                w[i] -= rate * ((c > 0) - (c < 0))
                m[i] = beta2 * m[i] + (1 - beta2) * g
            else:
                m[i] = beta1 * m[i] + (1 - beta1) * g
                v[i] = beta2 * v[i] + (1 - beta2) * g * g
                w[i] -= rate * (m[i] / (1 - beta1**t)) / (math.sqrt(v[i] / (1 - beta2**t)) + EPSILON)
        weights.append(list(w))
    check_closed_forms(kind, fed, m, v)
    if kind == "lion":
        check_lion(fed, weights, rate, decay)
    optimizer = {"type": kind, "learningRate": rate, **settings}
    if kind != "adam":
        optimizer["weightDecay"] = decay
    return {"optimizer": optimizer, "l2": l2, "clip": clip, "gradients": gradients, "weights": weights}


def check_closed_forms(kind, fed, m, v):
    def total(beta, share, power, i):
        return math.fsum(share * beta ** (STEPS - k) * fed[k - 1][i] ** power for k in range(1, STEPS + 1))

    settings = SETTINGS[kind]
    for i in range(len(START)):
        if kind == "nesterov":
            want = total(settings["momentum"], 1, 1, i)
            assert math.isclose(m[i], want, rel_tol=1e-12, abs_tol=1e-12), (kind, i, m[i], want)
        if kind in ("momentum", "adam", "adamw", "lion"):
            beta = settings["beta2" if kind == "lion" else "beta1"]
            want = total(beta, 1 - beta, 1, i)
            assert math.isclose(m[i], want, rel_tol=1e-12, abs_tol=1e-12), (kind, i, m[i], want)
        if kind in ("rmsprop", "adam", "adamw"):
            beta = settings["beta2"]
            want = total(beta, 1 - beta, 2, i)
            assert math.isclose(v[i], want, rel_tol=1e-12), (kind, i, v[i], want)


def check_lion(fed, weights, rate, decay):
    """The sign of each step from the sums of all gradients so far."""
    beta1, beta2 = SETTINGS["lion"]["beta1"], SETTINGS["lion"]["beta2"]
    for t in range(1, STEPS + 1):
        for i, before in enumerate(START if t == 1 else weights[t - 2]):
            mean = math.fsum((1 - beta2) * beta2 ** (t - 1 - k) * fed[k - 1][i] for k in range(1, t))
            direction = math.copysign(1, beta1 * mean + (1 - beta1) * fed[t - 1][i])
            want = before - rate * (direction + decay * before)
            assert math.isclose(weights[t - 1][i], want, rel_tol=1e-12, abs_tol=1e-12), (t, i, weights[t - 1][i], want)


def cases():
    plain = [run(kind, rate, l2) for kind in SETTINGS for rate in (0.001, 0.1, 10.0) for l2 in (0.0, 0.05)]
    decayed = [run(kind, 0.1, l2, 0.3) for kind in SETTINGS if kind != "adam" for l2 in (0.0, 0.05)]
    clipped = [run(kind, 0.1, 0.0, 0.0, 0.75) for kind in SETTINGS]
    clipped += [run(kind, 0.1, 0.05, 0.0 if kind == "adam" else 0.3, 0.75) for kind in SETTINGS]
    return plain + decayed + clipped


def torch_optimizer(torch, w, settings):
    kind, rate = settings["type"], settings["learningRate"]
    betas = (settings.get("beta1"), settings.get("beta2"))
    if kind == "sgd":
        return torch.optim.SGD([w], lr=rate)
    if kind == "nesterov":
        return torch.optim.SGD([w], lr=rate, momentum=settings["momentum"], nesterov=True)
    if kind == "rmsprop":
        return torch.optim.RMSprop([w], lr=rate, alpha=settings["beta2"], eps=EPSILON)
    if kind == "adam":
        return torch.optim.Adam([w], lr=rate, betas=betas, eps=EPSILON)
    if kind == "adamw":
        return torch.optim.AdamW([w], lr=rate, betas=betas, eps=EPSILON, weight_decay=settings["weightDecay"])
    return None


def check_torch():
    import torch

    ran, compared, worst = 0, 0, 0.0
    for case in cases():
        settings = case["optimizer"]
        w = torch.tensor(START, dtype=torch.float64, requires_grad=True)
        a, b = torch.tensor(A, dtype=torch.float64), torch.tensor(B, dtype=torch.float64)
        optimizer = torch_optimizer(torch, w, settings)
        if optimizer is None:
            continue
        ran += 1
        for fed, expected, at in zip(case["gradients"], case["weights"], [START, *case["weights"]]):
            # The gradient's formula, against autograd of the function it belongs to.
            x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
            (a * (x - b) ** 2 / 2 - torch.cos(3 * x) / 6).sum().backward()
            w.grad = torch.tensor(fed, dtype=torch.float64)
            if case["clip"] is not None:
                torch.nn.utils.clip_grad_value_([w], case["clip"])
            with torch.no_grad():
                w.grad += case["l2"] / ROWS * w
                if settings["type"] != "adamw":
                    w *= 1 - settings["learningRate"] * settings.get("weightDecay", 0.0)
            optimizer.step()
            for got, want in zip(x.grad.tolist() + w.tolist(), fed + expected):
                worst = max(worst, abs(got - want) / max(1, abs(want)))
                compared += 1
    good = worst < BOUND and ran == 48 and compared == ran * STEPS * 2 * len(START)
    print(f"torch {torch.__version__}: {ran} cases, {compared} numbers, worst difference {worst:.2e}, bound {BOUND}")
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
    line = re.sub(r"e-0(\d)\b", r"e-\1", ", ".join(map(repr, value)))
    if len(pad) + used + len(line) + 3 <= 120:  # brackets and a comma
        return f"[{line}]"
    return "[\n" + textwrap.fill(line, 120, initial_indent=inner, subsequent_indent=inner) + f"\n{pad}]"


def main():
    if "--check-torch" in sys.argv[1:]:
        return check_torch()
    oracle = {
        "madeBy": "test/optimizer-oracle/optimizers.py",
        "gradient": "a[i] * (w[i] - b[i]) + 0.5 * sin(3 * w[i]), limited to clip, then + l2 / rows * w[i]",
        "start": START,
        "a": A,
        "b": B,
        "rows": ROWS,
        "steps": STEPS,
        "cases": cases(),
    }
    Path(__file__).with_name("optimizers.json").write_text(layout(oracle) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
