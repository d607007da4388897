"""What a linear probe needs to know of its rows, taken in batch by batch.

Means, covariances and cross-covariances of inputs x `(rows, d)` and targets z `(rows, k)`, merged
as Chan, Golub and LeVeque (1979) do, in float64. From them alone follow the least-squares probe,
its ridge relatives and the error of any linear probe on these rows.

Memory: `8 (d^2 + d k)` bytes; no row is kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.geometry import CovarianceStream


class CrossStream:
    """Second moments of inputs and targets.

    Args:
        d: columns of inputs.
        k: columns of targets.
        device: where sums are kept; batches are moved there.

    Attributes:
        x: covariance of the inputs.
        z_mean: `(k,)` float64.
        z_scatter: `(k,)` sum of squares of each target about its mean.
        cross: `(d, k)` sum of products about the means.

    Example:
        >>> x, z = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]])
        >>> stream = CrossStream(1, 1).update(x, z)
        >>> stream.n, stream.cross.item(), stream.z_scatter.item()
        (2, 2.0, 2.0)
    """

    def __init__(self, d: int, k: int, device: str | torch.device = "cpu") -> None:
        self.x = CovarianceStream(d, device)
        self.z_mean = torch.zeros(k, dtype=torch.float64, device=device)
        self.z_scatter = torch.zeros_like(self.z_mean)
        self.cross = torch.zeros(d, k, dtype=torch.float64, device=device)

    @property
    def n(self) -> int:
        """How many rows were taken in."""
        return self.x.n

    @torch.no_grad()
    def update(self, x: Tensor, z: Tensor) -> CrossStream:
        """Take in rows `(rows, d)` and `(rows, k)`; returns the stream itself.

        Raises:
            InvalidInput: other widths, unequal lengths, NaN or infinite values.
        """
        if len(x) != len(z):
            raise wrong("z", f"{len(z)} rows", f"{len(x)}, as x has")
        if len(x) == 0:
            return self
        if z.ndim != 2 or z.shape[1] != len(self.z_mean):
            raise wrong("z", f"shape {tuple(z.shape)}", f"shape (rows, {len(self.z_mean)})")
        before = self.x.mean.clone(), self.x.n
        self.x.update(x)  # refuses what is not finite
        wide_x, wide_z = (v.to(self.cross.device, torch.float64) for v in (x, z))
        x_mean, z_mean = wide_x.mean(0), wide_z.mean(0)
        wide_z = wide_z - z_mean
        self.cross.addmm_((wide_x - x_mean).T, wide_z)
        self.z_scatter += wide_z.square().sum(0)
        self._shift(before, x_mean, z_mean, len(x))
        return self

    def merge(self, other: CrossStream) -> CrossStream:
        """Take in all that another stream has seen; returns the stream itself."""
        if other.n == 0:
            return self
        before = self.x.mean.clone(), self.x.n
        self.x.merge(other.x)
        self.cross += other.cross
        self.z_scatter += other.z_scatter
        self._shift(before, other.x.mean, other.z_mean, other.n)
        return self

    def _shift(self, before: tuple[Tensor, int], x: Tensor, z: Tensor, n: int) -> None:
        """Move to the common means of what was there and of n rows with these means."""
        mean, had = before
        gap_x, gap_z = x - mean, z - self.z_mean
        self.cross.addr_(gap_x, gap_z, alpha=had * n / (had + n))
        self.z_scatter += gap_z.square() * (had * n / (had + n))
        self.z_mean = self.z_mean + gap_z * (n / (had + n))

    def errors(self, weight: Tensor, bias: Tensor) -> Tensor:
        """`(k,)` mean squared error on these rows of the probe `x @ weight + bias`."""
        offset = self.z_mean - self.x.mean @ weight - bias
        explained = (weight * (self.x.scatter @ weight)).sum(0) - 2 * (weight * self.cross).sum(0)
        return ((self.z_scatter + explained) / self.n + offset.square()).clamp(min=0)


def together(streams: list[CrossStream]) -> CrossStream:
    """One stream of all that several have seen."""
    d, k = streams[0].cross.shape
    whole = CrossStream(d, k, streams[0].cross.device)
    for stream in streams:
        whole.merge(stream)
    return whole
