"""What every benchmark does: take turns, and write down what was measured on what."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def in_turns(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of each call; they take turns, so that a busy moment hits all alike."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    # The first round warms up.
    return {
        name: {"median": statistics.median(times), "least": min(times), "most": max(times)}
        for name, times in ((name, times[1:]) for name, times in taken.items())
    }


def report(name: str, result: dict[str, Any]) -> None:
    """Write a result beside what it was measured on, and print it."""
    result |= {
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load average after": os.getloadavg()[0],
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
