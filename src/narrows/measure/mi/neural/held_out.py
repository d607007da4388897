"""The value of trained critics on held-out rows, with its standard error.

With T fixed a bound is a smooth function of means over rows, so each row has an influence on it:
its joint term, less what its x and its y add to the mean over the product's pairs. The variance
of the value is the sum of squared influences, over all seeds that scored a row, plus the variance
of the mean over seeds; the second holds a part of the first again, which errs on the wide side.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from narrows.measure.mi.neural import bounds
from narrows.measure.mi.neural.training import Split, State

Bound = Callable[[Tensor, Tensor], Tensor]
# of joint and product: each row's own term, and what each pair takes off; both to first order
Parts = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclasses.dataclass(frozen=True)
class Scored:
    """A value in nats.

    Attributes:
        value: mean over seeds and halves.
        stderr: over rows and seeds.
        noise: relative standard error of the mean over the product's pairs, the largest met.
        candidates: pairs of the product for one of the joint.
    """

    value: float
    stderr: float
    noise: float
    candidates: int


def block_of(rows: int, most: int) -> int:
    """Rows a block, so that equal blocks of at most `most` leave out as few as can be."""
    return rows // math.ceil(rows / most)


def trimmed(rows: Tensor, block: int) -> Tensor:
    """`(seeds, m, d)` with m the largest multiple of the block."""
    return rows[:, : rows.shape[1] // block * block]


@torch.no_grad()
def score(
    model: nn.Module,
    states: tuple[State, State],
    rows: tuple[Tensor, Tensor],
    parts: Split,
    bound: Bound,
    influence: Parts,
    block: int,
) -> Scored:
    """Each half scored with the states that were best on the other one.

    Memory: seeds x half x block floats.
    """
    x, y = rows
    seeds, noise, values = len(parts.train), 0.0, []
    total = torch.zeros(len(x), dtype=torch.float64)
    candidates = 1
    for state, half in zip(states, reversed(parts.halves), strict=True):
        model.load_state_dict(state)
        here = trimmed(half, block)
        joint, product = (part.double() for part in model(x[here], y[here], block))
        values.append(bound(joint, product))
        own, pair = influence(joint, product)
        of_x, of_y = _sides(pair, model.partners(block), block)  # type: ignore[operator]  # as critics have
        change = own - of_x - of_y
        change = change - change.mean(1, keepdim=True)
        total.index_add_(0, here.flatten(), (change / (2 * seeds * here.shape[1])).flatten())
        spread = ((of_x + of_y).std(1) / math.sqrt(here.shape[1])).max()
        noise, candidates = max(noise, float(spread)), product.shape[-1]
    by_seed = torch.stack(values).mean(0)
    between = float(by_seed.var()) / seeds if seeds > 1 else 0.0
    stderr = math.sqrt(float((total**2).sum()) + between)
    return Scored(float(by_seed.mean()), stderr, noise, candidates)


def _sides(pair: Tensor, partners: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """`(seeds, n)` means of the pairs of each row's x, and of each row's y."""
    cut = pair.unflatten(1, (-1, block))
    of_y = torch.zeros(cut.shape[:-1], dtype=pair.dtype)
    of_y.index_add_(2, partners.flatten(), cut.flatten(2))
    return pair.mean(-1), of_y.flatten(1) / pair.shape[-1]


def of_ratio(joint: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
    """Of DV: e^T over its mean."""
    return joint, (product - bounds.log_mean_exp(product)[:, None, None]).exp()


def of_nwj(joint: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
    """Of NWJ, with its limit to the exponent."""
    return joint, (product - 1).clamp(max=50).exp()


def of_club(joint: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
    """Of CLUB."""
    return joint, product


def of_infonce(joint: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
    """Of InfoNCE: a row's term holds its x; its y is a candidate elsewhere, by its share there."""
    terms = bounds.infonce_terms(joint, product)
    whole = torch.cat([joint.unsqueeze(-1), product], -1).logsumexp(-1, keepdim=True)
    share = (product - whole).exp() * product.shape[-1]
    return terms + share.mean(-1), share
