"""Episodes: small classification problems drawn from the training classes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from narrows.errors import unknown, wrong
from narrows.functional.losses import label_loss
from narrows.prototypes.distances import squared_distances


class EpisodicSampler:
    """Rows of one episode after another: `way` classes, `shots` + `queries` rows of each.

    Rows lie class by class, support before query, so a batch reshapes to
    `(way, shots + queries, ...)`. An episode draws its classes without replacement. Each epoch
    shuffles every class once and takes its rows in that order, so all rows of a class are used
    before one is used again. One epoch has as many episodes as make one pass over the data.

    Where there are too few: `way` is reduced to the classes that exist. A class with fewer rows
    than `shots + queries` divides them in that proportion into support and query, so that no
    row is both, and repeats rows of each part in turn; a single row must be both.

    Args:
        y: `(n,)` class ids.
        way: classes per episode.
        shots: support rows per class.
        queries: query rows per class.

    Example:
        >>> sampler = EpisodicSampler(torch.tensor([0, 0, 0, 1, 1, 1]), 2, shots=1, queries=2)
        >>> episodes = list(sampler(0, torch.Generator().manual_seed(0)))
        >>> sampler.y[episodes[0]].sort().values
        tensor([0, 0, 0, 1, 1, 1])
    """

    def __init__(self, y: Tensor, way: int, shots: int, queries: int) -> None:
        if y.ndim != 1 or len(y) == 0:
            raise wrong("y", f"shape {tuple(y.shape)}", "(n,) class ids, at least one")
        for name, value in (("way", way), ("shots", shots), ("queries", queries)):
            if value < 1:
                raise wrong(name, value, "at least 1")
        self.y = y.cpu()
        self.ids, self.counts = self.y.unique(return_counts=True)
        self.way, self.shots, self.queries = min(way, len(self.ids)), shots, queries
        self.rows = self.way * (shots + queries)
        self.episodes = math.ceil(len(y) / self.rows)
        self._starts = self.counts.cumsum(0) - self.counts
        self._places = self._places_in_class()

    def __call__(self, epoch: int, source: torch.Generator) -> Iterator[Tensor]:
        """Row numbers of each episode of one epoch; the `draw` of `train.fit_stage`."""
        shuffled = torch.randperm(len(self.y), generator=source)
        order = shuffled[self.y[shuffled].argsort(stable=True)]
        used = torch.zeros_like(self.counts)
        for _ in range(self.episodes):
            chosen = torch.randperm(len(self.ids), generator=source)[: self.way]
            place = (used[chosen, None] + self._places[chosen]) % self.counts[chosen, None]
            used[chosen] += self.shots + self.queries
            yield order[self._starts[chosen, None] + place].flatten()

    def _places_in_class(self) -> Tensor:
        """`(classes, shots + queries)`: which of a class's shuffled rows each slot takes."""
        shots, both = self.shots, self.shots + self.queries
        support = (self.counts * shots / both).round().long()
        support = torch.where(self.counts >= both, shots, support)
        support = support.clamp(min=1).minimum((self.counts - 1).clamp(min=1))
        query = (self.counts - support).clamp(min=1)
        first = torch.arange(shots) % support[:, None]
        rest = support[:, None] + torch.arange(self.queries) % query[:, None]
        return torch.cat([first, rest], 1)


def prototypical_loss(support: Tensor, support_y: Tensor, query: Tensor, query_y: Tensor) -> Tensor:
    """Cross-entropy of queries under a softmax over negative squared distances to class means.

    `c_k = mean of support embeddings of class k;  p(k | q) ~ exp(-|q - c_k|^2)` (Snell, Swersky,
    Zemel, NeurIPS 2017). It is a linear classifier of q with `w_k = 2 c_k, b_k = -|c_k|^2`.

    Args:
        support: `(s, features)` embeddings.
        support_y: `(s,)` integer labels, any integers.
        query: `(q, features)` embeddings.
        query_y: `(q,)` labels, each among the support's.

    Returns:
        `()` nats, the mean over queries.

    Raises:
        UnknownName: a query label that no support row has.
        InvalidInput: shapes that differ.

    Example:
        >>> points = torch.tensor([[0.0], [10.0]])
        >>> prototypical_loss(points, torch.tensor([4, 9]), points, torch.tensor([4, 9]))
        tensor(0.)
    """
    for name, z, y in (("support", support, support_y), ("query", query, query_y)):
        if z.ndim != 2 or y.shape != z.shape[:1] or len(z) == 0:
            raise wrong(name, f"{tuple(z.shape)} with labels {tuple(y.shape)}", "(n, d) and (n,)")
    labels, index = support_y.unique(return_inverse=True)
    target = torch.searchsorted(labels, query_y.contiguous()).clamp(max=len(labels) - 1)
    if (labels[target] != query_y).any():
        strange = query_y[labels[target] != query_y][0]
        raise unknown("query label", int(strange), map(str, labels.tolist()))
    counts = index.bincount().unsqueeze(1)
    sums = support.new_zeros(len(labels), support.shape[1]).index_add(0, index, support)
    return label_loss(-squared_distances(query, sums / counts), target)
