#!/usr/bin/env python3
"""Times products of NumPy under the OPENBLAS_CORETYPE of the environment, and compares them with sums that use no BLAS.
One process, started by bench/core-types.ts, which adds nothing to stdin; the answer is one JSON object:
    {"f32": seconds, "f64": seconds, "error": largest relative error of both, in units of their precision}
"""
import json
import os
import sys
import time

threads = sys.argv[1] if len(sys.argv) > 1 else "2"
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # read once, when the library loads
    os.environ[variable] = threads
import numpy as np  # noqa: E402

ROWS, DEPTH, COLUMNS, CHECKED = 256, 2001, 1503, 64
random = np.random.default_rng(1)
answer = {"error": 0.0}
for name, dtype in (("f32", np.float32), ("f64", np.float64)):
    a = random.standard_normal((ROWS, DEPTH)).astype(dtype)
    b = random.standard_normal((DEPTH, COLUMNS)).astype(dtype)
    product = a @ b
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        product = a @ b
        best = min(best, time.perf_counter() - start)
    answer[name] = best
    columns = random.choice(COLUMNS, CHECKED, replace=False)
    wide_a, wide_b = a.astype(np.longdouble), b[:, columns].astype(np.longdouble)
    truth = np.stack([(wide_a * wide_b[:, j]).sum(axis=1) for j in range(CHECKED)], axis=1)
    scale = np.abs(a.astype(np.float64)) @ np.abs(b[:, columns].astype(np.float64)) * np.finfo(dtype).eps
    error = float((np.abs(product[:, columns] - truth) / scale).max())
    # Not max(): NaN would be lost.
    answer["error"] = error if not error <= answer["error"] else answer["error"]
print(json.dumps(answer if answer["error"] == answer["error"] else {**answer, "error": 1e300}), flush=True)
