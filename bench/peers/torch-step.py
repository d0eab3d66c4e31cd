#!/usr/bin/env python3
"""The PyTorch peer of `npm run bench`: the reference network's training step (ReLU, dropout, softmax cross-entropy, L2,
Adam) as people write it in PyTorch: nn.Sequential, cross_entropy, optim.Adam; with `--precision bf16` under
torch.autocast. Adam is the fastest of the forms that this PyTorch has (`--adam`: plain, foreach or fused). The L2
penalty goes through weight_decay of the weights alone, which costs the least. One process, started by bench/main.ts.

    /usr/bin/python3 bench/peers/torch-step.py --widths 784,3000,2500,2000,1500,1000,500,10 --batch 256 --threads 2
    /usr/bin/python3 bench/peers/torch-step.py --selftest

Needs Debian's python3-torch. Protocol: that of torch_peer.py.
"""
import argparse
import math
import sys

from torch_peer import load, say, serve

# Where the toy problem of `--selftest` ends, here and in numpy-step.py and tfjs/step.mjs: they check each other.
TOY_LOSS = 0.018275801584


def options():
    parser = argparse.ArgumentParser(description="PyTorch training step, timed over stdin/stdout.")
    parser.add_argument("--widths", default="784,3000,2500,2000,1500,1000,500,10")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--l2", type=float, default=0.05)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--activation", choices=["relu", "gelu"], default="relu")
    parser.add_argument("--norm", choices=["none", "batch"], default="none")
    parser.add_argument("--adam", choices=["auto", "plain", "foreach"], default="auto")
    parser.add_argument("--selftest", action="store_true", help="train a toy problem, then end")
    args = parser.parse_args()
    args.widths = [int(width) for width in args.widths.split(",")]
    return args


args = options()
PEER = f"torch-{args.precision}"
torch = load(PEER, args.threads)
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402


class Trainer:
    def __init__(self, widths, images, labels, dropout, l2, adam, learning_rate=0.001, bf16=False,
                 activation="relu", norm="none"):
        layers = []
        for index, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            linear = nn.Linear(inputs, outputs)
            nn.init.normal_(linear.weight, std=math.sqrt(2 / inputs))
            nn.init.zeros_(linear.bias)
            layers.append(linear)
            if index < len(widths) - 2:
                if norm == "batch":
                    layers.append(nn.BatchNorm1d(outputs))
                layers.append(nn.ReLU(inplace=True) if activation == "relu" else nn.GELU(approximate="tanh"))
                if dropout > 0:
                    layers.append(nn.Dropout(dropout))
        self.model = nn.Sequential(*layers)
        self.images, self.labels, self.bf16 = images, labels, bf16  # (B, I) uint8, (B)
        linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
        weights = [linear.weight for linear in linears]
        others = [parameter for parameter in self.model.parameters() if not any(parameter is weight for weight in weights)]
        groups = [{"params": weights, "weight_decay": l2 / len(images)}, {"params": others, "weight_decay": 0}]
        self.optimizer = torch.optim.Adam(groups, lr=learning_rate, foreach=adam == "foreach")

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            loss = cross_entropy(self.model(self.images.float() / 255), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def selftest():
    """The toy problem that numpy-step.py and step.mjs train too."""
    rows = 30
    labels = torch.arange(rows) % 3
    images = torch.tensor([[(200 if j == i % 3 else 0) + (i * 7 + j * 13) % 11 * 5 for j in range(4)]
                           for i in range(rows)], dtype=torch.uint8)
    toy = Trainer([4, 16, 3], images, labels, dropout=0, l2=0.05, adam="plain", learning_rate=0.02)
    with torch.no_grad():
        for layer, linear in enumerate(module for module in toy.model if isinstance(module, nn.Linear)):
            inputs, outputs = linear.in_features, linear.out_features
            angles = 1 + 12.9898 * torch.arange(inputs * outputs, dtype=torch.float64) + 78.233 * layer
            linear.weight.copy_((math.sqrt(2 / inputs) * torch.sin(angles)).reshape(inputs, outputs).T)
    losses = [toy.step() for _ in range(40)]
    good = abs(losses[-1] / TOY_LOSS - 1) < 1e-4
    say({"selftest": good, "losses": losses[::3]})
    return 0 if good else 1


def main():
    if args.selftest:
        return selftest()
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (args.batch, args.widths[0]), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, args.widths[-1], (args.batch,), generator=generator)

    def make(adam):
        return Trainer(args.widths, images, labels, args.dropout, args.l2, adam, bf16=args.precision == "bf16",
                       activation=args.activation, norm=args.norm)

    serve(torch, PEER, make, args.adam, args.warmup)
    return 0


sys.exit(main())
