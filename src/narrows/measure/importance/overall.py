"""Does a model weigh the concepts that people find in a class?

The first score of Aysel, Cai, Prügel-Bennett, "Concept-Based XAI: Metrics and Benchmarks" (2025),
arXiv 2501.19271. For class k and concept j: w_kj the head's weight, F_kj the share of class k's
training rows that have the concept, U_kj the mean score over the rows of class k that are
classified correctly. For each concept, over the classes, the cosine of F.j with

    1: w.j    2: U.j    3: (w U).j

A cosine of frequent concepts is high for any two vectors without negative numbers, so Pearson's
correlation stands beside it, and a test that shuffles the classes. The formulas are from the
paper; no code of it was found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.errors import unknown, wrong
from narrows.measure.importance.agreement import agreement, shuffled
from narrows.measure.importance.checks import as_json, check_ids, check_mask, table

AXES = {"concept": (-2,), "class": (-1,), "all": (-2, -1)}


@dataclasses.dataclass(frozen=True)
class GlobalImportance:
    """Agreement of what a model weighs with what people annotate, float64.

    Attributes:
        kind: 1, 2 or 3, see `global_importance`.
        axis: `concept`, `class` or `all`.
        names: `(rows,)` of the concepts or classes compared.
        cosine: `(rows,)`, NaN where a vector is zero.
        pearson: `(rows,)`, NaN where a vector is constant.
        p_value: `(rows,)` share of shuffles whose cosine is as high.
        mean_p_value: the same for the mean of the cosines.
        undefined: rows without a cosine.
        incomplete: classes with a number that is not defined, such as the mean score of a class
            nobody was sorted into; those numbers take no part.
    """

    kind: int
    axis: str
    names: tuple[str, ...]
    cosine: Tensor
    pearson: Tensor
    p_value: Tensor
    mean_p_value: float
    undefined: tuple[str, ...]
    incomplete: tuple[str, ...]

    @property
    def mean(self) -> tuple[float, float]:
        """Mean cosine and mean Pearson correlation of the rows that have one."""
        return float(self.cosine.nanmean()), float(self.pearson.nanmean())

    def __str__(self) -> str:
        wide = max(8, *map(len, self.names))
        lines = [
            f"global importance, kind {self.kind}",
            f"{self.axis:<{wide}} cosine pearson     p",
        ]
        for name, *values in zip(self.names, self.cosine, self.pearson, self.p_value, strict=True):
            c, r, p = (float(v) for v in values)
            lines.append(f"{name:<{wide}} {c:6.3f} {r:7.3f} {p:5.3f}")
        c, r = self.mean
        lines.append(f"{'mean':<{wide}} {c:6.3f} {r:7.3f} {self.mean_p_value:5.3f}")
        for what, found in (("undefined", self.undefined), ("incomplete", self.incomplete)):
            if found:
                lines.append(f"{what}: {', '.join(found)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        return {k: as_json(v) for k, v in vars(self).items()}


def class_means(values: Tensor, y: Tensor, classes: int, rows: Tensor | None = None) -> Tensor:
    """Mean of each column over the rows of each class, `(classes, k)` float64.

    Of concept labels it is the frequency F; of scores, with `rows = predicted == y`, it is U.

    Args:
        values: `(n, k)`, NaN where unknown: those take no part.
        y: `(n,)` class ids.
        classes: how many.
        rows: `(n,)` bool, which rows count; by default all.

    Returns:
        NaN where a class has no known value.

    Example:
        >>> c = torch.tensor([[1.0], [0.0], [float("nan")]])
        >>> class_means(c, torch.tensor([0, 0, 1]), 2).tolist()
        [[0.5], [nan]]
    """
    values = table("values", values, (None, None), unknown_allowed=True)
    y = check_ids("y", y, len(values), classes)
    known = ~values.isnan()
    if rows is not None:
        known &= check_mask("rows", rows, tuple(y.shape))[:, None]
    total = torch.zeros(classes, values.shape[1], dtype=torch.float64)
    count = total.index_add(0, y, known.double())
    return total.index_add(0, y, torch.where(known, values, 0.0)) / count


def global_importance(
    weight: Tensor,
    frequency: Tensor,
    present: Tensor | None = None,
    *,
    kind: int = 3,
    axis: str = "concept",
    permutations: int = 1000,
    seed: int = 0,
    names: tuple[Sequence[Any], Sequence[Any]] | None = None,
) -> GlobalImportance:
    """Compare what a linear head weighs with how often people annotate it.

    The test shuffles the classes of `frequency`, all concepts alike, and counts how often the
    cosine is at least as high (Phipson and Smyth's estimate, never zero).

    Args:
        weight: `(classes, concepts)` of the head.
        frequency: `(classes, concepts)`, see `class_means`; NaN where not annotated.
        present: `(classes, concepts)` mean scores of correctly classified rows, for kinds 2
            and 3; NaN for a class without any.
        kind: 1 weights, 2 scores, 3 their product.
        axis: one comparison per `concept` (over classes), per `class` (over concepts), or of
            `all` numbers at once.
        permutations: how many shuffles; 0 leaves the p-values NaN.
        seed: of the shuffles.
        names: of the classes and of the concepts.

    Raises:
        InvalidInput: shapes that differ, infinite numbers, no `present` where it is needed.

    Example:
        >>> frequency = torch.tensor([[1.0, 0.2], [0.0, 0.9]])
        >>> global_importance(2 * frequency, frequency, kind=1).cosine
        tensor([1., 1.], dtype=torch.float64)
    """
    if axis not in AXES:
        raise unknown("axis", axis, AXES)
    if kind not in (1, 2, 3):
        raise wrong("kind", kind, "1 (weights), 2 (scores) or 3 (their product)")
    if permutations < 0:
        raise wrong("permutations", permutations, "a number >= 0")
    weight = table("weight", weight, (None, None))
    shape = (weight.shape[0], weight.shape[1])
    frequency = table("frequency", frequency, shape, unknown_allowed=True)
    if kind > 1:
        if present is None:
            raise wrong("present", "None", f"mean scores (classes, concepts) for kind {kind}")
        present = table("present", present, shape, unknown_allowed=True)
        weight = present if kind == 2 else weight * present
    of_classes, of_concepts = (
        [str(name) for name in (range(size) if names is None else names[side])]
        for side, size in enumerate(shape)
    )
    if (len(of_classes), len(of_concepts)) != shape:
        raise wrong(
            "names", f"{len(of_classes)} and {len(of_concepts)}", f"{shape[0]} and {shape[1]}"
        )
    rows = tuple({"concept": of_concepts, "class": of_classes, "all": ["all"]}[axis])
    cosine, pearson = agreement(weight, frequency, AXES[axis])
    each, of_mean = shuffled(weight, frequency, AXES[axis], cosine, permutations, seed)
    undefined = cosine.isnan().tolist()
    partly = (weight.isnan() | frequency.isnan()).any(1).tolist()
    return GlobalImportance(
        kind=kind,
        axis=axis,
        names=rows,
        cosine=cosine,
        pearson=pearson,
        p_value=each,
        mean_p_value=of_mean,
        undefined=tuple(n for n, bad in zip(rows, undefined, strict=True) if bad),
        incomplete=tuple(n for n, bad in zip(of_classes, partly, strict=True) if bad),
    )
