"""Do clusters of embeddings fall together with the categories people use?

k-means with as many clusters as there are categories, compared with the categories by the
adjusted mutual information (Vinh, Epps and Bailey 2010; arithmetic mean, 0 in expectation for a
random partition, 1 for the same one), the normalised one (not corrected for chance) and the
adjusted Rand index.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from narrows.errors import wrong
from narrows.measure.partition.checks import Z95, Floats, Ints, codes, scaled, vectors, whole
from narrows.measure.partition.clusters import distinct, free_kmeans

Pair = tuple[float, float]


@dataclasses.dataclass(frozen=True, repr=False)
class CategoryAlignment:
    """Agreement of clusters with categories.

    Attributes:
        ami: adjusted mutual information.
        nmi: normalised mutual information; above 0 by chance.
        ari: adjusted Rand index.
        ami_interval: 95 %, over which items there are, the clusters held fixed.
        nmi_interval: the same.
        ari_interval: the same.
        clusters: `(n,)` the clusters found.
        k: how many.
        n: how many items.
        settings: what was used.
    """

    ami: float
    nmi: float
    ari: float
    ami_interval: Pair
    nmi_interval: Pair
    ari_interval: Pair
    clusters: Ints
    k: int
    n: int
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """JSON values; the clusters stay behind."""
        found = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del found["clusters"]
        ends = {key: list(found[key]) for key in found if key.endswith("_interval")}
        return found | ends | {"settings": dict(self.settings)}

    def __repr__(self) -> str:
        parts = [
            f"{name.upper()} {value:.3f} ({low:.3f} to {high:.3f})"
            for name, value, (low, high) in (
                ("ami", self.ami, self.ami_interval),
                ("nmi", self.nmi, self.nmi_interval),
                ("ari", self.ari, self.ari_interval),
            )
        ]
        return f"{', '.join(parts)}; {self.n:,} items, {self.k} clusters"


def category_alignment(
    E: Any,
    labels: Any,
    *,
    k: int | None = None,
    normalize: str | None = None,
    n_init: int = 20,
    draws: int = 200,
    seed: int = 0,
) -> CategoryAlignment:
    """Cluster items and compare the clusters with their categories.

    The intervals are the value and 1.96 standard deviations over items drawn again with
    replacement on either side. Drawn items repeat, which raises each measure, so their own
    quantiles would lie beside the value.

    Args:
        E: `(n, d)` one vector an item. Evaluate one study at a time: an item that stands in two
            categories cannot be right twice.
        labels: `(n,)` numbers or texts, at least 2 categories.
        k: clusters; as many as categories by default.
        normalize: as for `rate_distortion_curve`; only `unit` changes the clusters.
        n_init: starts of k-means.
        draws: of the bootstrap, at least 2.
        seed: of both.

    Raises:
        InvalidType: no numbers, no labels.
        InvalidInput: labels of another length, missing ones or of one category; NaN, infinite or
            all-zero vectors; more clusters than different vectors; too few draws.

    Example:
        >>> found = category_alignment([[0.1], [0.2], [9.0], [9.1]], ["a", "a", "b", "b"])
        >>> found.ami, found.ari
        (1.0, 1.0)
    """
    e = vectors("E", E)
    c, known = codes("labels", labels, len(e))
    if len(known) < 2:
        raise wrong("labels", "one category", "at least 2")
    whole("n_init", n_init, 1)
    whole("draws", draws, 2)
    whole("seed", seed, 0)
    wanted = len(known) if k is None else whole("k", k, 1)
    centred = scaled("E", e, normalize)
    if wanted > (most := distinct(centred)):
        name = "labels" if k is None else "k"
        raise wrong(name, f"{wanted} clusters", f"at most {most}, the number of different vectors")
    clusters, _ = free_kmeans(centred, wanted, n_init, seed)
    values: dict[str, Any] = {}
    for name, score in _scores().items():
        value, wide = score(c, clusters), Z95 * _deviation(score, c, clusters, draws, seed)
        values |= {name: value, f"{name}_interval": (value - wide, value + wide)}
    return CategoryAlignment(
        **values,
        clusters=clusters,
        k=wanted,
        n=len(e),
        settings={"normalize": normalize, "n_init": n_init, "draws": draws, "seed": seed},
    )


def _scores() -> dict[str, Callable[[Ints, Ints], float]]:
    from sklearn import metrics

    return {
        "ami": lambda a, b: float(metrics.adjusted_mutual_info_score(a, b)),
        "nmi": lambda a, b: float(metrics.normalized_mutual_info_score(a, b)),
        "ari": lambda a, b: float(metrics.adjusted_rand_score(a, b)),
    }


def _deviation(
    score: Callable[[Ints, Ints], float], c: Ints, clusters: Ints, draws: int, seed: int
) -> float:
    rng = np.random.default_rng(seed)  # the same items for all scores
    rows = rng.integers(len(c), size=(draws, len(c)))
    values: Floats = np.array([score(c[drawn], clusters[drawn]) for drawn in rows])
    return float(values.std(ddof=1))
