"""Linear probes from several inputs to the same targets, in two passes over batches.

First pass: second moments of each fold and of the held-out rows, of which the probes follow.
Second pass: squared errors of held-out rows, for standard errors alone.

With m the held-out mean of a target, e its errors and y = z - m, R² = 1 - sum e² / sum y². To first
order, one row moves R² by psi = ((1 - R²) y² - e²) / mean y², so that its standard error is the
deviation of psi over sqrt(rows); the mean of R² over layers moves by the mean of psi.

Memory: `8 (folds + 1) (d^2 + d k)` bytes a layer, and one batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.complexity.parts import HELD
from narrows.measure.complexity.ridge import Probe, fit_ridge
from narrows.measure.complexity.streams import CrossStream

Batches = Iterable[Mapping[str, Tensor]]


@dataclasses.dataclass(frozen=True)
class Probed:
    """Held-out probes.

    Attributes:
        layers: the inputs, in order.
        r2: `(layers, k)` on held-out rows; below 0 where a probe is worse than the mean.
        stderr: `(layers, k)` standard errors of R².
        mean_stderr: `(k,)` of the mean over layers of max(R², 0), whose rows are the same.
        variance: `(k,)` of the targets on held-out rows.
        alpha: `(layers, k)` the penalties chosen.
        dims: columns of each layer.
        held: how many rows were held out.
        trained: how many rows trained.
    """

    layers: tuple[str, ...]
    r2: Tensor
    stderr: Tensor
    mean_stderr: Tensor
    variance: Tensor
    alpha: Tensor
    dims: tuple[int, ...]
    held: int
    trained: int


def probe_layers(batches: Batches, z: Tensor, parts: Tensor, alphas: Sequence[float]) -> Probed:
    """Probe all layers for all targets.

    Args:
        batches: gone through twice, in the same order; each maps layer to `(rows, d)`.
        z: `(n, k)` targets of all rows, in that order.
        parts: `(n,)` fold of each row, -1 for held out.
        alphas: penalties to choose from.

    Raises:
        InvalidInput: layers that come and go or have no rows for some of z, widths that change,
            NaN or infinite values.
    """
    streams = _first_pass(batches, z, parts)
    probes = {layer: fit_ridge(own[1:], alphas) for layer, own in streams.items()}
    held = {layer: own[0] for layer, own in streams.items()}
    spread = next(iter(held.values()))
    variance = spread.z_scatter / spread.n
    r2 = torch.stack([1 - held[n].errors(p.weight, p.bias) / variance for n, p in probes.items()])
    stderr, mean_stderr = _second_pass(batches, z, parts, probes, r2, spread)
    return Probed(
        layers=tuple(probes),
        r2=r2,
        stderr=stderr,
        mean_stderr=mean_stderr,
        variance=variance,
        alpha=torch.stack([p.alpha for p in probes.values()]),
        dims=tuple(len(p.weight) for p in probes.values()),
        held=spread.n,
        trained=len(z) - spread.n,
    )


def _first_pass(batches: Batches, z: Tensor, parts: Tensor) -> dict[str, list[CrossStream]]:
    """For each layer the stream of held-out rows, then one a fold."""
    streams: dict[str, list[CrossStream]] = {}
    count = int(parts.max()) + 2
    for found, rows in _aligned(batches, len(z)):
        if not streams:
            streams = {
                layer: [CrossStream(h.shape[1], z.shape[1], h.device) for _ in range(count)]
                for layer, h in found.items()
            }
        if found.keys() != streams.keys():
            raise wrong("layers", f"{sorted(found)} in a batch", f"{sorted(streams)} in all")
        part = parts[rows]
        for layer, h in found.items():
            for i in range(count):
                own = (part == i + HELD).to(h.device)
                streams[layer][i].update(h[own], z[rows].to(h.device)[own])
    return streams


def _second_pass(
    batches: Batches,
    z: Tensor,
    parts: Tensor,
    probes: Mapping[str, Probe],
    r2: Tensor,
    spread: CrossStream,
) -> tuple[Tensor, Tensor]:
    layers, k = r2.shape
    square = torch.zeros(layers, k, dtype=torch.float64, device=r2.device)
    mean_square = torch.zeros(k, dtype=torch.float64, device=r2.device)
    counted = (r2 > 0).double()  # clipped values do not move
    mean, variance = spread.z_mean, spread.z_scatter / spread.n
    for found, rows in _aligned(batches, len(z)):
        own = parts[rows] == HELD
        if not own.any():
            continue
        target = z[rows][own].to(r2)
        y = (target - mean).square()
        total = torch.zeros_like(y)
        for i, (layer, probe) in enumerate(probes.items()):
            h = found[layer][own.to(found[layer].device)].to(probe.weight)
            error = (target - h @ probe.weight - probe.bias).square()
            moved = ((1 - r2[i]) * y - error) / variance
            square[i] += moved.square().sum(0)
            total += counted[i] * moved
        mean_square += (total / layers).square().sum(0)
    n = spread.n  # psi has mean 0 by construction
    return (square / (n - 1) / n).sqrt(), (mean_square / (n - 1) / n).sqrt()


def _aligned(batches: Batches, n: int) -> Iterable[tuple[Mapping[str, Tensor], slice]]:
    """Batches and the rows of z they belong to."""
    start = 0
    for found in batches:
        if not found:
            raise wrong("layers", "none", "at least one")
        lengths = {layer: len(h) for layer, h in found.items()}
        size = next(iter(lengths.values()))
        if len(set(lengths.values())) > 1 or start + size > n:
            raise wrong("layers", f"rows {lengths} after {start}", f"as many as Z has, {n}, in all")
        for layer, h in found.items():
            if h.ndim != 2 or not h.is_floating_point():
                found_as = f"{h.dtype} of shape {tuple(h.shape)}"
                raise wrong(f"layer {layer!r}", found_as, "floating numbers (rows, d)")
            if not h.isfinite().all():
                raise wrong(f"layer {layer!r}", "NaN or infinite values", "finite ones")
        yield found, slice(start, start + size)
        start += size
    if start != n:
        raise wrong("layers", f"{start} rows", f"as many as Z has, {n}")
