"""How well does a model know its concepts?

For concept j with probabilities p, truth c and n known labels:

    accuracy  mean 1[p >= 1/2] = 1[c >= 1/2]
    balanced  mean of that over the positives and over the negatives, then of the two
    AUC       P(p of a positive > p of a negative) + P(equal) / 2, by ranks
    AP        precision at the score of each positive, averaged
    Brier     mean (p - c)^2
    ECE       sum over 15 equal bins of p: share of the bin * |mean p - mean c|
    exact set over rows whose concepts are all known: mean of "every concept is right"

Public code computes the AUC from thresholded predictions, and returns the accuracy for a
concept that is constant; here it comes from scores, and is NaN for a constant concept.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.errors import unknown, wrong, wrong_type
from narrows.measure.quality_ranks import auc, average_precision
from narrows.measure.rows import evaluating, matched, read_rows
from narrows.model import NarrowModel

_BINS = 15
COLUMNS = (
    "accuracy",
    "balanced_accuracy",
    "auc",
    "average_precision",
    "brier",
    "ece",
    "base_rate",
)
_HEADS = ("accuracy", "balanced", "AUC", "AP", "Brier", "ECE", "base")


class ConstantConcept(UserWarning):
    """A concept has at most one value among the known labels, so it has no AUC."""


@dataclasses.dataclass(frozen=True)
class ConceptQuality:
    """One number per concept, `(k,)` float64, NaN where it is not defined.

    Attributes:
        names: of the concepts.
        accuracy: share of right answers at one half.
        balanced_accuracy: mean of the shares of right answers among positives and negatives.
        auc: area under the ROC curve.
        average_precision: area under the curve of precision over recall, by steps.
        brier: mean squared error of the probability.
        ece: expected calibration error.
        base_rate: mean of the truth.
        known: how many labels are known.
        exact_set: share of fully known rows with every concept right; NaN without such rows,
            or where a concept's scores are no probabilities.
        constant: concepts with at most one value among the known labels; AUC, average precision
            and balanced accuracy are NaN.
        unbounded: concepts with scores outside [0, 1]: no probabilities, so only their AUC,
            average precision and base rate are defined.
    """

    names: tuple[str, ...]
    accuracy: Tensor
    balanced_accuracy: Tensor
    auc: Tensor
    average_precision: Tensor
    brier: Tensor
    ece: Tensor
    base_rate: Tensor
    known: Tensor
    exact_set: float
    constant: tuple[str, ...]
    unbounded: tuple[str, ...]

    def mean(self, what: str = "auc") -> float:
        """The mean of one column over the concepts that have it; NaN if none has.

        Example:
            >>> scores, truth = torch.tensor([[0.9], [0.2]]), torch.tensor([[1.0], [0.0]])
            >>> concept_quality(scores, truth, ["furry"]).mean("auc")
            1.0
        """
        if what not in COLUMNS:
            raise unknown("what", what, COLUMNS)
        return float(getattr(self, what).nanmean())

    def __str__(self) -> str:
        wide = max(12, *map(len, self.names))
        lines = [f"{'concept':<{wide}} {' '.join(f'{head:>8}' for head in _HEADS)}  known"]
        columns = [getattr(self, what) for what in COLUMNS]
        for name, *values, n in zip(self.names, *columns, self.known, strict=True):
            shown = " ".join(f"{float(v):8.3f}" for v in values)
            lines.append(f"{name:<{wide}} {shown} {int(n):6d}")
        means = " ".join(f"{float(column.nanmean()):8.3f}" for column in columns)
        lines.append(f"{'mean':<{wide}} {means}")
        lines.append(f"every concept right: {self.exact_set:.3f}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        columns = dataclasses.asdict(self)
        for name, value in columns.items():
            if isinstance(value, Tensor):
                columns[name] = [None if v != v else v for v in value.tolist()]
        if self.exact_set != self.exact_set:
            columns["exact_set"] = None
        return {k: list(v) if isinstance(v, tuple) else v for k, v in columns.items()}


def concept_quality(scores: Tensor, truth: Tensor, names: Sequence[str]) -> ConceptQuality:
    """Compare concept scores with the truth where it is known.

    Memory: a few arrays of the scores' size, in double precision.

    Args:
        scores: `(n, k)`, finite.
        truth: `(n, k)` in [0, 1], NaN where unknown.
        names: one per concept.

    Raises:
        InvalidInput: shapes that differ, no rows, scores that are NaN or infinite, by name.

    Warns:
        ConstantConcept: once, with the names of all constant concepts.

    Example:
        >>> scores = torch.tensor([[0.9], [0.8], [0.3], [0.4]])
        >>> truth = torch.tensor([[1.0], [0.0], [0.0], [float("nan")]])
        >>> found = concept_quality(scores, truth, ["furry"])
        >>> found.accuracy, found.auc, found.known
        (tensor([0.6667], dtype=torch.float64), tensor([1.], dtype=torch.float64), tensor([3]))
    """
    scores, truth = _checked(scores, truth, names)
    known = ~truth.isnan()
    n = known.sum(0)
    true = truth.nan_to_num(0.0)
    right = ((scores >= 0.5) == (true >= 0.5)) & known
    bounded = ((scores >= 0) & (scores <= 1)).all(0)
    whole = known.all(1)
    nan = torch.full_like(scores[0], torch.nan)

    def mean(each: Tensor) -> Tensor:
        return torch.where(known, each, 0.0).sum(0) / n  # NaN where nothing is known

    def of_probabilities(column: Tensor) -> Tensor:
        return torch.where(bounded, column, nan)

    positive = (true >= 0.5) & known
    ones = positive.sum(0)
    constant = (ones == 0) | (ones == n)
    hits = (right & positive).sum(0).double() / ones + (right & ~positive).sum(0).double() / (
        n - ones
    )
    single = tuple(name for name, one in zip(names, constant.tolist(), strict=True) if one)
    if single:
        warnings.warn(
            f"no AUC for constant concepts: {', '.join(map(repr, single))}",
            ConstantConcept,
            stacklevel=2,
        )
    return ConceptQuality(
        names=tuple(names),
        accuracy=of_probabilities(mean(right.double())),
        balanced_accuracy=of_probabilities(torch.where(constant, nan, hits / 2)),
        auc=torch.where(constant, nan, auc(scores, positive, known)),
        average_precision=torch.where(constant, nan, average_precision(scores, positive, known)),
        brier=of_probabilities(mean((scores - true).square())),
        ece=of_probabilities(_ece(scores, true, known)),
        base_rate=mean(true),
        known=n,
        exact_set=float(right[whole].all(1).double().mean())
        if bool(whole.any()) and bool(bounded.all())
        else float("nan"),
        constant=single,
        unbounded=tuple(
            name for name, is_in in zip(names, bounded.tolist(), strict=True) if not is_in
        ),
    )


def concept_quality_of(model: NarrowModel, examples: Examples) -> ConceptQuality:
    """`concept_quality` of a model's scores on rows with concepts, matched by name.

    Raises:
        InvalidInput: no concept labels, or no name in common.
    """
    columns = model.bottleneck.columns
    pairs = matched(columns, examples)
    reading = read_rows(model, examples)
    with evaluating(model):
        scores = model.bottleneck.scores(reading)
    truth = examples.c[:, list(pairs.values())]  # type: ignore[index]  # matched refuses None
    return concept_quality(scores[:, list(pairs)], truth, [columns[i] for i in pairs])


def _checked(scores: Tensor, truth: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    for argument, part in (("scores", scores), ("truth", truth)):
        if not isinstance(part, Tensor):
            raise wrong_type(argument, type(part).__name__, "a tensor")
        if part.shape != (len(part), len(names)) or len(part) == 0:
            raise wrong(argument, f"shape {tuple(part.shape)}", f"shape (n, {len(names)}), n > 0")
    if scores.shape != truth.shape:
        raise wrong("truth", f"shape {tuple(truth.shape)}", f"shape {tuple(scores.shape)}")
    scores, truth = scores.detach().double().cpu(), truth.detach().double().cpu()
    for argument, part, bad in (
        ("scores", scores, ~scores.isfinite()),
        ("truth", truth, (truth < 0) | (truth > 1)),
    ):
        if bool(bad.any()):
            row, j = bad.nonzero()[0].tolist()
            wanted = "finite scores" if argument == "scores" else "[0, 1], NaN where unknown"
            raise wrong(
                f"{argument} of {names[j]!r}", f"{float(part[row, j])} in row {row}", wanted
            )
    return scores, truth


def _ece(scores: Tensor, true: Tensor, known: Tensor) -> Tensor:
    """`(k,)` over equal bins of the probability that the concept holds."""
    place = (scores * _BINS).long().clamp(0, _BINS - 1)
    gap = torch.where(known, scores - true, 0.0)
    total = torch.zeros(_BINS, scores.shape[1], dtype=torch.float64).scatter_add_(0, place, gap)
    return total.abs().sum(0) / known.sum(0)
