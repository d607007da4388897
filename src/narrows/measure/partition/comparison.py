"""A partition, k-means of as many clusters, and controls, side by side."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from narrows.errors import unknown


@dataclasses.dataclass(frozen=True)
class PartitionScore:
    """What one partition costs.

    Attributes:
        name: of the partition.
        information: I(X;C) in bits.
        distortion: D, in the units of the curve's normalisation; the mean over random draws.
        share: D as a share of the total variance.
        objective: L = I + beta D.
        deviation: standard deviation of D over random draws; NaN where there is one partition.
    """

    name: str
    information: float
    distortion: float
    share: float
    objective: float
    deviation: float = math.nan


@dataclasses.dataclass(frozen=True, repr=False)
class PartitionComparison:
    """Scores of a partition of items, of k-means at equal K and of controls.

    Attributes:
        scores: the partition first, then `k-means`, then the controls asked for.
        k: how many clusters.
        n: how many items.
        beta: price of a unit of distortion in bits.
        normalize: scale of the vectors.
    """

    scores: tuple[PartitionScore, ...]
    k: int
    n: int
    beta: float
    normalize: str | None

    def __getitem__(self, name: str) -> PartitionScore:
        """The score of a name."""
        known = {score.name: score for score in self.scores}
        if name not in known:
            raise unknown("partition", name, known)
        return known[name]

    @property
    def gap(self) -> float:
        """L of the partition less that of k-means; positive where k-means costs less."""
        return self.scores[0].objective - self["k-means"].objective

    @property
    def gap_same_sizes(self) -> float:
        """L of the partition less that of k-means with the partition's sizes, at least 0.

        The bits are the same, so this is beta times a difference of distortions. What is left of
        `gap` beyond it comes from the sizes alone.
        """
        return self.scores[0].objective - self["kmeans_same_sizes"].objective

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is NaN."""
        found = dataclasses.asdict(self)
        for score in found["scores"]:
            score["deviation"] = None if math.isnan(score["deviation"]) else score["deviation"]
        return found | {"scores": list(found["scores"]), "gap": self.gap}

    def __repr__(self) -> str:
        lines = [f"{self.n:,} items, {self.k} clusters, beta {self.beta:g}, {self.normalize}"]
        for s in self.scores:
            spread = "" if math.isnan(s.deviation) else f" ± {s.deviation:.3f}"
            lines.append(
                f"{s.name}: I {s.information:.3f} bits, D {s.distortion:.3f}{spread} "
                f"({100 * s.share:.1f} % of the variance), L {s.objective:.3f}"
            )
        return "\n".join(lines)
