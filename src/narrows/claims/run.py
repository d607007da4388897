"""Run a paper's claims, keep the result as JSON, and write the page of all results."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import narrows
from narrows import claims, store
from narrows.claims.claim import Sweep, spread, summary
from narrows.errors import unknown, wrong

SIZES = ("small", "gpu", "full")
RESULTS = Path(__file__).parent / "results"
_MACHINERY = {"claim", "run"}


def slugs() -> tuple[str, ...]:
    """The papers whose claims can be run."""
    names = (m.name for m in pkgutil.iter_modules(claims.__path__) if not m.ispkg)
    return tuple(sorted(n for n in names if n not in _MACHINERY))


def claim_file(slug: str) -> ModuleType:
    """The module that declares a paper's claims."""
    if slug not in slugs():
        raise unknown("claim", slug, slugs())
    return importlib.import_module(f"narrows.claims.{slug}")


def run_claims(slug: str, size: str = "small", seeds: int = 5) -> dict[str, Any]:
    """Measure a paper's claims.

    Args:
        slug: which paper.
        size: `small` (real data, two cores, minutes), `gpu` or `full` (the paper's data).
        seeds: how many; fewer than 3 can at best be `partly`.

    Returns:
        The result as JSON values: per claim the values, mean, standard error and verdict; the
        table; commit, versions and machine.
    """
    if size not in SIZES:
        raise wrong("size", repr(size), f"one of {', '.join(SIZES)}")
    if seeds < 1:
        raise wrong("seeds", seeds, "at least 1")
    module = claim_file(slug)
    begun = time.perf_counter()
    evidence = module.run(size, seeds)
    return {
        "slug": slug,
        "paper": module.PAPER,
        "size": size,
        "seeds": seeds,
        "data": evidence.data,
        "claims": [summary(claim, evidence) for claim in module.CLAIMS],
        "rows": {
            row: {k: list(v) for k, v in cells.items()} for row, cells in evidence.rows.items()
        },
        "seconds": round(time.perf_counter() - begun, 1),
        "made_with": made_with(),
    }


def made_with() -> dict[str, Any]:
    """Commit, versions and machine: what a number needs to be repeated."""
    try:
        commit = subprocess.run(  # noqa: S603  # a fixed command, nothing of it is input
            ["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"],  # noqa: S607  # from PATH
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    versions = {p: importlib.metadata.version(p) for p in ("torch", "numpy", "scikit-learn")}
    return {
        "narrows": narrows.__version__,
        "commit": commit,
        "python": platform.python_version(),
        **versions,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }


def sweeps(slug: str) -> tuple[Sweep, ...]:
    """The figures a claim file asks for; most ask for none."""
    return getattr(claim_file(slug), "SWEEPS", ())


def save_result(result: Mapping[str, Any], folder: Path) -> Path:
    """Write one result; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['slug']}-{result['size']}.json"
    store.write_json(path, dict(result))
    return path


def load_results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Every kept result, by file name."""
    return [store.read_json(path) for path in sorted(folder.glob("*.json"))]


def page(results: Iterable[Mapping[str, Any]]) -> str:
    """The page of all results, in Markdown."""
    lines = [
        "# Claims",
        "",
        "Each paper's headline claims, measured again. This page is made from the JSON files in",
        "`src/narrows/claims/results/` by `narrows claims --page docs/claims.md`; run one with",
        "`narrows claims SLUG`. A claim is one number and a bound. It **holds** if the mean over",
        "seeds is on the claimed side by two standard errors, **does not hold** if it is on the",
        "other side by as much, and holds **partly** in between.",
    ]
    for result in results:
        lines += ["", *_section(result)]
    return "\n".join(lines) + "\n"


def text(result: Mapping[str, Any]) -> str:
    """One result for a terminal."""
    lines = [f"{result['paper']}", f"{result['data']}; {result['seeds']} seeds", ""]
    for claim in result["claims"]:
        lines += [
            f"{claim['verdict'].upper()}: {claim['statement']}",
            f"  here:  {_number(claim)} {claim['metric']}",
            f"  wanted: {claim['side']} {claim['bound']:g}, {claim['reason']}",
            f"  paper: {claim['paper']}",
        ]
    return "\n".join(lines)


def _number(claim: Mapping[str, Any]) -> str:
    if claim["mean"] is None:
        return claim["why_not"] or "not measured"
    error = claim["standard_error"]
    return f"{claim['mean']:.3g}" + ("" if error is None else f" ± {error:.2g}")


def _section(result: Mapping[str, Any]) -> list[str]:
    made = result["made_with"]
    lines = [
        f"## {result['paper']}",
        "",
        f"Size `{result['size']}`: {result['data']}. {result['seeds']} seeds, "
        f"{result['seconds']:.0f} s on {made['threads']} threads, "
        f"torch {made['torch']}, commit {made['commit']}.",
        "",
        "| claim | paper | measured here | wanted | verdict |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {c['statement']} | {c['paper']} | {_number(c)} {c['metric']} "
        f"| {c['side']} {c['bound']:g}: {c['reason']} | **{c['verdict']}** |"
        for c in result["claims"]
    ]
    for sweep in sweeps(result["slug"]):
        picture = f"claims/{result['slug']}-{sweep.key}.svg"
        lines += ["", f"![{sweep.caption}]({picture})", "", sweep.caption]
    if not result["rows"]:
        return lines
    columns = list(dict.fromkeys(k for cells in result["rows"].values() for k in cells))
    lines += ["", "| row | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    for row, cells in result["rows"].items():
        shown = [_cell(cells[k]) if cells.get(k) else "" for k in columns]
        lines.append(f"| {row} | " + " | ".join(shown) + " |")
    return lines


def _cell(values: list[float]) -> str:
    mean, error = spread(values)
    return f"{mean:.3f}" if error != error else f"{mean:.3f} ± {error:.3f}"
