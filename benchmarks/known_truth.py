"""Error against known truth on twelve tasks, beside the estimators of benchmark-mi (bmi).

Both see the same samples, both with their defaults. Of the trained estimators two are compared on
fewer samples: bmi's take about ten seconds each. An estimate is off by its mean over samples
minus the truth; what a bound misses counts like what an estimate misses.

    python benchmarks/known_truth.py PYTHON    # one that can import bmi
    python benchmarks/known_truth.py --page docs/known_truth.md    # from the kept result
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _timing import report

from narrows.errors import NarrowsError
from narrows.measure.mi import mutual_information
from narrows.measure.mi.known import tasks

ROWS, SAMPLES, TRAINED = 2000, 5, 3
RESULT = Path(__file__).parent / "results" / "known_truth.json"
TASKS = (
    "normal-0.75",
    "normal-0.75-half-cube",
    "normal-0.75-wiggly",
    "uniform-noise-0.1",
    "swiss-roll-2x1",
    "student-1x1-df1",
    "student-2x2-df2",
    "dense-3x3",
    "2-pair-3x3",
    "2-pair-3x3-spiral",
    "2-pair-5x5-normal-cdf",
    "dense-25x25",
)
# Ours beside what is nearest to it there.
PAIRS = {
    "ksg": "KSGEnsembleFirstEstimator",
    "gaussian": "CCAMutualInformationEstimator",
    "kde": "KDEMutualInformationEstimator",
    "binning": "HistogramEstimator",
    "mine": "MINEEstimator",
    "infonce": "InfoNCEEstimator",
}
ALONE = ("gcmi", "lnc", "nwj", "smile", "flow")
NEURAL = {"mine", "infonce", "nwj", "smile", "flow"}

Cells = dict[str, dict[str, list[float]]]


def ours(samples: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> tuple[Cells, dict[str, str]]:
    """Values by method and task, and why there are none."""
    found: Cells = {}
    refused: dict[str, str] = {}
    for method in (*PAIRS, *ALONE):
        found[method] = {}
        for task, several in samples.items():
            used = several[:TRAINED] if method in NEURAL else several
            try:
                found[method][task] = [mutual_information(x, y, method).value for x, y in used]
            except NarrowsError as error:
                refused[f"{method}, {task}"] = str(error)
            print(method, task, found[method].get(task), file=sys.stderr, flush=True)
    return found, refused


def theirs(python: str, samples: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> Cells:
    """The same of bmi, in an interpreter that has it."""
    found: Cells = {}
    for trained in (False, True):
        names = [there for here, there in PAIRS.items() if (here in NEURAL) == trained]
        count = TRAINED if trained else SAMPLES
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "samples.npz"
            flat = {
                f"{task}/{i}/{side}": values
                for task, several in samples.items()
                for i, pair in enumerate(several[:count])
                for side, values in zip("xy", pair, strict=True)
            }
            np.savez(path, **flat)
            peer = str(Path(__file__).with_name("_bmi_peer.py"))
            done = subprocess.run(  # the interpreter the caller names
                [python, peer, str(path), ",".join(names)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        for name, cells in json.loads(done.stdout).items():
            found[name] = {}
            for key, (value, _) in cells.items():
                task = key.rsplit("/", 1)[0]
                found[name].setdefault(task, []).append(
                    value if isinstance(value, float) else math.nan
                )
    return found


def off(values: list[float], truth: float) -> tuple[float, float]:
    """Mean minus truth, and its standard error."""
    return statistics.fmean(values) - truth, statistics.stdev(values) / math.sqrt(len(values))


def losses(result: dict[str, Any]) -> list[str]:
    """Where ours is farther off than its pair, by more than both standard errors together."""
    found = []
    for here, there in PAIRS.items():
        for task, truth in result["truth"].items():
            mine, peer = (
                result[side].get(name, {}).get(task)
                for side, name in (("narrows", here), ("bmi", there))
            )
            if not mine or not peer or any(map(math.isnan, peer)):
                continue
            (a, a_error), (b, b_error) = off(mine, truth), off(peer, truth)
            if abs(a) - abs(b) > math.hypot(a_error, b_error):
                found.append(f"{here} on {task}: off by {a:+.3f}, {there} by {b:+.3f}")
    return found


def page(result: dict[str, Any]) -> str:
    """The tables in Markdown."""
    lines = [
        "# Estimators where the truth is known",
        "",
        f"{ROWS:,} samples a task; mean over samples minus the known information, in nats, with",
        "its standard error. Made by `benchmarks/known_truth.py`; bmi is the package",
        "`benchmark-mi` 0.1.3 of Czyż et al. (NeurIPS 2023), on the same samples. Defaults on",
        "both sides. Bounds (`mine`, `infonce`, `nwj`: from below) are off where they are loose.",
    ]
    for title, side, names in (
        ("Beside what is nearest in bmi", "both", list(PAIRS)),
        ("Not in bmi", "narrows", list(ALONE)),
    ):
        heads = [f"{n} | bmi {PAIRS[n].removesuffix('Estimator')}" if side == "both" else n
                 for n in names]  # fmt: skip
        count = len(names) * (2 if side == "both" else 1)
        lines += ["", f"## {title}", "", f"| task | truth | {' | '.join(heads)} |"]
        lines.append("| --- |" + " --- |" * (count + 1))
        for task, truth in result["truth"].items():
            cells = []
            for name in names:
                cells.append(cell(result["narrows"].get(name, {}).get(task), truth))
                if side == "both":
                    cells.append(cell(result["bmi"].get(PAIRS[name], {}).get(task), truth))
            lines.append(f"| {task} | {truth:.3f} | {' | '.join(cells)} |")
    lines += ["", "## Where ours is farther off", ""]
    lines.append("By more than both standard errors together:")
    lines += ["", *(f"- {text}" for text in losses(result) or ["nowhere"])]
    if result["refused"]:
        lines += ["", "## Refused", ""]
        lines += [f"- {where}: {why}" for where, why in result["refused"].items()]
    return "\n".join(lines) + "\n"


def cell(values: list[float] | None, truth: float) -> str:
    """One error with its standard error."""
    if not values:
        return "refused"
    if any(map(math.isnan, values)):
        return "failed"
    value, error = off(values, truth)
    return f"{value:+.3f} ± {error:.3f}"


def main() -> None:
    if sys.argv[1:2] == ["--page"]:
        Path(sys.argv[2]).write_text(page(json.loads(RESULT.read_text("utf-8"))), encoding="utf-8")
        return
    if len(sys.argv) < 2:
        print("skipped: name a Python that can import bmi (benchmark-mi 0.1.3)", file=sys.stderr)
        return
    torch.set_num_threads(1)
    known = tasks()
    samples = {t: [known[t].sample(ROWS, seed) for seed in range(SAMPLES)] for t in TASKS}
    found, refused = ours(samples)
    peer = theirs(sys.argv[1], samples)
    truth = {task: known[task].truth for task in TASKS}
    result = {"rows": ROWS, "truth": truth, "narrows": found, "bmi": peer, "refused": refused}
    report("known_truth", {**result, "losses": losses(result)})


if __name__ == "__main__":
    main()
