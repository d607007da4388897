"""Concept alignment score: do rows that look alike to a concept's unit agree on the concept?

Espinosa Zarlenga et al. (Concept Embedding Models, NeurIPS 2022, arXiv 2209.09056). The n rows
are clustered by their representation z_j of concept j into r clusters, for r evenly spaced in
[2, n]; with h_j(r) = 1 - H(c_j | cluster) / H(c_j)

    CAS_j = integral of h_j(r) dr / (n - 2),   CAS = mean over concepts

by trapezoids. At r = n every cluster is one row and h is 1 whatever z is, so that noise scores
about one half, and more where rows are few. The same number for random z stands beside it: what
counts is the distance between the two.

Clusters are k-medoids by alternation, as in the public code. Its start is not: here the first r
rows of a farthest-first walk, which draws nothing and puts rows that differ into clusters of
their own. Vectors take the distances of all pairs, hence at most 2,000 rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.errors import wrong
from narrows.measure.alignment_clusters import clusterings, homogeneity
from narrows.measure.representations import checked, represent
from narrows.model import NarrowModel

ROWS = 2000


@dataclass(frozen=True)
class Alignment:
    """One score per concept, `(k,)` float64; NaN for concepts that do not vary.

    Attributes:
        names: of the concepts.
        score: CAS of each.
        noise: the same with random numbers in place of the representation.
        task: homogeneity of the label in the same clusters; NaN without labels.
        rows: how many rows were clustered (those with an unknown concept left that concept out).
        given: how many rows there were.
    """

    names: tuple[str, ...]
    score: Tensor
    noise: Tensor
    task: Tensor
    rows: int
    given: int

    @property
    def mean(self) -> float:
        """Over the concepts that vary."""
        return float(self.score.nanmean())

    @property
    def noise_mean(self) -> float:
        """What random representations score."""
        return float(self.noise.nanmean())

    def __float__(self) -> float:
        return self.mean

    def __str__(self) -> str:
        of = f"{self.rows} rows" + (f" of {self.given}" if self.rows < self.given else "")
        return f"alignment {self.mean:.3f} (noise {self.noise_mean:.3f}, {of})"

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        columns = {"score": self.score, "noise": self.noise, "task": self.task}
        plain = {k: [None if v != v else v for v in col.tolist()] for k, col in columns.items()}
        return {"names": list(self.names), **plain, "rows": self.rows, "given": self.given}


def alignment(
    z: Tensor,
    truth: Tensor,
    names: Sequence[str],
    *,
    y: Tensor | None = None,
    steps: int = 20,
    seed: int = 0,
) -> Alignment:
    """Concept alignment score of representations, and of noise.

    Memory: for vectors two arrays of `n^2` float32, n at most 2,000 (16 MB each), and one twice
    that size; for numbers a few of n.

    Args:
        z: `(n, k)` or `(n, k, w)` finite representations.
        truth: `(n, k)` in [0, 1], NaN where unknown; at least one half is "yes".
        names: one per concept.
        y: `(n,)` class ids, for the task's own score.
        steps: how many numbers of clusters.
        seed: of the noise, and of the 2,000 rows drawn where there are more.

    Raises:
        InvalidInput: other shapes or values, by the concept's name.

    Example:
        >>> truth = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
        >>> found = alignment(truth, truth, ["furry"])
        >>> found.mean, 0 < found.noise_mean < 1
        (1.0, True)
    """
    z, truth = checked(z, truth, names)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 2:
        raise wrong("steps", repr(steps), "an integer >= 2")
    if y is not None and y.shape != z.shape[:1]:
        raise wrong("y", f"shape {tuple(y.shape)}", f"shape ({len(z)},)")
    given = len(z)
    generator = torch.Generator().manual_seed(seed)
    if given > ROWS:
        rows = torch.randperm(given, generator=generator)[:ROWS].sort().values
        z, truth, y = z[rows], truth[rows], None if y is None else y[rows]
    random = torch.randn(len(z), z.shape[2], generator=generator, dtype=z.dtype)
    # Concepts with equally many known labels share the clusters of the noise.
    noisy = cache(lambda n: clusterings(random[:n], _grid(n, steps)))
    columns = [_concept(z[:, j], truth[:, j], y, noisy, steps) for j in range(len(names))]
    score, noise, task = torch.tensor(columns, dtype=torch.float64).T
    return Alignment(tuple(names), score, noise, task, len(z), given)


def alignment_of(model: NarrowModel, examples: Examples, **settings: Any) -> Alignment:
    """`alignment` of a model's representations, matched with the concepts of the data by name.

    Args:
        model: what the head reads of each concept is its representation.
        examples: rows with concepts and labels.
        **settings: `steps` and `seed` of `alignment`.

    Raises:
        InvalidInput: no concept labels, or no name in common.
    """
    rows = represent(model, examples)
    return alignment(rows.z, rows.truth, rows.names, y=rows.y, **settings)


def _concept(
    z: Tensor, truth: Tensor, y: Tensor | None, noisy: Callable[[int], list[Tensor]], steps: int
) -> tuple[float, float, float]:
    """Score, score of noise and score for the label of one concept."""
    known = ~truth.isnan()
    bits = (truth[known] >= 0.5).long()
    if len(bits) < 3 or bool((bits == bits[0]).all()):
        return math.nan, math.nan, math.nan
    grid = _grid(len(bits), steps)
    found = clusterings(z[known], grid)
    task = math.nan if y is None else _area(grid, found, y[known])
    return _area(grid, found, bits), _area(grid, noisy(len(bits)), bits), task


def _grid(n: int, steps: int) -> list[int]:
    """Numbers of clusters, evenly spaced in [2, n]."""
    return sorted({round(2 + (n - 2) * s / (steps - 1)) for s in range(steps)})


def _area(grid: list[int], found: list[Tensor], truth: Tensor) -> float:
    at = torch.tensor(grid, dtype=torch.float64)
    height = torch.tensor([homogeneity(label, truth) for label in found], dtype=torch.float64)
    return float(torch.trapezoid(height, at) / (at[-1] - at[0]))
