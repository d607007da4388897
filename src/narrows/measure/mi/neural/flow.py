"""Information after normalising each side by a flow (Butakov et al., MIENF, NeurIPS 2024).

Invertible maps f(x) and g(y), one a side, leave the information unchanged. They are trained by
maximum likelihood to make [f(x), g(y)] jointly normal,

    max over f, g, S   mean log N([f(x), g(y)]; 0, S) + log |det f'(x)| + log |det g'(y)|,

and the information of normal variables with the outputs' covariance is the value. The best S is
the outputs' own covariance, so that the objective is -1/2 log det cov[f(x), g(y)] + the log dets.

What differs from the paper: columns are first replaced by normal scores; a side is then six affine
couplings with a monotone map z + a tanh(b z + c) of each column between them, instead of Glow or
spline flows. A side of one column has only the monotone maps. The value is the closed form on
held-out outputs, with `gaussian`'s small-sample correction, instead of on the training rows.

Among flows that make each side normal it is a lower bound; a flow that does not may err either
way. Dependence that no map of single sides makes linear (y = x times a random sign) is not found.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows.measure.mi.gaussian import gaussian
from narrows.measure.mi.neural.critics import Networks
from narrows.measure.mi.neural.samples import notes, scores_of
from narrows.measure.mi.neural.training import Settings, Split, State, fit, split
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]
_LAYERS, _SCALE, _RIDGE = 6, 2.0, 1e-6


class Monotone(nn.Module):
    """z + a tanh(b z + c) for each column, increasing as a b > -1; the identity at the start."""

    def __init__(self, seeds: int, d: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(seeds, 1, d))
        self.rate = nn.Parameter(torch.zeros(seeds, 1, d))
        self.shift = nn.Parameter(torch.zeros(seeds, 1, d))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and log |det|, `(seeds, n)`."""
        product, rate = self.slope.expm1(), self.rate.exp()  # a b, above -1, and b
        bent = (rate * z + self.shift).tanh()
        return z + product / rate * bent, (product * (1 - bent**2)).log1p().sum(-1)


class Coupling(nn.Module):
    """Half of the columns shifted and scaled by a network of the other half."""

    def __init__(
        self, seeds: int, d: int, width: int, first: bool, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.cut, self.first = d // 2, first
        kept = self.cut if first else d - self.cut
        self.network = Networks(seeds, (kept, width, 2 * (d - kept)), generator)
        with torch.no_grad():
            self.network.weights[-1].mul_(0.01)
            self.network.biases[-1].zero_()

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and log |det|, `(seeds, n)`."""
        left, right = z[..., : self.cut], z[..., self.cut :]
        kept, moved = (left, right) if self.first else (right, left)
        shift, raw = self.network(kept).chunk(2, -1)
        scale = _SCALE * (raw / _SCALE).tanh()
        moved = moved * scale.exp() + shift
        both = (kept, moved) if self.first else (moved, kept)
        return torch.cat(both, -1), scale.sum(-1)


class Side(nn.Module):
    """The invertible map of one side, `(seeds, n, d)` to the same shape.

    Args:
        seeds: maps side by side.
        d: columns.
        width: of the couplings' hidden layer.
        generator: draws the weights.
    """

    def __init__(self, seeds: int, d: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for place in range(_LAYERS if d > 1 else 2):
            if d > 1:
                self.layers.append(Coupling(seeds, d, width, place % 2 == 0, generator))
            self.layers.append(Monotone(seeds, d))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and log |det|, `(seeds, n)`."""
        total = z.new_zeros(z.shape[:-1])
        for layer in self.layers:
            z, change = layer(z)
            total = total + change
        return z, total


def likelihood(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> Tensor:
    """`(seeds,)` mean log likelihood at the best covariance, less constants, of two sides."""
    both = torch.cat([left[0], right[0]], -1)
    both = both - both.mean(-2, keepdim=True)
    ridge = _RIDGE * torch.eye(both.shape[-1], dtype=both.dtype)
    covariance = both.mT @ both / both.shape[-2] + ridge
    return (left[1] + right[1]).mean(-1) - 0.5 * torch.linalg.slogdet(covariance)[1]


def flow(
    x: Floats,
    y: Floats,
    *,
    seeds: int | None = None,
    width: int = 64,
    steps: int = 2000,
    batch: int = 512,
    seed: int = 0,
) -> Estimate:
    """Information of jointly normal variables after a flow on each side.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        seeds: pairs of flows trained side by side, each with a split of its own.
        width: of the couplings' hidden layer.
        steps: at most; training ends when held-out rows gain no more likelihood.
        batch: rows a step.
        seed: of splits, weights and batches.

    Raises:
        InvalidInput: fewer than 50 rows, held-out halves (an eighth of the rows each) or batches
            of no more than dx + dy + 1 rows, or settings that cannot train.

    Example:
        >>> x, noise = np.random.default_rng(0).standard_normal((2, 1000, 1))
        >>> found = flow(np.exp(x), (x + noise) ** 3, seeds=2, steps=100)
        >>> abs(found.value - 0.347) < 0.08
        True
    """
    settings = Settings(seeds, steps, batch, width=width, seed=seed).checked(len(x))
    generator = torch.Generator().manual_seed(settings.seed)
    rows, parts = scores_of(x, y), split(len(x), settings.count, generator)
    sides = nn.ModuleList(Side(settings.count, part.shape[1], width, generator) for part in (x, y))

    def fitted(left: Tensor, right: Tensor) -> Tensor:
        return likelihood(sides[0](left), sides[1](right))

    states = fit(sides, fitted, fitted, rows, parts, settings, generator)
    value, stderr = _closed_form(sides, states, rows, parts)
    return Estimate(value, stderr, warnings=notes(x, y, value), settings=settings.told())


@torch.no_grad()
def _closed_form(
    sides: nn.ModuleList, states: tuple[State, State], rows: tuple[Tensor, Tensor], parts: Split
) -> tuple[float, float]:
    """Mean over seeds and halves of the normal information, and its standard error."""
    found = []
    for state, half in zip(states, reversed(parts.halves), strict=True):
        sides.load_state_dict(state)
        left, right = (
            side(part[half])[0].double().numpy() for side, part in zip(sides, rows, strict=True)
        )
        found.append([gaussian(a, b) for a, b in zip(left, right, strict=True)])
    values = np.array([[one.value for one in half] for half in found]).mean(0)
    if not np.isfinite(values).all():
        return math.inf, math.nan
    seeds, size = parts.halves[0].shape
    # Scored rows repeat once the seeds' halves add up to more than there are.
    share = size / min(2 * seeds * size, len(rows[0]))
    noise = share * np.mean([one.stderr**2 for half in found for one in half])
    between = values.var(ddof=1) / seeds if seeds > 1 else 0.0
    return float(values.mean()), math.sqrt(noise + between)
