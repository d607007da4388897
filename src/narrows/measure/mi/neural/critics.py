"""Networks that score pairs, many seeds side by side in one batched product.

Inputs are `(seeds, n, d)`, one batch a seed; parameters lead with the seeds too, so that the
gradient of a sum over seeds trains each as if alone. For one critic as a part of a loss take
`seeds=1` and `x[None]`.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from narrows.measure.mi.neural.bounds import pairs

_LOG_VARIANCE = 6.0  # bounds of q's log variance: columns have variance 1


class Networks(nn.Module):
    """One ReLU network a seed, evaluated together.

    Args:
        seeds: how many.
        sizes: of the layers, inputs first.
        generator: draws the weights, uniform within 1 / sqrt(inputs).
    """

    def __init__(self, seeds: int, sizes: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in itertools.pairwise(sizes):
            for kept, shape in ((self.weights, (inputs, outputs)), (self.biases, (1, outputs))):
                drawn = torch.rand(seeds, *shape, generator=generator)
                kept.append(nn.Parameter((2 * drawn - 1) / math.sqrt(inputs)))

    def forward(self, rows: Tensor) -> Tensor:
        """`(seeds, n, inputs)` to `(seeds, n, outputs)`."""
        last = len(self.weights) - 1
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            rows = torch.baddbmm(bias, rows, weight)
            rows = rows if place == last else rows.relu()
        return rows


class Separable(nn.Module):
    """T(x, y) = g(x) . h(y): all pairs of a batch by one matrix product.

    Args:
        seeds: how many critics.
        dx: columns of x.
        dy: columns of y.
        width: of the two hidden layers of g and of h.
        generator: draws the weights.
        rank: columns of g and h.
    """

    def __init__(
        self, seeds: int, dx: int, dy: int, width: int, generator: torch.Generator, rank: int = 32
    ) -> None:
        super().__init__()
        self.left = Networks(seeds, (dx, width, width, rank), generator)
        self.right = Networks(seeds, (dy, width, width, rank), generator)

    def forward(self, x: Tensor, y: Tensor, block: int = 0) -> tuple[Tensor, Tensor]:
        """Joint `(seeds, n)` and product `(seeds, n, block - 1)` scores; n a multiple of block."""
        left, right = blocks(self.left(x), block), blocks(self.right(y), block)
        return flat(pairs(left @ right.mT))

    def partners(self, n: int) -> Tensor:
        """All other rows, in order."""
        return others(n)


class Concatenated(nn.Module):
    """T(x, y) = network([x, y]), the product's pairs made by shifting y.

    Args:
        seeds: how many critics.
        dx: columns of x.
        dy: columns of y.
        width: of the two hidden layers.
        generator: draws the weights.
        shifts: pairs of the product for one of the joint; no more than the other rows.
    """

    def __init__(
        self, seeds: int, dx: int, dy: int, width: int, generator: torch.Generator, shifts: int = 4
    ) -> None:
        super().__init__()
        self.network = Networks(seeds, (dx + dy, width, width, 1), generator)
        self.shifts = shifts

    def forward(self, x: Tensor, y: Tensor, block: int = 0) -> tuple[Tensor, Tensor]:
        """Joint `(seeds, n)` and product `(seeds, n, k)` scores; n a multiple of block."""
        x, y = blocks(x, block), blocks(y, block)
        n = x.shape[-2]
        partner = torch.cat([torch.arange(n)[:, None], self.partners(n)], 1)
        both = torch.cat(
            [x.unsqueeze(-2).expand(*x.shape[:-1], partner.shape[1], -1), y[..., partner, :]], -1
        )
        scores = self.network(both.flatten(1, -2)).view(both.shape[:-1])
        return flat((scores[..., 0], scores[..., 1:]))

    def partners(self, n: int) -> Tensor:
        """The rows that follow, cyclically."""
        return (torch.arange(n)[:, None] + 1 + torch.arange(min(self.shifts, n - 1))) % n


class Conditional(nn.Module):
    """log q(y | x) of a normal q with independent columns, mean and variance by a network of x.

    Args:
        seeds: how many.
        dx: columns of x.
        dy: columns of y.
        width: of the two hidden layers.
        generator: draws the weights.
    """

    def __init__(
        self, seeds: int, dx: int, dy: int, width: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.network = Networks(seeds, (dx, width, width, 2 * dy), generator)

    def log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        """`(seeds, n)` log q(y_i | x_i), what fits q."""
        mean, log_variance = self._normal(x)
        squares = (y - mean) ** 2 * (-log_variance).exp()
        return -0.5 * (squares + log_variance + math.log(2 * math.pi)).sum(-1)

    def forward(self, x: Tensor, y: Tensor, block: int = 0) -> tuple[Tensor, Tensor]:
        """Joint and product log q(y_j | x_i), shaped as of `Separable`."""
        mean, log_variance = (blocks(part, block) for part in self._normal(x))
        y, precision = blocks(y, block), (-log_variance).exp()
        # (y - m)^2 / v as three products: no array of n x n x dy
        squares = precision @ (y**2).mT - 2 * (mean * precision) @ y.mT
        own = (mean**2 * precision + log_variance + math.log(2 * math.pi)).sum(-1, keepdim=True)
        return flat(pairs(-0.5 * (squares + own)))

    def partners(self, n: int) -> Tensor:
        """All other rows, in order."""
        return others(n)

    def _normal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = self.network(x).chunk(2, -1)
        return mean, _LOG_VARIANCE * (raw / _LOG_VARIANCE).tanh()


Critic = Separable | Concatenated


def blocks(rows: Tensor, block: int) -> Tensor:
    """`(seeds, n / block, block, d)`; one block of all rows where it is 0."""
    return rows.unflatten(1, (-1, block or rows.shape[1]))


def flat(scores: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Blocks joined to rows again."""
    return scores[0].flatten(1, 2), scores[1].flatten(1, 2)


def others(n: int) -> Tensor:
    """`(n, n - 1)` all row numbers but the own one.

    Example:
        >>> others(3).tolist()
        [[1, 2], [0, 2], [0, 1]]
    """
    columns = torch.arange(n - 1).expand(n, n - 1)
    return columns + (columns >= torch.arange(n)[:, None])
