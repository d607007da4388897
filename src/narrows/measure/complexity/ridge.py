"""Ridge probes for many targets at once, the penalty of each chosen by cross-validation.

With columns of x divided by their standard deviation over all training rows, the probe minimises

    sum (z - x b - c)^2 + alpha |b|^2

as scikit-learn's Ridge does. One eigendecomposition of the scatter of x serves all penalties and
all targets. Folds are validated from their second moments: no row is looked at again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.complexity.streams import CrossStream, together

ALPHAS = tuple(10.0**i for i in range(-3, 7))
_STILL = 1e-14  # variance, relative to the squared mean, that is rounding


@dataclasses.dataclass(frozen=True)
class Probe:
    """Linear probes of k targets.

    Attributes:
        weight: `(d, k)` for the inputs as they are.
        bias: `(k,)`.
        alpha: `(k,)` the penalty of each.
    """

    weight: Tensor
    bias: Tensor
    alpha: Tensor


def fit_ridge(folds: Sequence[CrossStream], alphas: Sequence[float] = ALPHAS) -> Probe:
    """Choose each target's penalty over folds, then fit on all of them.

    A penalty's score is the mean over folds of R² there, of the probe fitted on the other folds;
    the first of the best is taken, as scikit-learn's RidgeCV does with these folds. One penalty
    is not chosen, and then one stream is enough.

    Raises:
        InvalidInput: penalties that are negative or none; several with fewer than 2 folds; a
            target without variance in a fold.
    """
    grid = check_alphas(alphas)
    whole = together(list(folds))
    scale = _scale(whole)
    chosen = torch.zeros(whole.cross.shape[1], dtype=torch.int64, device=scale.device)
    if len(grid) > 1:
        if len(folds) < 2:
            raise wrong("folds", len(folds), "2 or more, to choose a penalty")
        total = torch.zeros(len(grid), len(chosen), dtype=torch.float64, device=scale.device)
        for i, held in enumerate(folds):
            if bool((held.z_scatter <= 0).any()):
                column = int((held.z_scatter <= 0).nonzero()[0])
                raise wrong("z", f"column {column} without variance in fold {i}", "fewer folds")
            path = _Path(together([f for j, f in enumerate(folds) if j != i]), scale)
            for j, penalty in enumerate(grid):
                probe = path.at(penalty)
                total[j] -= held.errors(probe.weight, probe.bias) / (held.z_scatter / held.n)
        chosen = total.argmax(0)
    path = _Path(whole, scale)
    alpha = torch.tensor(grid, dtype=torch.float64, device=scale.device)[chosen]
    return path.at(alpha)


def check_alphas(alphas: Sequence[float]) -> tuple[float, ...]:
    """Penalties as numbers at least 0, at least one."""
    grid = tuple(float(a) for a in alphas)
    if not grid or not all(0 <= a < float("inf") for a in grid):
        raise wrong("ridge", grid, "at least one finite penalty >= 0")
    return grid


def _scale(stream: CrossStream) -> Tensor:
    """`(d,)` 1 / standard deviation; 0 for columns that do not vary, which then get no weight."""
    variance = stream.x.scatter.diagonal() / stream.n
    still = variance <= _STILL * stream.x.mean.square()
    return torch.where(still | (variance == 0), 0.0, variance.rsqrt())


class _Path:
    """All penalties of one training set, from one eigendecomposition."""

    def __init__(self, stream: CrossStream, scale: Tensor) -> None:
        self.stream, self.scale = stream, scale
        values, self.axes = torch.linalg.eigh(stream.x.scatter * scale * scale[:, None])
        # Directions that rounding alone fills would be divided by nearly nothing.
        kept = values > len(values) * torch.finfo(torch.float64).eps * values[-1].clamp(min=0)
        self.values, self.axes = values[kept], self.axes[:, kept]
        self.along = self.axes.T @ (stream.cross * scale[:, None])

    def at(self, alpha: float | Tensor) -> Probe:
        """The probes at a penalty, one number or one a target."""
        each = torch.as_tensor(alpha, dtype=torch.float64, device=self.values.device)
        each = each.expand(self.along.shape[1])
        weight = self.axes @ (self.along / (self.values[:, None] + each)) * self.scale[:, None]
        return Probe(weight, self.stream.z_mean - self.stream.x.mean @ weight, each)
