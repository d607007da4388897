"""Is a feature held by few units or by many, and does noise on the input move it?

Redundancy: how well a feature is still told by a layer of which only a random share of units is
left, as linear CKA and as R² of the least-squares probe. Robustness: the variance of a feature
under Gaussian noise on the input, as a share of its variance over inputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.complexity.flow import cka_of
from narrows.measure.complexity.inputs import layer_batches, matrix
from narrows.measure.complexity.ridge import fit_ridge
from narrows.measure.complexity.streams import CrossStream


@dataclasses.dataclass(frozen=True)
class Redundancy:
    """What is left of features when units go.

    Attributes:
        shares: of units left.
        cka: `(shares, k)` mean over draws of linear CKA of the units left with each feature.
        r2: `(shares, k)` the same of R² on held-out rows, not below 0.
        deviation: `(shares, k)` of that R² over draws of units.
    """

    shares: tuple[float, ...]
    cka: Tensor
    r2: Tensor
    deviation: Tensor

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        tensors = {k: getattr(self, k).tolist() for k in ("cka", "r2", "deviation")}
        return {"shares": list(self.shares), **tensors}


def redundancy(
    x: Any,
    Z: Any,
    *,
    generator: torch.Generator,
    shares: Sequence[float] = (0.1, 0.25, 0.5, 0.75, 1.0),
    draws: int = 10,
    holdout: float = 0.3,
    ridge: float = 1e-3,
) -> Redundancy:
    """How well random parts of a layer still tell each feature.

    Memory: `16 (d^2 + d k)` bytes; a part of the units is a part of the second moments, so no
    row is looked at twice.

    Args:
        x: `(n, d)` the layer.
        Z: `(n, k)` features.
        generator: of the draws of units and of held-out rows, on the CPU.
        shares: of units left, in (0, 1].
        draws: how many parts a share.
        holdout: share of rows on which the probes are held to account.
        ridge: penalty of the probes; columns of x are standardised.

    Raises:
        InvalidType: no numbers.
        InvalidInput: shares outside (0, 1], fewer than 2 draws, features without variance, as
            `linear_cka` otherwise.

    Example:
        >>> x = torch.randn(500, 1, generator=torch.Generator().manual_seed(0)).expand(-1, 10)
        >>> found = redundancy(x, x[:, :1], generator=torch.Generator().manual_seed(0))
        >>> found.cka.min().item() > 0.99
        True
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise wrong("shares", list(shares), "at least one, each in (0, 1]")
    if draws < 2:
        raise wrong("draws", draws, "at least 2")
    if not 0 < holdout < 1:
        raise wrong("holdout", holdout, "a share between 0 and 1")
    z = matrix("Z", Z)
    held = torch.rand(len(z), generator=generator) < holdout
    train, test = _two(x, z, held)
    for name, part in (("training", train), ("held-out", test)):
        if part.n < 2 or bool((part.z_scatter <= 0).any()):
            raise wrong("Z", f"a feature without variance in {name} rows", "features that vary")
    cka, r2 = [], []
    for share in shares:
        found = []
        size = max(1, round(share * train.x.dim))
        for _ in range(draws):
            units = torch.randperm(train.x.dim, generator=generator)[:size]
            left, judge = _of_units(train, units), _of_units(test, units)
            probe = fit_ridge([left], [ridge])
            error = judge.errors(probe.weight, probe.bias) / (judge.z_scatter / judge.n)
            found.append((cka_of(left), (1 - error).clamp(min=0)))
        cka.append(torch.stack([one for one, _ in found]))
        r2.append(torch.stack([one for _, one in found]))
    measured = torch.stack(r2)
    return Redundancy(tuple(shares), torch.stack(cka).mean(1), measured.mean(1), measured.std(1))


def robustness(
    encode: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    generator: torch.Generator,
    sigmas: Sequence[float] = (0.01, 0.03, 0.1, 0.3),
    draws: int = 10,
) -> Tensor:
    """`(sigmas, k)` variance of features under noise, over their variance across inputs.

    0 for a feature that noise does not move, about 1 for one that is nothing but noise.

    Args:
        encode: from inputs to features `(n, k)`: the model up to the penultimate layer, and the
            dictionary's codes of it.
        x: `(n, ...)` inputs.
        generator: of the noise, on the CPU.
        sigmas: standard deviations of Gaussian noise on the input.
        draws: of noise, for each input.

    Raises:
        InvalidInput: negative deviations, fewer than 2 draws, features of another shape, without
            variance, NaN or infinite.

    Example:
        >>> x = torch.tensor([[0.0], [2.0]])
        >>> robustness(lambda x: x, x, generator=torch.Generator(), sigmas=[0.0]).tolist()
        [[0.0]]
    """
    if not sigmas or not all(0 <= s < float("inf") for s in sigmas):
        raise wrong("sigmas", list(sigmas), "at least one, finite and >= 0")
    if draws < 2:
        raise wrong("draws", draws, "at least 2")
    plain = matrix("features", encode(x))
    across = plain.var(0, correction=0)
    if len(plain) != len(x) or bool((across <= 0).any()):
        raise wrong("features", f"shape {tuple(plain.shape)}", "a row an input, columns that vary")
    rows = []
    for sigma in sigmas:
        mean, scatter = torch.zeros_like(plain), torch.zeros_like(plain)
        for i in range(draws):
            noise = torch.randn(x.shape, generator=generator).to(x)
            z = matrix("features", encode(x + sigma * noise))
            gap = z - mean  # Welford's update: no draw is kept
            mean = mean + gap / (i + 1)
            scatter += gap * (z - mean)
        rows.append((scatter / (draws - 1)).mean(0) / across)
    return torch.stack(rows)


def _two(x: Any, z: Tensor, held: Tensor) -> tuple[CrossStream, CrossStream]:
    streams: list[CrossStream] = []
    start = 0
    for found in layer_batches({"x": x}):
        h = found["x"]
        rows = slice(start, start + len(h))
        streams = streams or [CrossStream(h.shape[1], z.shape[1], h.device) for _ in range(2)]
        for stream, own in zip(streams, (~held[rows], held[rows]), strict=True):
            stream.update(h[own.to(h.device)], z[rows][own].to(h.device))
        start += len(h)
    if start != len(z):
        raise wrong("x", f"{start} rows", f"as many as Z has, {len(z)}")
    return streams[0], streams[1]


def _of_units(stream: CrossStream, units: Tensor) -> CrossStream:
    """What a stream of these columns alone would hold."""
    units = units.to(stream.cross.device)
    part = CrossStream(len(units), stream.cross.shape[1], stream.cross.device)
    part.x.n, part.x.weight, part.x.mean = stream.x.n, stream.x.weight, stream.x.mean[units]
    part.x.scatter = stream.x.scatter[units][:, units]
    part.z_mean, part.z_scatter, part.cross = stream.z_mean, stream.z_scatter, stream.cross[units]
    return part
