"""What the PyTorch peers that are timed over stdin and stdout share: how they start, which Adam they take, and the protocol, one JSON
object a line:
    stdout, once warm         {"ready": true, "peer": "torch-f32", "version", "threads", "blas", "adam"}
    stdin                     {"steps": N}
    stdout                    {"seconds": [t1, ..., tN], "loss": cross-entropy of the last step}
End of input ends the program. When it cannot start, the first line is {"ready": false, "peer", "error", "hint"}.
"""
import os
import sys
import time

from peer_protocol import answer, say


def load(peer, threads):
    """Imports torch with so many threads, or says that it is missing and ends."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read once, when the library loads
    try:
        import torch
    except ImportError as error:
        say({"ready": False, "peer": peer, "error": str(error),
             "hint": "apt-get install python3-torch, and run with /usr/bin/python3"})
        sys.exit(1)
    torch.set_num_threads(threads)
    return torch


def fastest_adam(make):
    """Returns the form that steps faster here, over three steps each."""
    seconds = {}
    for adam in ("plain", "foreach"):
        trainer = make(adam)
        trainer.step()
        start = time.perf_counter()
        for _ in range(3):
            trainer.step()
        seconds[adam] = time.perf_counter() - start
    return min(seconds, key=seconds.get)


def serve(torch, peer, make, adam, warmup):
    """Steps as asked on stdin, until it ends. `make`: a trainer with a form of Adam; `adam`: auto, plain or foreach."""
    adam = fastest_adam(make) if adam == "auto" else adam
    trainer = make(adam)
    for _ in range(warmup):
        trainer.step()
    with open("/proc/self/maps") as maps:
        libraries = sorted({os.path.basename(line.split()[-1]) for line in maps
                            if any(name in line for name in ("blas", "dnnl", "mkl"))})
    say({"ready": True, "peer": peer, "version": torch.__version__, "threads": torch.get_num_threads(),
         "blas": ", ".join(libraries), "adam": adam})
    answer(trainer.step)
