"""Oracle impurity score: does a concept's unit know more of the others than the concept does?

Espinosa Zarlenga, Barbiero, Shams, Kazhdan, Bhatt, Weller and Jamnik (Towards Robust Metrics for
Concept Representation Evaluation, AAAI 2023, arXiv 2301.10367). With pi(A, C)_ij the area under
the ROC curve, on rows held out, of a probe that says c_j from A_i,

    OIS = 2 / k * |pi(Z, C) - pi(C, C)|_F

Two entries are at most one half apart where probes do not fall below chance, so that 0 is as pure
as the concepts themselves and 1 is the worst. What the concepts tell about one another is not
held against a representation. Both matrices come from the same rows, the same start and the same
order of batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.measure.impurity_probes import find_probe, judge, splits, varies
from narrows.measure.representations import checked, represent
from narrows.model import NarrowModel

REPEATS = 3


@dataclass(frozen=True)
class Impurity:
    """A score of representations, measured on several splits of the rows.

    Attributes:
        names: of the concepts.
        each: `(repeats,)` float64, the score of each split; NaN where nothing can be judged.
        probe: its name.
    """

    names: tuple[str, ...]
    each: Tensor
    probe: str

    @property
    def value(self) -> float:
        """The mean over splits."""
        return float(self.each.nanmean())

    @property
    def standard_error(self) -> float:
        """Of that mean; NaN for one split."""
        return standard_error(self.each)

    def __float__(self) -> float:
        return self.value

    def spoken(self, what: str, ideal: str = "") -> str:
        """One line of text."""
        error = f" ± {self.standard_error:.3f}" if len(self.each) > 1 else ""
        return f"{what} {self.value:.3f}{error} ({ideal}{self.probe} probe)"

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        return {
            "names": list(self.names),
            "value": plain(self.value),
            "standard_error": plain(self.standard_error),
            "each": plain(self.each.tolist()),
            "probe": self.probe,
        }


@dataclass(frozen=True)
class OracleImpurity(Impurity):
    """How impure representations are.

    Attributes:
        of_representations: `(k, k)` float64, row i and column j: how well representation i tells
            concept j, a mean over splits; NaN where a concept does not vary.
        of_concepts: the same of the concepts themselves.
    """

    of_representations: Tensor
    of_concepts: Tensor

    def __str__(self) -> str:
        return self.spoken("oracle impurity")

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        return {
            **super().to_dict(),
            "of_representations": plain(self.of_representations.tolist()),
            "of_concepts": plain(self.of_concepts.tolist()),
        }


def oracle_impurity(
    z: Tensor,
    truth: Tensor,
    names: Sequence[str],
    *,
    probe: str | Any = "mlp",
    repeats: int = REPEATS,
    include_diagonal: bool = True,
    seed: int = 0,
) -> OracleImpurity:
    """Oracle impurity score of representations.

    Probes for all pairs of concepts are trained together. For a pair, rows count where both
    concepts are known.

    Memory: some 40 MB beside the inputs in float32 and float64.

    Args:
        z: `(n, k)` or `(n, k, w)` finite representations, five rows at least.
        truth: `(n, k)` in [0, 1], NaN where unknown; at least one half is "yes".
        names: one per concept.
        probe: `mlp`, `logistic`, or an estimator of scikit-learn with probabilities or a
            decision function.
        repeats: how many splits into four fifths to learn from and a fifth to judge by.
        include_diagonal: whether it counts how well a unit tells its own concept; where not,
            the diagonal adds nothing and the factor stays.
        seed: of splits and probes.

    Raises:
        InvalidInput: other shapes or values, by the concept's name.
        UnknownName: no such probe.

    Example:
        >>> truth = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]).repeat(10, 1)
        >>> oracle_impurity(truth, truth, ["furry", "loud"]).value
        0.0
    """
    z, truth = checked(z, truth, names)
    name, fit = find_probe(probe)
    sources, concepts = z.transpose(0, 1), truth.nan_to_num(0.0).T[:, :, None]
    # Row by row of a pair: known where both concepts are.
    pairs = truth.expand(len(names), -1, -1).masked_fill(truth.isnan().T[:, :, None], torch.nan)
    found: list[tuple[Tensor, Tensor]] = []
    for drawn, train, test in splits(len(z), repeats, seed):
        both = varies(pairs[:, train])
        matrices = []
        for source in (sources, concepts):
            model = fit(source[:, train], pairs[:, train], drawn)
            area = judge(model(source[:, None, test]), pairs[:, test])
            matrices.append(torch.where(both, area, torch.nan))
        found.append((matrices[0], matrices[1]))
    ours, theirs = (torch.stack(part) for part in zip(*found, strict=True))
    gap = (ours - theirs).square()
    counted = gap
    if not include_diagonal:
        counted = torch.where(torch.eye(len(names), dtype=torch.bool) & ~gap.isnan(), 0.0, gap)
    each = 2 * counted.nanmean((1, 2)).sqrt()
    return OracleImpurity(tuple(names), each, name, ours.nanmean(0), theirs.nanmean(0))


def oracle_impurity_of(model: NarrowModel, examples: Examples, **settings: Any) -> OracleImpurity:
    """`oracle_impurity` of what a model's head reads of each concept, matched by name.

    Args:
        model: any with named concepts.
        examples: rows with concepts and labels.
        **settings: those of `oracle_impurity`.

    Raises:
        InvalidInput: no concept labels, or no name in common.
    """
    rows = represent(model, examples)
    return oracle_impurity(rows.z, rows.truth, rows.names, **settings)


def standard_error(each: Tensor) -> float:
    """Of the mean of `(repeats,)` values; NaN for fewer than two."""
    defined = each[~each.isnan()]
    return float(defined.std() / math.sqrt(len(defined))) if len(defined) > 1 else math.nan


def plain(value: Any) -> Any:
    """JSON values: None in place of NaN, in lists too."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
