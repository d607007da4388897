"""Information by a trained critic: MINE, NWJ, InfoNCE and SMILE, scored on held-out rows.

Formulas and papers stand in `bounds`; here is how they are trained and what their values mean.
A critic that is fixed before it meets the rows makes DV, NWJ and InfoNCE lower bounds in
expectation, and so it is here: a state is chosen on one held-out half and scored on the other.
The critic is a network added to the log ratio of a normal fit (see `start`), which the papers do
without.

Limits. No lower bound from N rows can vouch for much more than log N (McAllester and Stratos
2020). The variance of DV and NWJ grows as e^I / N. InfoNCE never passes the log of its candidates.
SMILE is neither bound: clipping biases it, the variance stays small.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows.errors import unknown, wrong
from narrows.measure.mi.neural import bounds, held_out
from narrows.measure.mi.neural.critics import Concatenated, Separable
from narrows.measure.mi.neural.samples import notes, scores_of
from narrows.measure.mi.neural.start import Started
from narrows.measure.mi.neural.training import Settings, fit, split
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]
CRITICS = ("separable", "concatenated")
_BLOCK = 512  # held-out rows scored against each other
_NOISY = 0.1  # relative standard error of the partition from which to warn


def mine(
    x: Floats,
    y: Floats,
    *,
    seeds: int | None = None,
    critic: str = "separable",
    width: int = 256,
    steps: int = 3000,
    batch: int = 128,
    seed: int = 0,
) -> Estimate:
    """MINE (Belghazi et al. 2018): Donsker-Varadhan with the moving-average gradient.

    Time: seeds x steps x (batch x parameters + batch^2); memory: seeds x held-out rows x 512.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        seeds: critics trained side by side, each with a split of its own; 8 from 5,000 rows on,
            else 4.
        critic: separable, all pairs of a batch by one product; or concatenated, one network of
            both, slower, with four pairs of the product for one of the joint.
        width: of the two hidden layers.
        steps: at most; training ends when held-out rows gain no more.
        batch: rows a step.
        seed: of splits, weights and batches.

    Raises:
        InvalidInput: fewer than 50 rows, or settings that cannot train.

    Example:
        >>> x, noise = np.random.default_rng(0).standard_normal((2, 1000, 1))
        >>> found = mine(x, x + noise, seeds=2, width=32, steps=200)
        >>> 0.1 < found.value < 0.5  # the truth is 0.347
        True
    """
    settings = Settings(seeds, steps, batch, width=width, seed=seed)
    average = torch.full((settings.checked(len(x)).count,), -torch.inf)

    def objective(joint: Tensor, product: Tensor) -> Tensor:
        nonlocal average
        gain, average = bounds.mine(joint, product, average)
        return gain

    return _trained(x, y, settings, critic, objective, bounds.dv, held_out.of_ratio)


def nwj(
    x: Floats,
    y: Floats,
    *,
    seeds: int | None = None,
    critic: str = "separable",
    width: int = 256,
    steps: int = 3000,
    batch: int = 128,
    seed: int = 0,
) -> Estimate:
    """NWJ (Nguyen, Wainwright and Jordan 2010), the f-divergence bound; arguments as of `mine`."""
    settings = Settings(seeds, steps, batch, width=width, seed=seed)
    return _trained(x, y, settings, critic, bounds.nwj, bounds.nwj, held_out.of_nwj)


def infonce(
    x: Floats,
    y: Floats,
    *,
    seeds: int | None = None,
    critic: str = "separable",
    width: int = 256,
    steps: int = 3000,
    batch: int = 128,
    seed: int = 0,
) -> Estimate:
    """InfoNCE (van den Oord et al. 2018); arguments as of `mine`.

    Trained among `batch` candidates, up to 1,024, and scored among up to 512 held-out ones or as
    many as trained if more; the log of those is the ceiling. A concatenated critic is shown all
    pairs of a batch too, which costs batch^2 evaluations.
    """
    if isinstance(batch, int) and batch > 1024:
        raise wrong("batch", batch, "at most 1024 candidates")
    settings = Settings(seeds, steps, batch, width=width, seed=seed)
    return _trained(
        x, y, settings, critic, bounds.infonce, bounds.infonce, held_out.of_infonce, shifts=batch
    )


def smile(
    x: Floats,
    y: Floats,
    *,
    clip: float = 5.0,
    seeds: int | None = None,
    critic: str = "separable",
    width: int = 256,
    steps: int = 3000,
    batch: int = 128,
    seed: int = 0,
) -> Estimate:
    """SMILE (Song and Ermon 2020); `clip` bounds the scores in the partition, else as of `mine`."""
    if isinstance(clip, bool) or not clip > 0:
        raise wrong("clip", repr(clip), "a number above 0")
    settings = Settings(seeds, steps, batch, width=width, seed=seed)
    value = functools.partial(bounds.smile, clip=clip)

    def influence(joint: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
        return held_out.of_ratio(joint, product.clamp(-clip, clip))

    return _trained(x, y, settings, critic, bounds.js, value, influence, stop=bounds.js, clip=clip)


def _trained(
    x: Floats,
    y: Floats,
    asked: Settings,
    critic: str,
    objective: held_out.Bound,
    value: held_out.Bound,
    influence: held_out.Parts,
    *,
    stop: held_out.Bound | None = None,
    shifts: int = 4,
    **more: float,
) -> Estimate:
    """Train a critic by `objective`, stop by `stop` (or the value), and report the value."""
    if critic not in CRITICS:
        raise unknown("critic", critic, CRITICS)
    settings = asked.checked(len(x))
    generator = torch.Generator().manual_seed(settings.seed)
    rows, parts = scores_of(x, y), split(len(x), settings.count, generator)
    sizes = (settings.count, x.shape[1], y.shape[1], settings.width, generator)
    network = Separable(*sizes) if critic == "separable" else Concatenated(*sizes, shifts)
    offset = 1.0 if value is bounds.nwj else 0.0
    model = Started(network, rows[0][parts.train], rows[1][parts.train], offset)
    most = _BLOCK if critic == "separable" else min(_BLOCK, settings.batch)
    block = held_out.block_of(parts.halves[0].shape[1], max(most, settings.batch))

    def gain(left: Tensor, right: Tensor) -> Tensor:
        return objective(*model(left, right))

    states = fit(model, gain, held(model, stop or value, block), rows, parts, settings, generator)
    found = held_out.score(model, states, rows, parts, value, influence, block)
    infinite = value is not bounds.infonce
    ceiling = math.inf if infinite else math.log(found.candidates + 1)
    told = {"critic": critic, **settings.told(), **more, "candidates": found.candidates}
    warnings = (*_limits(found, ceiling), *notes(x, y, found.value))
    return Estimate(found.value, found.stderr, ceiling, warnings, told)


def held(model: nn.Module, bound: held_out.Bound, block: int) -> Callable[[Tensor, Tensor], Tensor]:
    """A bound of held-out rows, `(seeds, h, d)` each, in blocks."""

    def score(x: Tensor, y: Tensor) -> Tensor:
        return bound(*model(held_out.trimmed(x, block), held_out.trimmed(y, block), block))

    return score


def _limits(found: held_out.Scored, ceiling: float) -> tuple[str, ...]:
    if found.value > ceiling - 0.7:
        return (
            f"{found.value:.2f} nats is close to the ceiling, log {found.candidates + 1} = "
            f"{ceiling:.2f}: the information may be far more; raise batch=, or use 'smile'",
        )
    if math.isinf(ceiling) and found.noise > _NOISY:
        return (
            f"the mean of e^T over independent pairs is known to {found.noise:.0%} only: its "
            "variance grows as e^I / N, so the value may be off either way",
        )
    return ()
