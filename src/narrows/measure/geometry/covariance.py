"""The covariance of features, taken in batch by batch.

Mean and scatter are merged as Chan, Golub and LeVeque (1979) do, in float64 whatever the model's
precision. Two streams merge into what one stream of all rows would hold.

Memory: `8 dim^2` bytes, and 256 rows in float64 while a batch is taken in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from narrows import store
from narrows.errors import FileRefused, wrong, wrong_type

_ROWS = 256  # turned to float64 at a time
_KIND = "covariance stream"


class CovarianceStream:
    """Mean and covariance of rows that come in batches.

    Args:
        dim: how many columns.
        device: where sums are kept; batches are moved there.

    Attributes:
        n: how many rows were taken in.
        weight: their total weight; n where none were given.
        mean: `(dim,)` float64.
        scatter: `(dim, dim)` float64, the weighted sum of outer products about the mean.

    Example:
        >>> stream = CovarianceStream(2).update(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
        >>> stream.n, stream.covariance().tolist()
        (2, [[1.0, 0.0], [0.0, 0.0]])
    """

    def __init__(self, dim: int, device: str | torch.device = "cpu") -> None:
        if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
            raise wrong("dim", repr(dim), "an integer >= 1")
        self.dim, self.n, self.weight = dim, 0, 0.0
        self.mean = torch.zeros(dim, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64, device=device)

    @classmethod
    def of_covariance(
        cls, covariance: Tensor, n: int, mean: Tensor | None = None
    ) -> CovarianceStream:
        """A stream that has seen n rows with this covariance (divided by n, not n - 1)."""
        if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
            raise wrong("covariance", f"shape {tuple(covariance.shape)}", "shape (dim, dim)")
        wide = covariance.detach().double()
        if not torch.allclose(wide, wide.T, rtol=1e-6, atol=1e-12 * float(wide.abs().max() + 1)):
            raise wrong("covariance", "a matrix that is not symmetric", "a covariance")
        stream = cls(len(wide), wide.device)
        stream.n, stream.weight, stream.scatter = n, float(n), (wide + wide.T) * (n / 2)
        if mean is not None:
            stream.mean = mean.detach().double().reshape(len(wide)).clone()
        return stream

    @torch.no_grad()
    def update(self, batch: Tensor, weights: Tensor | None = None) -> CovarianceStream:
        """Take in rows.

        Args:
            batch: `(rows, dim)`, or `(..., dim)` where each vector is a row.
            weights: `(rows,)`, at least 0, one a row; all 1 by default.

        Returns:
            The stream itself.

        Raises:
            InvalidType: no numbers.
            InvalidInput: another width, NaN or infinite values, negative weights; then nothing
                of the batch is taken in.
        """
        rows = _rows(batch, self.dim)
        weighing = None if weights is None else _weights(weights, len(rows))
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS].to(self.mean.device, torch.float64, copy=True)
            w = None if weighing is None else weighing[start : start + _ROWS].to(part.device)
            self._take(part, w)
        return self

    def _take(self, part: Tensor, w: Tensor | None) -> None:
        total = float(len(part)) if w is None else float(w.sum())
        self.n += len(part)
        if total == 0:
            return
        mean = part.mean(0) if w is None else w @ part / total
        part -= mean  # a copy already
        self.scatter.addmm_(part.T, part if w is None else part * w[:, None])
        self._shift(mean, total)

    def merge(self, other: CovarianceStream) -> CovarianceStream:
        """Take in all that another stream has seen; returns the stream itself."""
        if not isinstance(other, CovarianceStream):
            raise wrong_type("other", type(other).__name__, "a CovarianceStream")
        if other.dim != self.dim:
            raise wrong("other", f"{other.dim} columns", f"{self.dim}")
        self.n += other.n
        if other.weight:
            self.scatter += other.scatter.to(self.scatter.device)
            self._shift(other.mean.to(self.mean.device), other.weight)
        return self

    def _shift(self, mean: Tensor, weight: float) -> None:
        """Move to the common mean of what was there and of a part with this mean and weight."""
        total = self.weight + weight
        gap = mean - self.mean
        self.scatter.addr_(gap, gap, alpha=self.weight * weight / total)
        self.mean = self.mean + gap * (weight / total)
        self.weight = total

    def covariance(self) -> Tensor:
        """`(dim, dim)` float64, divided by the total weight."""
        self.require()
        return self.scatter / self.weight

    def second_moment(self) -> Tensor:
        """`(dim, dim)` float64, about zero instead of the mean."""
        return self.covariance() + torch.outer(self.mean, self.mean)

    def standardized(self) -> CovarianceStream:
        """The stream of the same rows with each column divided by its standard deviation.

        A separate measure: a few columns with large values no longer decide it.
        """
        self.require()
        deviation = (self.scatter.diagonal() / self.weight).sqrt()
        still = torch.nonzero(deviation == 0).flatten()
        if len(still):
            raise wrong("stream", f"column {int(still[0])} without variance", "columns that vary")
        stream = CovarianceStream(self.dim, self.mean.device)
        stream.n, stream.weight, stream.mean = self.n, self.weight, self.mean / deviation
        stream.scatter = self.scatter / deviation / deviation[:, None]
        return stream

    def require(self) -> None:
        """Refuse a stream whose rows have no spread: fewer than 2, or all alike."""
        if self.n < 2 or self.weight <= 0:
            raise wrong("features", f"{self.n} rows", "at least 2")
        size = float(self.scatter.diagonal().sum())
        # Equal rows leave the rounding of their mean behind.
        if size <= 1e-28 * self.weight * float(self.mean.square().sum()) or size == 0:
            raise wrong("features", "rows that are all equal", "rows that vary")

    def save(self, path: str | Path) -> None:
        """Write to a safetensors file."""
        tensors = {"mean": self.mean, "scatter": self.scatter}
        notes: dict[str, store.JSON] = {"kind": _KIND, "n": self.n, "weight": self.weight}
        store.save(path, tensors, notes)

    @classmethod
    def load(cls, path: str | Path) -> CovarianceStream:
        """Read what `save` wrote.

        Raises:
            FileRefused: another file, or a damaged one.
        """
        tensors, notes = store.load(path)
        if notes.get("kind") != _KIND or set(tensors) != {"mean", "scatter"}:
            raise FileRefused(f"{path}: no covariance stream")
        mean, scatter = tensors["mean"], tensors["scatter"]
        if mean.ndim != 1 or scatter.shape != (len(mean), len(mean)) or not _counts(notes):
            raise FileRefused(f"{path}: a covariance stream whose parts do not fit")
        store.check_finite(tensors)
        stream = cls(len(mean))
        stream.mean, stream.scatter = mean.double(), scatter.double()
        stream.n, stream.weight = int(notes["n"]), float(notes["weight"])
        return stream

    def __repr__(self) -> str:
        return f"CovarianceStream({self.dim} columns, {self.n:,} rows)"


def _counts(notes: Mapping[str, object]) -> bool:
    n, weight = notes.get("n"), notes.get("weight")
    return isinstance(n, int) and isinstance(weight, (int, float)) and n >= 0 and weight >= 0


def _rows(batch: Tensor, dim: int) -> Tensor:
    values = torch.as_tensor(batch).detach()
    if values.is_complex() or values.dtype == torch.bool:
        raise wrong_type("batch", values.dtype, "real numbers")
    if values.ndim < 2 or values.shape[-1] != dim:
        raise wrong("batch", f"shape {tuple(values.shape)}", f"shape (rows, {dim})")
    values = values.reshape(-1, dim)
    # A sum is finite unless a value is not, or the values are near the end of their range.
    if not values.sum().isfinite() and not values.isfinite().all():
        at = torch.nonzero(~values.isfinite())[0].tolist()
        raise wrong("batch", f"{values[tuple(at)]} at row {at[0]}, column {at[1]}", "finite")
    return values


def _weights(weights: Tensor, rows: int) -> Tensor:
    values = torch.as_tensor(weights).detach().double()
    if values.shape != (rows,):
        raise wrong("weights", f"shape {tuple(values.shape)}", f"shape ({rows},)")
    if not values.isfinite().all() or (values < 0).any():
        raise wrong("weights", "negative, NaN or infinite values", "finite values, at least 0")
    return values
