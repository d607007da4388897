"""Bits against distortion over numbers of clusters, and where a given partition stands beside it.

k-means minimises D. At equal K its D therefore lies below that of any other partition, up to a
poor local optimum: that human categories lie above the curve says little by itself. Two controls
say more. `random_sizes` deals the items at random into clusters of the partition's sizes;
`kmeans_same_sizes` is k-means that must keep those sizes, and so has the same bits.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from narrows.errors import unknown, wrong, wrong_type
from narrows.measure.partition.checks import Floats, Ints, codes, scaled, vectors, whole
from narrows.measure.partition.clusters import distinct, free_kmeans, sized_kmeans
from narrows.measure.partition.comparison import PartitionComparison, PartitionScore
from narrows.measure.partition.information import bits_of, spread_of

CONTROLS = ("random_sizes", "kmeans_same_sizes")


@dataclasses.dataclass(frozen=True, repr=False)
class RateDistortionCurve:
    """k-means partitions over a range of K.

    Attributes:
        ks: numbers of clusters.
        information: I(X;C) in bits, one a K.
        distortion: D, one a K, in the units of `normalize`.
        labels: `(len(ks), n)` the clusters.
        beta: price of a unit of distortion in bits.
        normalize: scale of the vectors.
        n_init: starts of k-means a K.
        seed: of the starts.
        total_variance: D of one single cluster, on the same scale.
        vectors: `(n, d)` on that scale, about their mean.
    """

    ks: tuple[int, ...]
    information: tuple[float, ...]
    distortion: tuple[float, ...]
    labels: Ints
    beta: float
    normalize: str | None
    n_init: int
    seed: int
    total_variance: float
    vectors: Floats

    @property
    def objective(self) -> tuple[float, ...]:
        """L = I + beta D, one a K."""
        pairs = zip(self.information, self.distortion, strict=True)
        return tuple(i + self.beta * d for i, d in pairs)

    @property
    def best(self) -> int:
        """The K of the least L."""
        return self.ks[int(np.argmin(self.objective))]

    def at(self, k: int) -> PartitionScore:
        """The scores at one K.

        Raises:
            UnknownName: a K that was not in the sweep.
        """
        if k not in self.ks:
            raise unknown("k", k, map(str, self.ks))
        i = self.ks.index(k)
        return self._score("k-means", self.information[i], (self.distortion[i],))

    def compare(
        self,
        labels: Any,
        *,
        controls: Sequence[str] = CONTROLS,
        draws: int = 100,
        name: str = "partition",
    ) -> PartitionComparison:
        """A partition of the same items beside k-means of the same K, and beside controls.

        Args:
            labels: `(n,)` numbers or texts.
            controls: `random_sizes` and `kmeans_same_sizes`, or some of them.
            draws: random partitions.
            name: of the partition, for tables.

        Raises:
            UnknownName: another control.
            InvalidInput: labels of another length, missing ones, one single category, fewer than
                2 draws.
        """
        for control in controls:
            if control not in CONTROLS:
                raise unknown("control", control, CONTROLS)
        c, known = codes("labels", labels, len(self.vectors))
        k = len(known)
        if k < 2:
            raise wrong("labels", "one category", "at least 2")
        whole("draws", draws, 2)
        free, least = self._free(k)
        sizes = np.bincount(c)
        scores = [
            self._score(name, bits_of(sizes), (spread_of(self.vectors, c),)),
            self._score("k-means", bits_of(np.bincount(free)), (least,)),
        ]
        if "random_sizes" in controls:
            rng = np.random.default_rng(self.seed)
            drawn = tuple(spread_of(self.vectors, rng.permutation(c)) for _ in range(draws))
            scores.append(self._score("random_sizes", bits_of(sizes), drawn))
        if "kmeans_same_sizes" in controls:
            _, sized = sized_kmeans(self.vectors, sizes, self.n_init, self.seed, (c, free))
            scores.append(self._score("kmeans_same_sizes", bits_of(sizes), (sized,)))
        return PartitionComparison(tuple(scores), k, len(c), self.beta, self.normalize)

    def _free(self, k: int) -> tuple[Ints, float]:
        if k in self.ks:
            i = self.ks.index(k)
            return self.labels[i], self.distortion[i]
        _fits("labels", k, self.vectors)
        return free_kmeans(self.vectors, k, self.n_init, self.seed)

    def _score(self, name: str, bits: float, drawn: tuple[float, ...]) -> PartitionScore:
        mean = float(np.mean(drawn))
        spread = float(np.std(drawn, ddof=1)) if len(drawn) > 1 else math.nan
        share = mean / self.total_variance
        return PartitionScore(name, bits, mean, share, bits + self.beta * mean, spread)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; the vectors and clusters stay behind."""
        kept = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del kept["labels"], kept["vectors"]
        rows = {name: list(kept[name]) for name in ("ks", "information", "distortion")}
        return kept | rows | {"objective": list(self.objective), "best": self.best}

    def __repr__(self) -> str:
        low = min(self.objective)
        return (
            f"k-means of {len(self.vectors):,} items, K {self.ks[0]} to {self.ks[-1]}: least L "
            f"{low:.3f} at K = {self.best} (beta {self.beta:g}, normalize {self.normalize})"
        )


