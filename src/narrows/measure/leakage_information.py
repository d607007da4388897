"""Leakage in bits, concept by concept: what a soft score tells that its concept does not.

    bits     I(s_j; Y) - I(1[s_j >= 1/2]; Y)
    task     I(s_j; Y) / H(Y) - I(c_j; Y) / H(Y)
    between  I(s_i; c_j) / H(c_j) - I(c_i; c_j) / H(c_j)

`task` and `between` are the normalised concept-task and inter-concept leakage; below 0 a score
tells less than its concept does. Each comparison takes the same rows on both sides, those where
the concepts in it are known.

The estimator is the plug-in one on discretised values: scores fall into ten bins of equal counts,
cut at one half as well, so that the bins know the bit. It finds too much where cells are many and
rows are few; the correction of Miller and Madow (1955), (cells - rows - columns + 1) / 2n nats of
those that are not empty, is taken off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.errors import wrong
from narrows.measure.impurity import plain
from narrows.measure.representations import checked, represent
from narrows.model import NarrowModel

BINS = 10
ESTIMATOR = "plug-in over {bins} bins of equal counts, less Miller and Madow's bias"


@dataclass(frozen=True)
class InformationLeakage:
    """What scores tell beyond concepts, in float64; NaN where an entropy is zero.

    Attributes:
        names: of the concepts.
        bits: `(k,)` about the label, beyond the score's own bit.
        task: `(k,)` about the label beyond the concept, as a share of the label's entropy.
        between: `(k, k)` what score i tells of concept j beyond concept i, as a share of the
            entropy of j. The diagonal is no leakage: it says how far a score is from its concept.
        estimator: how information was estimated.
    """

    names: tuple[str, ...]
    bits: Tensor
    task: Tensor
    between: Tensor
    estimator: str

    @property
    def bits_mean(self) -> float:
        """Over concepts."""
        return float(self.bits.nanmean())

    @property
    def task_mean(self) -> float:
        """Over concepts."""
        return float(self.task.nanmean())

    @property
    def between_mean(self) -> float:
        """Over pairs of different concepts; NaN for a single one."""
        off = ~torch.eye(len(self.names), dtype=torch.bool)
        return float(self.between[off].nanmean())

    def __str__(self) -> str:
        return (
            f"leakage a concept {self.bits_mean:+.3f} bits, to the task {self.task_mean:+.3f}, "
            f"between concepts {self.between_mean:+.3f} ({self.estimator})"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        columns = {name: getattr(self, name).tolist() for name in ("bits", "task", "between")}
        means = {name: getattr(self, name) for name in ("bits_mean", "task_mean", "between_mean")}
        found: dict[str, Any] = plain({**columns, **means})
        return {"names": list(self.names), **found, "estimator": self.estimator}


def information_leakage(
    scores: Tensor,
    truth: Tensor,
    y: Tensor,
    names: Sequence[str],
    *,
    bins: int = BINS,
) -> InformationLeakage:
    """Leakage of scores, in bits and as shares of entropies.

    Memory: `n` times the concepts times twice the bins in float32, and as many counts as there
    are pairs of concepts times four times the bins.

    Args:
        scores: `(n, k)` in [0, 1].
        truth: `(n, k)` in [0, 1], NaN where unknown; at least one half is "yes".
        y: `(n,)` int64 class ids.
        names: one per concept.
        bins: of equal counts.

    Raises:
        InvalidInput: other shapes or values, by the concept's name.

    Example:
        >>> c = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
        >>> information_leakage(c, c, torch.tensor([0, 0, 1, 1]), ["furry"]).bits
        tensor([0.], dtype=torch.float64)
    """
    scores, truth = checked(scores, truth, names)
    scores = scores[..., 0] if scores.shape[2] == 1 else scores.flatten(1)
    if scores.shape != truth.shape:
        raise wrong("scores", f"{scores.shape[1]} numbers a row", f"{len(names)}: one a concept")
    outside = (scores < 0) | (scores > 1)
    if bool(outside.any()):
        row, j = outside.nonzero()[0].tolist()
        found = f"{float(scores[row, j])} in row {row}"
        raise wrong(f"scores of {names[j]!r}", found, "probabilities")
    if y.shape != scores.shape[:1] or y.is_floating_point() or bool((y < 0).any()):
        raise wrong("y", f"shape {tuple(y.shape)}, {y.dtype}", f"({len(scores)},) class ids")
    known = ~truth.isnan()
    soft = _one_hot(discretise(scores, known, bins), known)
    hard = _one_hot((scores >= 0.5).long(), known)
    true = _one_hot((truth >= 0.5).long(), known)
    label = torch.nn.functional.one_hot(y.cpu()).float()

    def about_label(codes: Tensor) -> Tensor:
        return torch.einsum("nka,nl->kal", codes, label).double()

    def about_concepts(codes: Tensor) -> Tensor:
        counts: Tensor = torch.tensordot(codes, true, ([0], [0])).permute(0, 2, 1, 3).double()
        return counts

    told, concept_told = about_label(soft), about_label(true)
    said, concept_said = about_concepts(soft), about_concepts(true)
    return InformationLeakage(
        tuple(names),
        _estimate(told) - _estimate(about_label(hard)),
        (_estimate(told) - _estimate(concept_told)) / _entropy_of_columns(told),
        (_estimate(said) - _estimate(concept_said)) / _entropy_of_columns(said),
        ESTIMATOR.format(bins=bins),
    )


def information_leakage_of(
    model: NarrowModel, examples: Examples, *, bins: int = BINS
) -> InformationLeakage:
    """`information_leakage` of a model's scores, matched with the concepts of the data by name.

    Raises:
        InvalidInput: no concept labels, no name in common, scores that are not in [0, 1].
    """
    rows = represent(model, examples)
    return information_leakage(rows.scores, rows.truth, rows.y, rows.names, bins=bins)


def mutual_information(table: Tensor) -> Tensor:
    """Plug-in mutual information, in bits, of tables of counts `(..., a, b)`.

    Example:
        >>> mutual_information(torch.tensor([[2, 0], [0, 2]]))
        tensor(1., dtype=torch.float64)
    """
    joint = table.double() / table.double().sum((-2, -1), keepdim=True)
    entropy = torch.special.entr
    parts = entropy(joint.sum(-1)).sum(-1) + entropy(joint.sum(-2)).sum(-1)
    found: Tensor = (parts - entropy(joint).sum((-2, -1))) / math.log(2)
    return found


def bias(table: Tensor) -> Tensor:
    """What Miller and Madow expect the plug-in estimate to be too high by, in bits.

    Example:
        >>> bias(torch.tensor([[5, 5], [5, 5]]))  # 1 / 40 nats
        tensor(0.0361, dtype=torch.float64)
    """
    cells = (table > 0).sum((-2, -1))
    rows, columns = ((table.sum(axis) > 0).sum(-1) for axis in (-1, -2))
    surplus = (cells - rows - columns + 1).double()
    return surplus / (2 * table.double().sum((-2, -1)) * math.log(2))


def discretise(scores: Tensor, known: Tensor, bins: int) -> Tensor:
    """`(n, k)` codes below `2 * bins`: bins of equal counts of the known, each cut at one half.

    Example:
        >>> scores = torch.tensor([[0.1], [0.2], [0.6], [0.9]])
        >>> discretise(scores, torch.ones(4, 1, dtype=torch.bool), 2).flatten().tolist()
        [0, 0, 3, 3]
    """
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise wrong("bins", repr(bins), "an integer >= 1")
    line = torch.where(known, scores, torch.inf).sort(0).values.T.contiguous()
    inner = torch.arange(1, bins)
    at = (known.sum(0)[:, None] * inner) // bins
    edges = line.gather(1, at.clamp(max=len(scores) - 1)).contiguous()
    place = torch.searchsorted(edges, scores.T.contiguous(), right=True).T
    return 2 * place + (scores >= 0.5).long()


def _one_hot(codes: Tensor, known: Tensor) -> Tensor:
    """`(n, k, a)` float32, all zero where unknown."""
    return torch.nn.functional.one_hot(codes).float() * known[..., None]


def _estimate(table: Tensor) -> Tensor:
    return mutual_information(table) - bias(table)


def _entropy_of_columns(table: Tensor) -> Tensor:
    """In bits; NaN where it is zero."""
    counts = table.sum(-2)
    share = counts / counts.sum(-1, keepdim=True)
    entropy = torch.special.entr(share).sum(-1) / math.log(2)
    return torch.where(entropy > 0, entropy, torch.nan)
