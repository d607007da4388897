"""How much noise a deterministic layer is imagined to have.

A deterministic net keeps all of a continuous input, I(X; Z) is infinite. Z = features + N(0, s^2)
has a finite one, and it is a statement about s. As Kawaguchi et al. (ICML 2023) choose it, from
the last layer back to the first: the s under which the features are likeliest, among those that
keep I(X; Z_l) >= I(X; Z_l+1), as data processing asks; where none does, the likeliest of all, and
the layer is flagged. Or s^2 = base times the layer's largest activation ("linear").

The likelihood of a row is taken under the other reference rows, without its own density, which
would always make the least s the likeliest.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.generalization.chance import own_source
from narrows.measure.generalization.densities import checked_code, log_densities
from narrows.measure.generalization.sandwich import sandwich_mi
from narrows.measure.mi.result import MIResult

GRID = (0.01, 0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 3.0, 6.0, 9.0, 12.0, 15.0, 18.0, 21.0)
_PIECE = 2**21  # of log densities: 16 MB


@dataclasses.dataclass(frozen=True)
class NoiseChoice:
    """The noise of one layer.

    Attributes:
        deviation: s.
        information: I(X; Z) with it, by the form asked for.
        log_likelihood: mean log density of the features, in nats; NaN where it was not asked.
        ordered: whether the layer keeps at least what the next one keeps.
    """

    deviation: float
    information: MIResult
    log_likelihood: float = math.nan
    ordered: bool = True


def choose_noise(
    features: Mapping[str, Tensor],
    *,
    grid: Sequence[float] = GRID,
    form: str = "marginal",
    ref: int = 400,
    seed: int = 0,
) -> dict[str, NoiseChoice]:
    """The likeliest noise of each layer that keeps the order of data processing.

    Args:
        features: layer to `(N, d)`, of the same rows, from the input to the output.
        grid: deviations to choose from; by default the paper's.
        form: of the information and of the likelihood: marginal or jensen.
        ref: reference rows.
        seed: of references and noise, the same ones for all deviations and layers.

    Costs an N x ref product of d columns for each layer and deviation, twice.

    Raises:
        InvalidInput: no layer, unlike rows, an empty grid or a deviation not above 0, and as
            `sandwich_mi`.

    Example:
        >>> x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
        >>> found = choose_noise({"first": x, "last": x[:, :1]})
        >>> found["first"].deviation, found["last"].deviation, found["first"].ordered
        (0.5, 0.25, True)
    """
    if not grid or not all(0 < s < math.inf for s in grid):
        raise wrong("grid", list(grid), "deviations above 0")
    _same_rows(features)
    found: dict[str, NoiseChoice] = {}
    least = -math.inf
    for layer in reversed(list(features)):
        rows = features[layer]
        told = [sandwich_mi(rows, s, form=form, ref=ref, seed=seed) for s in grid]
        likely = [log_likelihood(rows, s, form=form, ref=ref, seed=seed) for s in grid]
        allowed = [i for i, one in enumerate(told) if one.value >= least]
        best = max(allowed or range(len(grid)), key=lambda i: likely[i])
        found[layer] = NoiseChoice(grid[best], told[best], likely[best], bool(allowed))
        least = told[best].value
    return {layer: found[layer] for layer in features}


def given_noise(
    features: Mapping[str, Tensor],
    deviations: Mapping[str, float],
    *,
    form: str = "marginal",
    ref: int = 400,
    seed: int = 0,
) -> dict[str, NoiseChoice]:
    """The same record for noise that was not chosen; order is looked at, not kept.

    Example:
        >>> x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
        >>> found = given_noise({"first": x, "last": x}, {"first": 1.0, "last": 0.1})
        >>> found["first"].ordered
        False
    """
    _same_rows(features)
    told = {
        layer: sandwich_mi(rows, deviations[layer], form=form, ref=ref, seed=seed)
        for layer, rows in features.items()
    }
    later = [*(one.value for one in list(told.values())[1:]), -math.inf]
    return {
        layer: NoiseChoice(deviations[layer], one, ordered=one.value >= after)
        for (layer, one), after in zip(told.items(), later, strict=True)
    }


def linear_noise(features: Mapping[str, Tensor], base: float) -> dict[str, float]:
    """Layer to s, s^2 = base times the largest activation.

    Raises:
        InvalidInput: a base not above 0; a layer without an activation above 0.

    Example:
        >>> linear_noise({"last": torch.tensor([[4.0], [1.0]])}, 0.25)
        {'last': 1.0}
    """
    if not 0 < base < math.inf:
        raise wrong("base", base, "a number above 0")
    found = {}
    for layer, rows in features.items():
        most = float(rows.max())
        if most <= 0:
            raise wrong(f"layer {layer!r}", f"activations up to {most:g}", "some above 0")
        found[layer] = math.sqrt(base * most)
    return found


def log_likelihood(
    features: Tensor, deviation: float, *, form: str = "marginal", ref: int = 400, seed: int = 0
) -> float:
    """Mean log density, in nats, of each row under the reference rows but itself.

    Args:
        features: `(N, d)`.
        deviation: of the noise.
        form: marginal takes the logarithm of the mean density; jensen the mean of logarithms.
        ref: reference rows.
        seed: of the references.

    Example:
        >>> round(log_likelihood(torch.zeros(3, 1), 1.0), 6)
        -0.918939
    """
    mean, std = checked_code(features, deviation)
    generator = own_source(seed)
    count = min(ref, len(mean))
    chosen = torch.randperm(len(mean), generator=generator)[:count].to(mean.device)
    total = 0.0
    for rows in torch.arange(len(mean), device=mean.device).split(max(1, _PIECE // count)):
        logs = log_densities(mean[rows], mean[chosen], std[chosen])
        own = rows[:, None] == chosen
        others = count - own.sum(1)
        if form == "marginal":
            logs = logs.masked_fill(own, -math.inf)
            total += float((torch.logsumexp(logs, 1) - others.log()).sum())
        else:
            total += float((logs.masked_fill(own, 0).sum(1) / others).sum())
    return total / len(mean)


def _same_rows(features: Mapping[str, Tensor]) -> None:
    if len({len(rows) for rows in features.values()}) != 1:
        found = {layer: len(rows) for layer, rows in features.items()}
        raise wrong("features", f"{found} rows", "layers, with the same rows")