def rate_distortion_curve(
    E: Any,
    ks: Iterable[int] = range(2, 51),
    *,
    beta: float = 1.0,
    normalize: str | None = "total_variance",
    n_init: int = 10,
    seed: int = 0,
) -> RateDistortionCurve:
    """I(X;C), D and L of k-means partitions, from few clusters to many.

    Time: that of scikit-learn's KMeans. Memory: the vectors in float64, and n labels a K.

    Args:
        E: `(n, d)` one vector an item.
        ks: numbers of clusters, from 1 to n.
        beta: price of a unit of distortion in bits, at least 0; 1 in the paper.
        normalize: `total_variance` (D of one cluster is 1), `unit` (vectors of length 1) or None
            (as they are; then D has their scale).
        n_init: starts of k-means a K.
        seed: of the starts.

    Raises:
        InvalidType: no numbers.
        InvalidInput: NaN, infinite or all-zero vectors, vectors all equal, more clusters than
            there are different items, a negative beta, another normalisation.

    Example:
        >>> points = [[0.0, 1.0], [0.1, 1.0], [5.0, 1.0], [5.1, 1.0]]
        >>> curve = rate_distortion_curve(points, ks=[1, 2, 4])
        >>> [round(bits, 3) for bits in curve.information], curve.ks
        ([0.0, 1.0, 2.0], (1, 2, 4))
        >>> curve.compare(["a", "b", "a", "b"])["partition"].share > 0.99
        True
    """
    e = vectors("E", E)
    if isinstance(beta, bool) or not isinstance(beta, (int, float)):
        raise wrong_type("beta", type(beta).__name__, "a number")
    if not (math.isfinite(beta) and beta >= 0):
        raise wrong("beta", beta, "a finite number >= 0")
    sweep = tuple(whole("ks", k, 1) for k in ks)
    if not sweep or len(set(sweep)) < len(sweep):
        raise wrong("ks", f"{list(sweep[:4])}", "at least one number of clusters, each once")
    whole("n_init", n_init, 1)
    whole("seed", seed, 0)
    centred = scaled("E", e, normalize)
    _fits("ks", max(sweep), centred)
    found = [free_kmeans(centred, k, n_init, seed) for k in sweep]
    return RateDistortionCurve(
        ks=sweep,
        information=tuple(bits_of(np.bincount(labels)) for labels, _ in found),
        distortion=tuple(d for _, d in found),
        labels=np.stack([labels for labels, _ in found]),
        beta=float(beta),
        normalize=normalize,
        n_init=n_init,
        seed=seed,
        total_variance=float(np.square(centred).sum() / len(centred)),
        vectors=centred,
    )


def _fits(name: str, k: int, e: Floats) -> None:
    if k > len(e):
        raise wrong(name, f"{k} clusters", f"at most {len(e)}, the number of items")
    if k > (most := distinct(e)):
        raise wrong(name, f"{k} clusters", f"at most {most}, the number of different vectors")
