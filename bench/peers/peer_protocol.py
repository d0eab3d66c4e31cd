"""Lines of a peer that is timed over stdin and stdout, one JSON object each:
    stdin                     {"steps": N}
    stdout                    {"seconds": [t1, ..., tN], "loss": loss of the last step}
The first line on stdout, with `ready`, is the peer's own.
"""
import json
import sys
import time


def say(message):
    print(json.dumps(message), flush=True)


def answer(step):
    """Does steps as asked on stdin, until it ends. `step`: does one, and returns its loss."""
    for line in sys.stdin:
        seconds, loss = [], None
        for _ in range(json.loads(line)["steps"]):
            start = time.perf_counter()
            loss = step()
            seconds.append(time.perf_counter() - start)
        say({"seconds": seconds, "loss": loss})
