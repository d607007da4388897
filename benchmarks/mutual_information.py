"""Nearest-neighbour information against infomeasure and scikit-learn, equality first.

Correlated normals, rho 0.75, k = 3; our time includes the standard error. Peers: infomeasure
0.6.3 (AGPL: used here and nowhere else), `KSGMIEstimator` of type 1 without its noise, and
scikit-learn's `mutual_info_regression` and `mutual_info_classif`. infomeasure's local values are
part of its answer, as our standard error is of ours. It uses one thread; so does scikit-learn
unless it is told to use processes, whose processor seconds are not counted. Compare with those
two by processor seconds; the clock shows what a second thread adds for us.

- single columns, 100,000 rows, against both
- three columns a side, 30,000 rows, against infomeasure
- 100 columns against one label of 10 classes, 10,000 rows, each=True, against scikit-learn

Values must agree before anything is timed: to 1e-9 where no side adds noise, to 1e-6 with
scikit-learn, which moves its values by about 1e-10. Peak memory is that of a fresh process, above
what its imports and its samples take. Targets: 3 times as fast as infomeasure, scikit-learn
matched.

    python benchmarks/mutual_information.py [threads]
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _timing import in_turns, report, times_as_fast

from narrows.measure.mi import mutual_information

K, RHO, REPEATS = 3, 0.75, 3
PROCESSES = "scikit-learn, a process a thread"
PEER = importlib.util.find_spec("infomeasure") is not None


def normals(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x, noise = generator.standard_normal((2, n, d))
    y = RHO * x + np.sqrt(1 - RHO**2) * noise
    return x / x.std(0), y / y.std(0)  # scikit-learn scales to this by itself


def labelled(n: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 10, n)
    x = generator.standard_normal((n, columns)) + np.linspace(0, 1, columns) * y[:, None] / 3
    return x / x.std(0), y


def ours(x: np.ndarray, y: np.ndarray) -> float:
    return mutual_information(x, y, "ksg", k=K).value


def infomeasure(x: np.ndarray, y: np.ndarray) -> float:
    from infomeasure.estimators.mutual_information import KSGMIEstimator

    return float(KSGMIEstimator(x, y, k=K, ksg_id=1, noise_level=0).result())


def regression(x: np.ndarray, y: np.ndarray) -> float:
    from sklearn.feature_selection import mutual_info_regression

    return float(mutual_info_regression(x, y[:, 0], n_neighbors=K, random_state=0)[0])


def each(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return mutual_information(x, y, "ross", k=K, y_kind="discrete", each=True).value


def classif(x: np.ndarray, y: np.ndarray, jobs: int | None = None) -> np.ndarray:
    from sklearn.feature_selection import mutual_info_classif

    return np.array(mutual_info_classif(x, y, n_neighbors=K, random_state=0, n_jobs=jobs))


def classif_in_processes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return classif(x, y, torch.get_num_threads())


# Task: its samples, and who answers it; ours first.
TASKS: dict[str, tuple[Callable[[], Any], dict[str, Callable[..., Any]]]] = {
    "1 column, 100,000 rows": (
        lambda: normals(100_000, 1),
        {"narrows": ours, "infomeasure": infomeasure, "scikit-learn": regression},
    ),
    "3 columns a side, 30,000 rows": (
        lambda: normals(30_000, 3),
        {"narrows": ours, "infomeasure": infomeasure},
    ),
    "100 columns, 1 label, 10,000 rows": (
        lambda: labelled(10_000, 100),
        {"narrows": each, "scikit-learn": classif, PROCESSES: classif_in_processes},
    ),
}
TOLERANCE = {"infomeasure": 1e-9, "scikit-learn": 1e-6, PROCESSES: 1e-6}


def most_used() -> float:
    """MiB of this process at its largest. The figure of getrusage also holds its parent's."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def peak(task: str, who: str) -> None:
    """Print the MiB that one answer adds to the most a process has used."""
    samples, answers = TASKS[task]
    x, y = samples()
    answers[who](x[:200], y[:200])  # imports, compilation
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the most so far, forgotten
    before = most_used()
    answers[who](x, y)
    print(most_used() - before)


def measured(task: str) -> dict[str, Any]:
    samples, answers = TASKS[task]
    x, y = samples()
    answers = {who: call for who, call in answers.items() if PEER or who != "infomeasure"}
    values = {who: call(x, y) for who, call in answers.items()}
    off = {
        who: float(np.abs(np.maximum(values["narrows"], 0) - np.maximum(value, 0)).max())
        for who, value in values.items()
        if who != "narrows"
    }  # scikit-learn reports no value below 0
    for who, difference in off.items():
        assert difference < TOLERANCE[who], f"{task}: {who} differs by {difference}"
    seconds = in_turns({who: lambda c=call: c(x, y) for who, call in answers.items()}, REPEATS)
    faster = {who: times_as_fast(seconds, "narrows", who) for who in off}
    for figures in (one[PROCESSES] for one in (seconds, faster) if PROCESSES in one):
        for name in [name for name in figures if name.startswith("processor")]:
            del figures[name]  # those of other processes are not seen from here
    memory = {}
    for who in (who for who in answers if who != PROCESSES):
        line = [sys.executable, __file__, str(torch.get_num_threads()), task, who]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        memory[who] = float(done.stdout)
    return {
        "largest difference": off,
        "seconds": seconds,
        "times as fast": faster,
        "peak memory of one answer, MiB": memory,
    }


def main() -> None:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    torch.set_num_threads(threads)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # for all libraries alike
    if len(sys.argv) > 2:
        peak(sys.argv[2], sys.argv[3])
        return
    before = os.getloadavg()[0]
    result: dict[str, Any] = {
        "k": K,
        "repeats": REPEATS,
        "infomeasure": "0.6.3" if PEER else "not installed, so not compared",
        "target": "3 times as fast as infomeasure",
        "load average before": before,
    }
    for task in TASKS:
        result[task] = measured(task)
        print(json.dumps({task: result[task]}, indent=2))
    report(Path(__file__).stem, result)


if __name__ == "__main__":
    main()
