#!/usr/bin/env python3
"""The scikit-learn peer of `npm run bench`: MLPClassifier (ReLU, softmax cross-entropy, L2, Adam, no dropout, as it has none) in
f32 on images of digits' size. One process, started by bench/main.ts; the only threads are OpenBLAS's.

    /usr/bin/python3 bench/peers/sklearn-step.py --widths 784,512,256,10 --batch 256 --threads 2

A step is a mini-batch of `fit`: one epoch over as many mini-batches as there are steps, timed as a whole and divided by their
number, so that checks of the data and shuffling are spread over the steps as in a training of its own.

Needs Debian's python3-sklearn and libopenblas0-pthread. The protocol is that of numpy-step.py.
"""
import argparse
import json
import os
import sys
import time
import warnings

from peer_protocol import say

PEER = "scikit-learn-f32"
SAMPLES_OF_WARMUP = 4

parser = argparse.ArgumentParser(description="scikit-learn training steps, timed over stdin/stdout.")
parser.add_argument("--widths", default="784,512,256,10")
parser.add_argument("--batch", type=int, default=256)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--l2", type=float, default=0.0001)
args = parser.parse_args()
widths = [int(width) for width in args.widths.split(",")]
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # read once, when the library loads
    os.environ[variable] = str(args.threads)
try:
    import numpy as np
    import sklearn
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_info
except ImportError as error:
    say({"ready": False, "peer": PEER, "error": str(error), "hint": "apt-get install python3-sklearn, and run with /usr/bin/python3"})
    sys.exit(1)
warnings.filterwarnings("ignore")  # an epoch is not meant to converge

random = np.random.default_rng(1)
classes = np.arange(widths[-1])


def samples(steps):
    """Images with four fifths of black, as digits have, and labels of which every class occurs."""
    rows = steps * args.batch
    x = random.random((rows, widths[0]), dtype=np.float32)
    x[random.random(x.shape, dtype=np.float32) < 0.8] = 0
    return x, np.resize(classes, rows)


model = MLPClassifier(
    hidden_layer_sizes=widths[1:-1], batch_size=args.batch, alpha=args.l2, max_iter=1, warm_start=True, random_state=1
)
model.fit(*samples(SAMPLES_OF_WARMUP))
loaded = ", ".join(
    f"{info['internal_api']} {info['version']} {info.get('architecture', '')}".strip()
    for info in threadpool_info()
    if info["user_api"] == "blas"
)
say({"ready": True, "peer": PEER, "version": sklearn.__version__, "threads": args.threads, "blas": loaded})
for line in sys.stdin:
    steps = json.loads(line)["steps"]
    data = samples(steps)
    begin = time.perf_counter()
    model.fit(*data)
    seconds = (time.perf_counter() - begin) / steps
    say({"seconds": [seconds] * steps, "loss": float(model.loss_)})
