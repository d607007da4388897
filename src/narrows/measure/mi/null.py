"""What a method reports where there is nothing to find: y against x in shuffled order.

The estimates of shuffled pairs have the sample's own margins, size and settings and no dependence.
Their mean is the method's bias there, their spread its noise; a value inside them says nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.mi.dispatch import mutual_information
from narrows.measure.mi.result import MIResult


@dataclasses.dataclass(frozen=True)
class PermutationNull:
    """A measured value beside the values of shuffled pairs.

    Attributes:
        result: of the pairs as they came.
        values: `(n,)` of the shuffled ones, in the result's units.
    """

    result: MIResult
    values: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Of the shuffled values: what the method reports for nothing."""
        return float(self.values.mean())

    @property
    def sd(self) -> float:
        """Standard deviation of the shuffled values."""
        return float(self.values.std(ddof=1))

    @property
    def excess(self) -> float:
        """The value less the shuffled mean."""
        return self.result.value - self.mean

    @property
    def p_value(self) -> float:
        """Chance of so large a value without dependence: (1 + as large) / (1 + n), never 0."""
        larger = int((self.values >= self.result.value).sum())
        return (1 + larger) / (1 + len(self.values))

    def __repr__(self) -> str:
        return (
            f"{self.result!r}\n  shuffled: {self.mean:.3f} ± {self.sd:.3f} "
            f"({len(self.values)} times), p = {self.p_value:.3g}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "result": self.result.to_dict(),
            "values": self.values.tolist(),
            "p_value": self.p_value,
        }


def permutation_null(
    x: Any, y: Any, method: str = "ksg", *, n: int = 100, seed: int = 0, **settings: Any
) -> PermutationNull:
    """`mutual_information` of the pairs, and of n random pairings of the same rows.

    Exact as a test at any sample size where rows are independent of one another; rows of a time
    series are not. Costs n + 1 estimates, and what one of them needs of memory.

    Args:
        x: as `mutual_information` takes it.
        y: the same; its rows are shuffled.
        method: an estimator's name.
        n: shuffles, 2 or more; p cannot fall below 1/(n + 1).
        seed: of the shuffles.
        settings: of `mutual_information`, but for `each`.

    Raises:
        InvalidInput: as `mutual_information`; fewer than 2 shuffles.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((2, 300))
        >>> permutation_null(rows[0], rows[0] + rows[1], n=19).p_value
        0.05
    """
    if n < 2:
        raise wrong("n", str(n), "2 shuffles or more")
    if settings.get("each"):
        raise wrong("each", "True", "one variable against one; call once a column")
    result = mutual_information(x, y, method, **settings)
    generator = np.random.default_rng(seed)
    rows = y.detach().cpu() if isinstance(y, Tensor) else np.asarray(y)
    values = []
    for _ in range(n):
        order = generator.permutation(len(rows))
        mixed = rows[torch.from_numpy(order)] if isinstance(rows, Tensor) else rows[order]
        values.append(mutual_information(x, mixed, method, **settings).value)
    return PermutationNull(result, np.array(values))
