"""Niche impurity score: is a concept still known once all units that go with it are silenced?

Espinosa Zarlenga et al. (AAAI 2023, arXiv 2301.10367). The niche of concept j at threshold beta is
every i with |corr(z_i, c_j)| > beta. One probe is trained on all z; NI_j(beta) is the area under
the ROC curve of what it says of c_j on rows held out, with the niche set to zero, and

    NIS = integral over beta from 0 to 1 of mean_j NI_j(beta)

by trapezoids in steps of 0.05. One half is ideal: outside its niche nothing is known of a concept;
1 is the worst. At beta = 1 no niche has a member, so the value at 0.95 is carried on instead of
counting an empty niche. For vectors the correlation is the multiple one, of c_j and its best
linear fit from z_i, which for numbers is the absolute correlation.

The public code scores the niche itself where representations are vectors, and integrates to 0.95
only; this follows the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.measure.impurity import REPEATS, Impurity, plain
from narrows.measure.impurity_probes import Fitted, find_probe, judge, splits, varies
from narrows.measure.representations import checked, represent
from narrows.measure.rows import pieces
from narrows.model import NarrowModel

STEP = 0.05
_HELD = 2**22  # inputs at once


@dataclass(frozen=True)
class NicheImpurity(Impurity):
    """How much is known of concepts outside their niches.

    Attributes:
        thresholds: `(t,)` float64 from 0 to 1.
        curves: `(t, k)` float64, NI_j at each threshold, a mean over splits; NaN for concepts
            that do not vary.
    """

    thresholds: Tensor
    curves: Tensor

    @property
    def score(self) -> Tensor:
        """`(k,)` of each concept: the integral of its curve."""
        return torch.trapezoid(self.curves, self.thresholds, dim=0)

    def __str__(self) -> str:
        return self.spoken("niche impurity", "ideal 0.5, ")

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        return {
            **super().to_dict(),
            "score": plain(self.score.tolist()),
            "thresholds": self.thresholds.tolist(),
            "curves": plain(self.curves.tolist()),
        }


def niche_impurity(
    z: Tensor,
    truth: Tensor,
    names: Sequence[str],
    *,
    probe: str | Any = "mlp",
    repeats: int = REPEATS,
    seed: int = 0,
) -> NicheImpurity:
    """Niche impurity score of representations.

    Memory: some 60 MB beside the inputs in float32 and float64.

    Args:
        z: `(n, k)` or `(n, k, w)` finite representations, five rows at least.
        truth: `(n, k)` in [0, 1], NaN where unknown; at least one half is "yes".
        names: one per concept.
        probe: `mlp`, `logistic`, or an estimator of scikit-learn.
        repeats: how many splits into four fifths to learn from and a fifth to judge by.
        seed: of splits and probes.

    Raises:
        InvalidInput: other shapes or values, by the concept's name.
        UnknownName: no such probe.

    Example:
        >>> truth = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]).repeat(50, 1)
        >>> 0.4 < niche_impurity(truth, truth, ["furry", "loud"], probe="logistic").value < 0.6
        True
    """
    z, truth = checked(z, truth, names)
    name, fit = find_probe(probe)
    grid = torch.arange(round(1 / STEP) + 1, dtype=torch.float64) * STEP
    curves = []
    for drawn, train, test in splits(len(z), repeats, seed):
        model = fit(z[train].flatten(1)[None], truth[train][None], drawn)
        tied = correlation(z[train], truth[train])
        curve = _curve(model, z[test], truth[test], tied, grid)
        curves.append(torch.where(varies(truth[train][None]), curve, torch.nan))
    whole = torch.stack(curves)
    each = torch.trapezoid(whole.nanmean(2), grid, dim=1)
    return NicheImpurity(tuple(names), each, name, grid, whole.nanmean(0))


def niche_impurity_of(model: NarrowModel, examples: Examples, **settings: Any) -> NicheImpurity:
    """`niche_impurity` of what a model's head reads of each concept, matched by name.

    Args:
        model: any with named concepts.
        examples: rows with concepts and labels.
        **settings: those of `niche_impurity`.

    Raises:
        InvalidInput: no concept labels, or no name in common.
    """
    rows = represent(model, examples)
    return niche_impurity(rows.z, rows.truth, rows.names, **settings)


def correlation(z: Tensor, truth: Tensor) -> Tensor:
    """`(k, k)` how far z_i (rows) and c_j (columns) go together, in [0, 1].

    Args:
        z: `(n, k, w)`.
        truth: `(n, k)`, NaN where unknown.

    Returns:
        Multiple correlations; 0 where one of the two does not vary.

    Example:
        >>> z = torch.tensor([[[0.0]], [[1.0]], [[2.0]]]).double()
        >>> correlation(z, torch.tensor([[1.0], [0.0], [float("nan")]]).double())
        tensor([[1.]], dtype=torch.float64)
    """
    known = (~truth.isnan()).double()
    count = known.sum(0).clamp(min=1)
    c = truth.nan_to_num(0.0)
    c = known * (c - c.sum(0) / count)
    spread = c.square().sum(0)
    found = []
    for source in z.unbind(1):
        source = source - source.mean(0)
        mean = known.T @ source / count[:, None]
        squares = torch.einsum("nj,nw,nv->jwv", known, source, source)
        squares = squares - count[:, None, None] * mean[:, :, None] * mean[:, None, :]
        along = (c.T @ source)[:, :, None]
        fit = along.transpose(1, 2) @ torch.linalg.pinv(squares, hermitian=True, rtol=1e-10) @ along
        found.append(torch.where(spread > 0, fit[:, 0, 0] / spread, 0.0))
    return torch.stack(found).clamp(0, 1).sqrt()


def _curve(model: Fitted, z: Tensor, truth: Tensor, tied: Tensor, grid: Tensor) -> Tensor:
    """`(t, k)` NI_j at each threshold."""
    rows, last = [], None
    for beta in grid[:-1].tolist():
        keep = (tied <= beta).T.double()  # row j: who is outside the niche of j
        if last is None or not torch.equal(keep, last):
            area = judge(_silenced(model, z, keep)[None], truth[None])[0]
        last = keep
        rows.append(area)
    return torch.stack([*rows, rows[-1]])


def _silenced(model: Fitted, z: Tensor, keep: Tensor) -> Tensor:
    """`(k, m)` what is said of each concept when it is shown only what it may `keep`."""
    (m, k, w), said = z.shape, []
    for some in pieces(m, k * k * w, _HELD):
        inputs = z[some] * keep[:, None, :, None]
        said.append(model(inputs.flatten(2)[None])[0])
    return torch.cat(said, 1)
