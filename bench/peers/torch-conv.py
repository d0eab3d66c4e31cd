#!/usr/bin/env python3
"""The PyTorch peer of `npm run bench -- conv`: a training step of a convolutional network (3 x 3 convolutions with padding, ReLU,
max pooling, one dense layer, softmax cross-entropy, Adam) as people write it in PyTorch. One process, started by bench/conv.ts.

    /usr/bin/python3 bench/peers/torch-conv.py --convolutions 32,64p --hidden 128 --batch 128 --threads 2 --memory nhwc

`p` behind a number of filters: max pooling of 2 x 2 follows. `--memory nhwc`: torch.channels_last. `--adam` as in torch-step.py.

Needs Debian's python3-torch. Protocol: that of torch_peer.py.
"""
import argparse
import sys

from torch_peer import load, serve

SIZE = 28
CLASSES = 10


def options():
    parser = argparse.ArgumentParser(description="PyTorch training step with convolutions, timed over stdin/stdout.")
    parser.add_argument("--convolutions", default="32,64p")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--memory", choices=["nchw", "nhwc"], default="nchw")
    parser.add_argument("--norm", choices=["none", "batch"], default="none")
    parser.add_argument("--adam", choices=["auto", "plain", "foreach"], default="auto")
    return parser.parse_args()


args = options()
PEER = f"torch-conv-{args.memory}"
torch = load(PEER, args.threads)
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402


def network():
    layers, channels, side = [], 1, SIZE
    for text in args.convolutions.split(","):
        filters = int(text.rstrip("p"))
        layers.append(nn.Conv2d(channels, filters, 3, padding=1))
        if args.norm == "batch":
            layers.append(nn.BatchNorm2d(filters))
        layers.append(nn.ReLU(inplace=True))
        if text.endswith("p"):
            layers.append(nn.MaxPool2d(2))
            side //= 2
        channels = filters
    layers += [nn.Flatten(), nn.Linear(channels * side * side, args.hidden)]
    if args.norm == "batch":
        layers.append(nn.BatchNorm1d(args.hidden))
    return nn.Sequential(*layers, nn.ReLU(inplace=True), nn.Linear(args.hidden, CLASSES))


class Trainer:
    def __init__(self, images, labels, adam):
        self.memory = torch.channels_last if args.memory == "nhwc" else torch.contiguous_format
        self.model = network().to(memory_format=self.memory)
        self.images, self.labels = images, labels
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.001, foreach=adam == "foreach")

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        inputs = (self.images.float() / 255).contiguous(memory_format=self.memory)
        loss = cross_entropy(self.model(inputs), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def main():
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (args.batch, 1, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, CLASSES, (args.batch,), generator=generator)

    def make(adam):
        return Trainer(images, labels, adam)

    serve(torch, PEER, make, args.adam, args.warmup)
    return 0


sys.exit(main())
