"""Trains the same run again and again in killed children until it is finished.

    python runs_child.py DATA FOLDER SEED KILLS

The first, whole run happens here, so that all is imported; the others are forks, which start at
once and differ in nothing but the kill. Prints, as one JSON list, how far each
killed child had come.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from narrows.concepts import CBM
from narrows.data import load
from narrows.runs import fit_run


def train(table: str, folder: Path) -> None:
    """One run that takes about a second; with a hidden layer, so that it has two stages."""
    data = load(table, target="diagnosis")
    method = CBM("sequential", hidden=(8,), epochs=40, batch_size=4, seed=3)
    fit_run(method, data, folder, source=table, options={"target": "diagnosis"}, resume=True)


def attempt(table: str, folder: Path, delay: float | None) -> bool:
    """Train in a child that is killed after a delay; whether it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            train(table, folder)
            os._exit(0)
        except BaseException as error:  # a forked child must never run the parent's code
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            sys.stderr.flush()
            os._exit(1)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit("a child failed")
    return os.WIFEXITED(status)


def reached(folder: Path) -> str:
    """What lies in a folder after a kill."""
    if (folder / "metrics.json").exists():
        return "finished"
    if (folder / "model.safetensors").exists():
        return "measured"
    files = sorted((folder / "checkpoints").glob("*.safetensors"))
    return files[-1].stem if files else "begun"


if __name__ == "__main__":
    torch.set_num_threads(1)
    data, where, seed, kills = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    train(data, where / "whole")
    begun = time.monotonic()
    attempt(data, where / "timed", None)
    takes = time.monotonic() - begun
    chance = random.Random(seed)  # noqa: S311  # moments to kill at, not secrets
    states = []
    for _ in range(kills):
        # Shorter than a whole run, so that several lives are needed.
        attempt(data, where / "killed", takes * chance.uniform(0.05, 0.6))
        states.append(reached(where / "killed"))
        if states[-1] == "finished":
            break
    attempt(data, where / "killed", None)
    sys.stdout.write(json.dumps(states))
