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
    """Seconds of each call; they take turns, so that a busy moment hits all alike.

    Processor seconds are those of all threads; on a shared machine they say more than the clock.
    """
    clock: dict[str, list[float]] = {name: [] for name in calls}
    processor: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            start, busy = time.perf_counter(), time.process_time()
            call()
            clock[name].append(time.perf_counter() - start)
            processor[name].append(time.process_time() - busy)
    # The first round warms up.
    return {name: spread(clock[name][1:], processor[name][1:]) for name in calls}


def spread(clock: list[float], processor: list[float]) -> dict[str, float]:
    """Median, least and most of seconds by the clock, and the same of processor seconds."""
    return {
        "median": statistics.median(clock),
        "least": min(clock),
        "most": max(clock),
        "processor median": statistics.median(processor),
        "processor least": min(processor),
    }


def times_as_fast(seconds: dict[str, dict[str, float]], ours: str, theirs: str) -> dict[str, float]:
    """Ratios of `theirs` to `ours`, by each figure."""
    figures = ("median", "least", "processor median", "processor least")
    return {figure: seconds[theirs][figure] / seconds[ours][figure] for figure in figures}


def processor() -> str:
    """The processor's name, where the system tells it."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def report(name: str, result: dict[str, Any]) -> None:
    """Write a result beside what it was measured on, and print it."""
    result |= {
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load average after": os.getloadavg()[0],
        "processor": processor(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    whole = path.with_suffix(".new")
    whole.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    whole.replace(path)
    print(json.dumps(result, indent=2))
