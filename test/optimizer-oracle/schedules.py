#!/usr/bin/env python3
"""Expected learning rates for the schedules' tests, computed apart from gradloom: plain Python floats, straight from the
formulas. Writes schedules.json beside this file.

    python3 test/optimizer-oracle/schedules.py                        writes schedules.json
    /usr/bin/python3 test/optimizer-oracle/schedules.py --check-torch compares with torch.optim.lr_scheduler, writes nothing

How the numbers were made: a run of 5 epochs of 7 steps at a learning rate of 0.25. `rates` has the rate of every step.
A schedule counts steps, or epochs (whole ones, or their parts too), from the end of the warm-up, whose steps s of W have

    rate of the schedule's first step * (from + (1 - from) * s / W)

Checked against PyTorch 1.13.1 (Debian's python3-torch) with --check-torch, step by step: StepLR, ExponentialLR,
CosineAnnealingLR, OneCycleLR and ConstantLR, with LinearLR for the warm-up; LambdaLR for the inverse root, which torch
does not have. Where a schedule counts epochs, torch's is stepped once an epoch.
"""
import math
import sys
from pathlib import Path

from optimizers import layout

RATE, EPOCHS, STEPS_PER_EPOCH = 0.25, 5, 7
BOUND = 1e-13
NO_WARMUP = {"epochs": 0, "steps": 0, "from": 0.1}
WARMUPS = [NO_WARMUP, {"epochs": 1, "steps": 3, "from": 0.2}, {"epochs": 0, "steps": 4, "from": 0.0}]
SCHEDULES = [
    {"type": "constant"},
    *({"type": "inverse-sqrt", "decayRate": 2, "per": per} for per in ("epoch", "step")),
    {"type": "step", "everyEpochs": 2, "factor": 0.3},
    *({"type": "exponential", "factor": 0.8, "per": per} for per in ("epoch", "step")),
    *({"type": "cosine", "minimum": 0.1, "per": per} for per in ("epoch", "step")),
    {"type": "one-cycle", "pctStart": 0.3, "divFactor": 25, "finalDivFactor": 10000, "per": "step"},
    {"type": "one-cycle", "pctStart": 0.6, "divFactor": 10, "finalDivFactor": 100, "per": "epoch"},
]


def half(start, end, share):
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def scheduled(s, step, total):
    """The rate of a step after the warm-up, of so many that are."""
    epoch = step // STEPS_PER_EPOCH
    at, end = (step, total) if s.get("per") == "step" else (epoch, total / STEPS_PER_EPOCH)
    time = step / STEPS_PER_EPOCH if s.get("per") == "step" else epoch
    if s["type"] == "constant":
        return RATE
    if s["type"] == "inverse-sqrt":
        return RATE / math.sqrt(time + 1) / s["decayRate"]
    if s["type"] == "step":
        return RATE * s["factor"] ** (epoch // s["everyEpochs"])
    if s["type"] == "exponential":
        return RATE * s["factor"] ** time
    if s["type"] == "cosine":
        return half(RATE, RATE * s["minimum"], at / end)
    first = RATE / s["divFactor"]
    peak = s["pctStart"] * end - 1
    if at <= peak:
        return half(first, RATE, at / peak)
    return half(RATE, first / s["finalDivFactor"], min((at - peak) / (end - 1 - peak), 1))


def run(schedule, warmup):
    steps = warmup["steps"] + warmup["epochs"] * STEPS_PER_EPOCH
    total = EPOCHS * STEPS_PER_EPOCH - steps
    begin = scheduled(schedule, 0, total)
    rates = [begin * (warmup["from"] + (1 - warmup["from"]) * s / steps) for s in range(steps)]
    return {"schedule": {**schedule, "warmup": warmup}, "rates": rates + [scheduled(schedule, s, total) for s in range(total)]}


def cases():
    return [run(schedule, warmup) for schedule in SCHEDULES for warmup in WARMUPS]


def torch_rates(torch, schedule):
    """PyTorch's rates of the steps after the warm-up, and of their number."""
    from torch.optim import lr_scheduler as lr

    warmup = schedule["warmup"]
    warm = warmup["steps"] + warmup["epochs"] * STEPS_PER_EPOCH
    total = EPOCHS * STEPS_PER_EPOCH - warm
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    by_step = schedule.get("per") == "step"
    length = total if by_step else total / STEPS_PER_EPOCH
    kind = schedule["type"]
    if kind == "constant":
        of = lr.ConstantLR(optimizer, factor=1)
    elif kind == "inverse-sqrt":
        unit = STEPS_PER_EPOCH if by_step else 1
        of = lr.LambdaLR(optimizer, lambda n: (n / unit + 1) ** -0.5 / schedule["decayRate"])
    elif kind == "step":
        of = lr.StepLR(optimizer, schedule["everyEpochs"], schedule["factor"])
    elif kind == "exponential":
        of = lr.ExponentialLR(optimizer, schedule["factor"] ** (1 / STEPS_PER_EPOCH if by_step else 1))
    elif kind == "cosine":
        of = lr.CosineAnnealingLR(optimizer, length, RATE * schedule["minimum"])
    elif length != int(length):
        return None  # OneCycleLR counts whole ones.
    else:
        of = lr.OneCycleLR(optimizer, RATE, total_steps=int(length), pct_start=schedule["pctStart"], cycle_momentum=False,
                           div_factor=schedule["divFactor"], final_div_factor=schedule["finalDivFactor"])
    rates = []
    for step in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (by_step and step < total - 1) or (not by_step and (step + 1) % STEPS_PER_EPOCH == 0 and step < total - 1):
            of.step()
    if warm:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rates[0])
        # LinearLR takes no 0 to begin with; its line from a factor that small is the same to far below the bound.
        line = lr.LinearLR(optimizer, warmup["from"] or 1e-16, 1.0, warm)
        for step in range(warm):
            rates.insert(step, optimizer.param_groups[0]["lr"])
            optimizer.step()
            line.step()
    return rates


def check_torch():
    import torch

    ran, worst = 0, 0.0
    for case in cases():
        got = torch_rates(torch, case["schedule"])
        if got is None:
            continue
        assert len(got) == len(case["rates"]) == EPOCHS * STEPS_PER_EPOCH
        ran += 1
        off = max(abs(a - b) / RATE for a, b in zip(got, case["rates"]))
        if off >= BOUND:
            print(case["schedule"], off)
        worst = max(worst, off)
    print(f"torch {torch.__version__}: {ran} schedules, worst difference {worst:.2e} of the rate, bound {BOUND}")
    return 0 if worst < BOUND and ran == 28 else 1


def main():
    if "--check-torch" in sys.argv[1:]:
        return check_torch()
    oracle = {
        "madeBy": "test/optimizer-oracle/schedules.py",
        "learningRate": RATE,
        "epochs": EPOCHS,
        "stepsPerEpoch": STEPS_PER_EPOCH,
        "cases": cases(),
    }
    Path(__file__).with_name("schedules.json").write_text(layout(oracle) + "\n")
    return 0


sys.exit(main())
