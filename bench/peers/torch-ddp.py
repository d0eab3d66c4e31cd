#!/usr/bin/env python3
"""The PyTorch peer of `npm run bench -- machines`: the reference network's training step over several processes of one thread each,
torch.nn.parallel.DistributedDataParallel over gloo, each with its share of the mini-batch. One program, started by bench/machines.ts,
which starts the processes.

    /usr/bin/python3 bench/peers/torch-ddp.py --ranks 2 --batch 256 --steps 8

Needs Debian's python3-torch. Prints one JSON object: {"version", "seconds": [t1, ..., tN]}, or {"error", "hint"}.
"""
import argparse
import json
import math
import os
import sys
import time

parser = argparse.ArgumentParser(description="PyTorch training step over processes.")
parser.add_argument("--widths", default="784,3000,2500,2000,1500,1000,500,10")
parser.add_argument("--batch", type=int, default=256)
parser.add_argument("--ranks", type=int, default=2)
parser.add_argument("--dropout", type=float, default=0.3)
parser.add_argument("--l2", type=float, default=0.05)
parser.add_argument("--warmup", type=int, default=2)
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--port", type=int, default=29517)
args = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = "1"  # read once, when the library loads
try:
    import torch
    import torch.distributed as dist
    import torch.multiprocessing as processes
    from torch import nn
    from torch.nn.functional import cross_entropy
    from torch.nn.parallel import DistributedDataParallel
except ImportError as error:
    print(json.dumps({"error": str(error), "hint": "apt-get install python3-torch, and run with /usr/bin/python3"}))
    sys.exit(1)


def train(rank):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{args.port}", rank=rank, world_size=args.ranks)
    widths = [int(width) for width in args.widths.split(",")]
    layers = []
    for index, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        linear = nn.Linear(inputs, outputs)
        nn.init.normal_(linear.weight, std=math.sqrt(2 / inputs))
        layers.append(linear)
        if index < len(widths) - 2:
            layers += [nn.ReLU(inplace=True), nn.Dropout(args.dropout)]
    model = DistributedDataParallel(nn.Sequential(*layers))
    weights = [layer.weight for layer in layers if isinstance(layer, nn.Linear)]
    biases = [layer.bias for layer in layers if isinstance(layer, nn.Linear)]
    groups = [{"params": weights, "weight_decay": args.l2 / args.batch}, {"params": biases}]
    optimizer = torch.optim.Adam(groups, lr=0.001, foreach=True)
    rows = args.batch // args.ranks
    generator = torch.Generator().manual_seed(rank)
    images = torch.randint(0, 256, (rows, widths[0]), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, widths[-1], (rows,), generator=generator)
    seconds = []
    for step in range(args.warmup + args.steps):
        dist.barrier()
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(model(images.float() / 255), labels).backward()
        optimizer.step()
        if step >= args.warmup:
            seconds.append(time.perf_counter() - started)
    if rank == 0:
        print(json.dumps({"version": torch.__version__, "seconds": seconds}), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    processes.spawn(train, nprocs=args.ranks)
