"""CLUB (Cheng et al., ICML 2020): an upper bound by a conditional density, fitted by likelihood.

    I <= E_p log p(y | x) - E_q log p(y | x), q the product of margins

holds for the true conditional. With a normal q(y | x) in its place (vCLUB) it stays an upper bound
where KL(p(x, y), q(y | x) p(x)) is at most KL(p(x) p(y), q(y | x) p(x)). It grows without limit as
y gets close to a function of x: for normal variables it is rho^2 / (1 - rho^2).

Here q is fitted and chosen on rows other than those it is scored on, which the public code does
not separate; the mean over independent pairs is over all of them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.measure.mi.gaussian import gaussian
from narrows.measure.mi.neural import bounds, held_out
from narrows.measure.mi.neural.critics import Conditional
from narrows.measure.mi.neural.samples import notes, scores_of
from narrows.measure.mi.neural.training import Settings, fit, split
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]
_BLOCK = 512


def club(
    x: Floats,
    y: Floats,
    *,
    seeds: int | None = None,
    width: int = 256,
    steps: int = 3000,
    batch: int = 128,
    seed: int = 0,
) -> Estimate:
    """CLUB with a normal q(y | x), mean and variances by a network of x.

    Not symmetric: it models y given x. Time and memory as of `mine`.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        seeds: networks trained side by side, each with a split of its own.
        width: of the two hidden layers.
        steps: at most; training ends when held-out rows gain no more likelihood.
        batch: rows a step.
        seed: of splits, weights and batches.

    Raises:
        InvalidInput: fewer than 50 rows, or settings that cannot train.

    Example:
        >>> x, noise = np.random.default_rng(0).standard_normal((2, 1000, 1))
        >>> found = club(x, x + noise, seeds=2, width=32, steps=200)
        >>> 0.5 < found.value < 1.3  # with the true conditional 1, the information is 0.347
        True
    """
    settings = Settings(seeds, steps, batch, width=width, seed=seed).checked(len(x))
    generator = torch.Generator().manual_seed(settings.seed)
    rows, parts = scores_of(x, y), split(len(x), settings.count, generator)
    model = Conditional(settings.count, x.shape[1], y.shape[1], width, generator)

    def likelihood(left: Tensor, right: Tensor) -> Tensor:
        return model.log_prob(left, right).mean(-1)

    states = fit(model, likelihood, likelihood, rows, parts, settings, generator)
    block = held_out.block_of(parts.halves[0].shape[1], _BLOCK)
    found = held_out.score(model, states, rows, parts, bounds.club, held_out.of_club, block)
    warnings = (
        "an upper bound only if q(y | x), a normal with independent columns, is close to the true "
        "conditional",
        *_unfitted(found, rows),
        *notes(x, y, 0.0),
    )
    return Estimate(found.value, found.stderr, warnings=warnings, settings=settings.told())


def _unfitted(found: held_out.Scored, rows: tuple[Tensor, Tensor]) -> tuple[str, ...]:
    """Warn of a bound below what lines alone show."""
    left, right = (side.double().numpy() for side in rows)
    if len(left) <= left.shape[1] + right.shape[1] + 1:
        return ()
    least = gaussian(left, right)
    if found.value > least.value - 2 * math.hypot(found.stderr, least.stderr):
        return ()
    return (
        f"less than the {least.value:.2f} nats of a normal fit: q has not been fitted well enough "
        "to bound anything; raise steps= or width=",
    )
