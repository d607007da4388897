"""The table of an evaluation: what, how much, how sure, and what to hold beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from narrows.measure.evaluate import Evaluation

_QUALITY = {
    "accuracy": ("accuracy", "balanced_accuracy", "brier", "ece"),
    "auc": ("auc", "average_precision"),
}
_SPOKEN = {"auc": "AUC", "brier": "Brier score", "ece": "calibration error"}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: what was measured.
        value: how much; NaN where it is not defined.
        error: standard error; NaN where there is one value only.
        beside: what to compare it with, in words.
    """

    name: str
    value: float
    error: float = math.nan
    beside: str = ""


def rows_of(found: Evaluation) -> tuple[Row, ...]:
    """All rows, in the order of the measures."""
    return (
        Row("task accuracy", found.task),
        *_quality(found),
        *_representations(found),
        *_leakage(found),
        *_curves(found),
        *_sparse(found),
    )


def text(found: Evaluation) -> str:
    """The table with its notes."""
    rows = rows_of(found)
    wide = max(len(row.name) for row in rows)
    lines = [f"{'measure':<{wide}}   value    error  beside"]
    for row in rows:
        error = "" if math.isnan(row.error) else f"{row.error:.4f}"
        value = "-" if math.isnan(row.value) else f"{row.value:.4f}"
        lines.append(f"{row.name:<{wide}} {value:>7} {error:>8}  {row.beside}".rstrip())
    return "\n".join([*lines, *_notes(found)])


def _quality(found: Evaluation) -> Iterator[Row]:
    if found.quality is None:
        return
    for which, columns in _QUALITY.items():
        if which in found.which:
            for column in columns:
                spoken = _SPOKEN.get(column, column.replace("_", " "))
                yield Row(f"concept {spoken}", found.quality.mean(column))
    if "accuracy" in found.which:
        yield Row("every concept right", found.quality.exact_set)


def _representations(found: Evaluation) -> Iterator[Row]:
    if found.cas is not None:
        rows = f"{found.cas.rows} of {found.cas.given} rows"
        yield Row(
            "alignment (CAS)", found.cas.mean, beside=f"noise {found.cas.noise_mean:.4f}, {rows}"
        )
    if found.ois is not None:
        beside = f"pure 0, {found.ois.probe} probe"
        yield Row("oracle impurity (OIS)", found.ois.value, found.ois.standard_error, beside)
    if found.nis is not None:
        beside = f"pure 0.5, {found.nis.probe} probe"
        yield Row("niche impurity (NIS)", found.nis.value, found.nis.standard_error, beside)


def _leakage(found: Evaluation) -> Iterator[Row]:
    if found.leakage is not None:
        part = found.leakage
        beside = f"soft {part.soft_accuracy:.4f}, hard {part.hard_accuracy:.4f}"
        yield Row("leakage, accuracy", part.accuracy, beside=beside)
        yield Row("leakage, bits of all", part.bits, beside="bound by affine heads")
    if found.information is not None:
        info = found.information
        yield Row("leakage, bits a concept", info.bits_mean, beside=info.estimator)
        yield Row("concept-task leakage", info.task_mean, beside="share of the label's entropy")
        yield Row("concept-concept leakage", info.between_mean, beside="share of the concept's")
    if found.residual is not None:
        rest = found.residual
        beside = f"{rest.without:.4f} of {rest.full:.4f}, chance {rest.chance:.4f}"
        yield Row("out-of-concept residual", rest.share, beside=beside)


def _curves(found: Evaluation) -> Iterator[Row]:
    for policy, curve in found.curves.items():
        last = int(curve.steps[-1])
        ends = f"none {curve.at(0):.4f}, all {last} {curve.at(last):.4f}"
        yield Row(f"corrections, area ({policy})", curve.area, beside=ends)


def _sparse(found: Evaluation) -> Iterator[Row]:
    if found.anec is None:
        return
    rows = found.anec.concepts, found.anec.random
    for m, value, random in zip(
        rows[0].sizes, *(row.accuracy.tolist() for row in rows), strict=True
    ):
        if not math.isnan(value):
            yield Row(f"accuracy at NEC {m}", value, beside=f"random concepts {random:.4f}")
    beside = f"random concepts {rows[1].mean:.4f}"
    yield Row("accuracy at NEC, mean", rows[0].mean, beside=beside)


def _notes(found: Evaluation) -> Iterator[str]:
    quality = found.quality
    if quality is not None and quality.constant:
        yield f"constant, without AUC: {', '.join(quality.constant)}"
    if quality is not None and quality.unbounded:
        yield f"no probabilities, without leakage: {', '.join(quality.unbounded)}"
    if found.anec is not None:
        missing = [str(m) for m in found.anec.concepts.sizes if m >= found.anec.concepts.inputs]
        if missing:
            yield f"NEC {', '.join(missing)}: the head has {found.anec.concepts.inputs} inputs"
    reasons: dict[str, list[str]] = {}
    for name, reason in found.skipped.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        yield f"skipped {', '.join(names)}: {reason}"
