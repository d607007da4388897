"""A closed form for a critic to start from: the log ratio of normal variables.

With canonical variables a_i, b_i of correlations r_i the best critic of jointly normal x and y is

    log p(x, y) / p(x) p(y) = sum_i -1/2 log(1 - r_i^2)
                              + [r_i a_i b_i - 1/2 r_i^2 (a_i^2 + b_i^2)] / (1 - r_i^2).

It is fitted to the training rows in one step and stays fixed; the network learns what it lacks. A
network alone needs far more rows for the same: it has learnt part of its rows by heart before it
has found ten correlations. Squared correlations are shrunk by what independent rows would show,
(dx + dy) / n of the rest.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from narrows.measure.mi.neural.critics import Critic, blocks, flat

_CLOSEST = 0.999  # squared correlation beyond which the ratio grows too steep to be of use
_RIDGE = 1e-6
_FLAT = 1e-2  # share of the largest variance below which a direction is left to the network
_ENOUGH = 5  # rows a column, below which correlations are mostly noise


class Started(nn.Module):
    """A critic added to the log ratio of the normal fit.

    Args:
        critic: what learns the rest.
        x: `(seeds, n, dx)` training rows.
        y: `(seeds, n, dy)`.
        offset: a constant on top; NWJ's best critic is 1 above the log ratio.
    """

    left: Tensor
    plain: Tensor
    right: Tensor
    own: Tensor
    constant: Tensor

    def __init__(self, critic: Critic, x: Tensor, y: Tensor, offset: float = 0.0) -> None:
        super().__init__()
        self.critic = critic
        left, right, squared = canonical(x, y)
        loose = 1 - squared
        self.register_buffer("left", (left * (squared.sqrt() / loose).unsqueeze(1)).float())
        self.register_buffer("right", right.float())
        self.register_buffer("plain", left.float())
        self.register_buffer("own", (squared / loose / 2).unsqueeze(-1).float())
        self.register_buffer("constant", (offset - loose.log().sum(-1) / 2)[:, None, None].float())

    def forward(self, x: Tensor, y: Tensor, block: int = 0) -> tuple[Tensor, Tensor]:
        """Joint and product scores, shaped as the critic's."""
        joint, product = self.critic(x, y, block)
        right = y @ self.right
        of_x = self.constant - (x @ self.plain) ** 2 @ self.own
        of_y = -(right**2) @ self.own
        cross = blocks(x @ self.left, block) @ blocks(right, block).mT
        scores = cross + blocks(of_x, block) + blocks(of_y, block).mT
        partners = self.partners(scores.shape[-1])
        chosen = scores.gather(-1, partners.expand(*scores.shape[:-1], -1))
        known = flat((scores.diagonal(dim1=-2, dim2=-1), chosen))
        return joint + known[0], product + known[1]

    def partners(self, n: int) -> Tensor:
        """As of the critic."""
        return self.critic.partners(n)


def canonical(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Directions `(seeds, dx, k)`, `(seeds, dy, k)` and shrunk squared correlations `(seeds, k)`.

    Columns are taken to have mean 0. With fewer than five rows a column all correlations are 0.
    """
    x, y = x.double(), y.double()
    n, wide = x.shape[1], x.shape[2] + y.shape[2]
    of_x, of_y = (_whitening(side.mT @ side / n) for side in (x, y))
    u, r, v = torch.linalg.svd(of_x @ (x.mT @ y / n) @ of_y, full_matrices=False)
    chance = wide / n if n > _ENOUGH * wide else 1.0
    squared = ((r**2 - chance) / max(1 - chance, _RIDGE)).clamp(0, _CLOSEST)
    squared = squared if chance < 1 else torch.zeros_like(squared)
    return of_x @ u, of_y @ v.mT, squared


def _whitening(covariance: Tensor) -> Tensor:
    sizes, directions = torch.linalg.eigh(covariance)
    # What hardly varies in these rows may vary in others, and would be blown up by its own size.
    wide = sizes > (_FLAT * sizes[..., -1:]).clamp(min=_RIDGE)
    scale = torch.where(wide, sizes.clamp(min=_RIDGE).rsqrt(), 0.0)
    return directions * scale.unsqueeze(-2) @ directions.mT
