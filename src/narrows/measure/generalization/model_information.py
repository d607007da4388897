"""How much weights tell of the data they were trained on, I(S; theta), up to a layer.

Nets of one kind are trained on R data sets S_r, drawn independently, and q_r is the distribution
of the weights of the r-th (SWAG). With S uniform over the R sets

    jensen     (1/R^2) sum_r,r' KL(q_r || q_r'), the same as E[log q_r - mean_r' log q_r']
    marginal   E[log q_r(theta) - log mean_r' q_r'(theta)], theta ~ q_r, at most log R
    pairwise   -mean_r log mean_r' exp(-KL(q_r || q_r')), at most log R (Kolchinsky and Tracey)

As Kawaguchi et al. (ICML 2023) do, who use the first. There it is averaged over draws of theta;
here the divergences are taken in closed form. With several seeds for each data set their log
densities are averaged, over seeds for q_r and over all for the prior.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.errors import unknown, wrong, wrong_type
from narrows.measure.generalization.chance import own_source
from narrows.measure.generalization.swag import SWAG
from narrows.measure.mi.result import MIResult

FORMS = ("jensen", "marginal", "pairwise")
_AT = 0.05  # nats below the ceiling
_STILL = 0.1  # share of weights at the floor that deserves a word


def model_information(
    swags: Sequence[SWAG] | Sequence[Sequence[SWAG]],
    upto: str | None = None,
    form: str = "jensen",
    *,
    draws: int = 10,
    seed: int = 0,
    units: str = "nats",
) -> MIResult:
    """I(S; theta) of the weights up to a layer.

    Args:
        swags: one for each data set; or for each data set one for each seed.
        upto: a layer's name: its parameters and all before it count. All by default.
        form: jensen, marginal or pairwise.
        draws: of weights for each SWAG; of the marginal form only.
        seed: of the draws.
        units: nats or bits.

    Returns:
        With `jensen` and one seed an upper bound for the R data sets at hand, (R - 1) / R of the
        population's. The standard error is that of the mean over data sets. Costs O(n^2 P K)
        for n SWAGs of P weights and K columns; memory n P (K + 2) float64 of the largest tensor.

    Raises:
        InvalidInput: fewer than 2 data sets, unlike SWAGs, unlike numbers of seeds, several
            seeds with `pairwise`, no draw.
        InvalidType: no SWAGs.
        UnknownName: no such form or layer.

    Example:
        >>> def path(start):
        ...     swag = SWAG()
        ...     for step in range(5):
        ...         swag.collect({"weight": torch.tensor([start + 0.1 * (-1.0) ** step])})
        ...     return swag
        >>> model_information([path(0.0), path(0.0)]).value
        0.0
        >>> model_information([path(0.0), path(1.0)]).value > 1
        True
    """
    if form not in FORMS:
        raise unknown("form", form, FORMS)
    table = _table(swags)
    names = table[0][0].upto(upto)
    seeds = len(table[0])
    flat = [swag for row in table for swag in row]
    if form == "marginal":
        values = _marginal(flat, names, seeds, draws, seed)
    else:
        far = divergences(flat, names)
        values = _pairwise(far, seeds) if form == "pairwise" else _jensen(far, seeds)
    ceiling = math.inf if form == "jensen" else math.log(len(table))
    value = float(values.mean())
    kinds = {"jensen": "upper" if seeds == 1 else "estimate", "marginal": "lower"}
    settings: dict[str, Any] = {"form": form, "upto": upto, "data sets": len(table), "seeds": seeds}
    settings |= {"floor": flat[0].floor, "columns": flat[0].columns}
    settings |= {"draws": draws, "seed": seed} if form == "marginal" else {}
    return MIResult(
        value,
        float(values.std() / math.sqrt(len(values))),
        kinds.get(form, "upper"),
        "swag",
        len(flat),
        ceiling=ceiling,
        warnings=_notes(value, ceiling, flat, upto),
        settings=settings,
    ).to(units)


def divergences(swags: Sequence[SWAG], names: Sequence[str]) -> Tensor:
    """`(n, n)` KL(q_i || q_j) in nats over the named parameters, blocks summed."""
    total = torch.zeros(len(swags), len(swags), dtype=torch.float64)
    for name in names:
        blocks = [swag.block(name) for swag in swags]
        for j, block in enumerate(blocks):
            total[:, j] += block.divergences(blocks).cpu()
    return total.fill_diagonal_(0)


def _jensen(far: Tensor, seeds: int) -> Tensor:
    """`(R,)`: mean divergence from all, less that from the same data set's other seeds."""
    sets = len(far) // seeds
    split = far.reshape(sets, seeds, sets, seeds)
    own = torch.stack([split[r, :, r] for r in range(sets)]).mean((1, 2))
    return split.mean((1, 2, 3)) - own


def _pairwise(far: Tensor, seeds: int) -> Tensor:
    if seeds > 1:
        raise wrong("swags", f"{seeds} seeds for each data set", "one, for the pairwise form")
    return math.log(len(far)) - torch.logsumexp(-far, 1)


def _marginal(swags: list[SWAG], names: Sequence[str], seeds: int, draws: int, seed: int) -> Tensor:
    if draws < 1:
        raise wrong("draws", draws, "at least 1")
    generator = own_source(seed)
    logs = torch.zeros(len(swags), draws, len(swags), dtype=torch.float64)
    for name in names:
        blocks = [swag.block(name) for swag in swags]
        for i, block in enumerate(blocks):
            theta = block.sample(draws, generator)
            logs[i] += torch.stack([other.log_prob(theta) for other in blocks], 1)
    sets = len(swags) // seeds
    split = logs.reshape(sets, seeds, draws, sets, seeds)
    own = torch.stack([split[r, :, :, r] for r in range(sets)])
    posterior = torch.logsumexp(own, -1) - math.log(seeds)
    prior = torch.logsumexp(split.flatten(-2), -1) - math.log(len(swags))
    return (posterior - prior).mean((1, 2))


def _table(swags: Any) -> list[list[SWAG]]:
    rows = [[one] if isinstance(one, SWAG) else list(one) for one in swags]
    if len(rows) < 2:
        raise wrong("swags", f"{len(rows)} data sets", "2 or more, each with a SWAG of its own")
    if any(not isinstance(one, SWAG) for row in rows for one in row):
        raise wrong_type("swags", "something else among them", "SWAGs, or sequences of them")
    counts = {len(row) for row in rows}
    if counts != {len(rows[0])} or 0 in counts:
        raise wrong(
            "swags", f"{sorted(counts)} seeds for a data set", "as many for each, 1 or more"
        )
    first = rows[0][0]
    shapes = {n: tuple(m.shape) for n, m in first.mean.items()}
    for one in (one for row in rows for one in row):
        if {n: tuple(m.shape) for n, m in one.mean.items()} != shapes:
            raise wrong("swags", "parameters of unlike names or shapes", "nets of one kind")
        if one.floor != first.floor:
            raise wrong("swags", f"floors {first.floor} and {one.floor}", "one floor")
    return rows


def _notes(value: float, ceiling: float, swags: list[SWAG], upto: str | None) -> tuple[str, ...]:
    notes = []
    if value > ceiling - _AT:
        notes.append(f"{value:.2f} nats is the ceiling log R = {ceiling:.2f}: more data sets")
    still = sum(swag.still(upto) for swag in swags) / len(swags)
    if still > _STILL:
        notes.append(
            f"{100 * still:.0f} % of the weights move less than the floor {swags[0].floor:g} "
            "allows: the value depends on the floor"
        )
    return tuple(notes)
