"""How much a layer tells of its input and of the label, as far as one can say at all.

A layer T is a function of the input X, and for continuous activations its true information is
that of the input, whatever training does. A number below that comes from a choice:

`FixedBins`      T is rounded to cells, `I(X;T) = H(cells)` as T is a function of X, and
                 `I(T;Y) = H(cells) - sum_y p(y) H(cells | y)`.
`MixtureBounds`  noise N(0, s2) is added. T is then a mixture of P equal Gaussians, and with D_ij
                 the squared distance of activations i and j (Kolchinsky and Tracey 2017)
                 `H(-) = -mean_i log mean_j exp(-D_ij / (2 s2))` bounds I(X;T) from above and
                 the same with 8 s2 from below; `I(T;Y) = H - sum_y p(y) H(. | y)` is a
                 difference of bounds, itself no bound.

All in nats, over the P rows given, each of the same weight. No value can pass log P, the ceiling.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.errors import wrong, wrong_type
from narrows.measure.mi.discrete import plugin

Ints = NDArray[np.int64]
_PAIRS = 2**20  # of distances at a time: 8 MiB of float64
_ALONE = 0.5  # share of points alone in their cell that deserves a warning


@dataclasses.dataclass(frozen=True)
class LayerInformation:
    """One layer's place in the plane.

    Attributes:
        xt: I(X;T) in nats.
        ty: I(T;Y) in nats.
        ceiling: the largest I(X;T) this many rows can show, log P.
        warnings: what a reader must know before trusting the values.
    """

    xt: float
    ty: float
    ceiling: float
    warnings: tuple[str, ...] = ()


class LayerEstimator(Protocol):
    """What the plane asks of an estimator."""

    def encode(self, t: Tensor) -> Tensor:
        """What must be kept of activations `(rows, d)`, of one batch."""

    def measure(self, kept: Tensor, labels: Tensor) -> LayerInformation:
        """The place in the plane, from all that was kept, `(P, ...)`, and codes `(P,)`."""


@dataclasses.dataclass(frozen=True)
class FixedBins:
    """Cells of equal width with fixed ends, one grid for each unit.

    `edges` edges from low to high make `edges - 1` cells; values outside fall into the outer
    cells. The public code of the paper gives the value `high` itself a cell of its own; here it
    shares the last. Fixed ends suit bounded units such as tanh. Rectified units leave the range,
    and all that is above it becomes one cell: see `RangeBins`.

    Args:
        edges: how many; the 30 of the paper make 29 cells.
        low: of the range.
        high: of the range.

    Example:
        >>> t = torch.tensor([[-0.9], [0.0], [0.01], [0.9]])
        >>> FixedBins(30).measure(FixedBins(30).encode(t), torch.tensor([0, 0, 1, 1])).xt
        1.0397207708399179
    """

    edges: int = 30
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.edges, bool) or not isinstance(self.edges, int) or self.edges < 2:
            raise wrong("edges", repr(self.edges), "an integer >= 2")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise wrong("low, high", f"{self.low}, {self.high}", "finite, low < high")

    def encode(self, t: Tensor) -> Tensor:
        """Cells `(rows, d)` packed into `(rows, words)` int64, exactly."""
        edges = torch.linspace(self.low, self.high, self.edges, dtype=t.dtype, device=t.device)
        cells = torch.bucketize(t.contiguous(), edges[1:-1].contiguous(), right=True)
        return pack(cells, max(self.edges - 1, 2))

    def measure(self, kept: Tensor, labels: Tensor) -> LayerInformation:
        """The place of packed cells."""
        return of_cells(codes_of(kept), labels.cpu().numpy())


@dataclasses.dataclass(frozen=True)
class WidthBins:
    """Cells of one width without ends, `floor(t / width)`: the other grid in public code.

    Args:
        width: of a cell.
    """

    width: float = 0.07

    def __post_init__(self) -> None:
        if not (math.isfinite(self.width) and self.width > 0):
            raise wrong("width", self.width, "a positive number")

    def encode(self, t: Tensor) -> Tensor:
        """Cells, `(rows, d)`."""
        return (t.double() / self.width).floor().to(torch.int64)

    def measure(self, kept: Tensor, labels: Tensor) -> LayerInformation:
        """The place of cells `(P, d)`."""
        least = kept.amin(0)
        return of_cells(
            codes_of(pack(kept - least, int((kept - least).max()) + 2)), labels.cpu().numpy()
        )


@dataclasses.dataclass(frozen=True)
class RangeBins:
    """Cells of equal width over the range the layer has at that moment; for rectified units.

    The grid moves with the layer: a change of scale alone changes nothing.

    Args:
        edges: how many.
    """

    edges: int = 30

    def __post_init__(self) -> None:
        FixedBins(self.edges)

    def encode(self, t: Tensor) -> Tensor:
        """Activations as they are: the range is known at the end only."""
        return t

    def measure(self, kept: Tensor, labels: Tensor) -> LayerInformation:
        """The place of activations `(P, d)`."""
        low, high = float(kept.min()), float(kept.max())
        bins = FixedBins(self.edges, low, high if low < high else low + 1)
        return bins.measure(bins.encode(kept), labels)


@dataclasses.dataclass(frozen=True)
class MixtureBounds:
    """Kolchinsky and Tracey's bounds for a layer with added Gaussian noise.

    Cost: one exponential for each of P^2 pairs. Memory: 8 MiB of distances at a time.

    Args:
        variance: s2 of the noise, 1e-3 for tanh layers in Saxe et al. (2018).
        bound: `upper`, as is drawn there, or `lower`.
    """

    variance: float = 1e-3
    bound: str = "upper"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.variance) and self.variance > 0):
            raise wrong("variance", self.variance, "a positive number")
        if self.bound not in ("upper", "lower"):
            raise wrong("bound", repr(self.bound), "'upper' or 'lower'")

    def encode(self, t: Tensor) -> Tensor:
        """Activations as they are."""
        return t

    def measure(self, kept: Tensor, labels: Tensor) -> LayerInformation:
        """The place of activations `(P, d)`."""
        scale = (2 if self.bound == "upper" else 8) * self.variance
        whole, within = _mixture(kept, labels, scale)
        ceiling = math.log(len(kept))
        notes = () if whole < 0.99 * ceiling else (_ceiling("points are all apart"),)
        return LayerInformation(min(whole, ceiling), whole - within, ceiling, notes)


def mixture_bounds(t: Tensor, variance: float) -> tuple[float, float]:
    """Lower and upper bound of I(X;T) in nats, T the activations `(P, d)` plus Gaussian noise."""
    labels = torch.zeros(len(t), dtype=torch.int64)
    return tuple(  # type: ignore[return-value]  # a pair of the two bounds
        MixtureBounds(variance, bound).measure(t, labels).xt for bound in ("lower", "upper")
    )


def mixture_information(
    t: Tensor, variance: float, draws: int, generator: torch.Generator
) -> tuple[float, float]:
    """I(X;T) of activations plus Gaussian noise by simulation, and its standard error, in nats.

    Without bias: the mean of `log p(t | x) - log p(t)` over drawn x and noise, with the exact
    density of the mixture.

    Args:
        t: `(P, d)` activations, each of weight 1/P.
        variance: of the noise.
        draws: how many.
        generator: on the CPU.
    """
    MixtureBounds(variance)
    points = _points(t).double().cpu()
    points = points - points.mean(0)
    chosen = torch.randint(len(points), (draws,), generator=generator)
    noise = torch.randn(draws, points.shape[1], generator=generator, dtype=torch.float64)
    found = []
    for rows in torch.arange(draws).split(max(1, _PAIRS // len(points))):
        y = points[chosen[rows]] + variance**0.5 * noise[rows]
        logs = -_squared(y, points) / (2 * variance)
        own = -noise[rows].square().sum(1) / 2
        found.append(own - logs.logsumexp(1) + math.log(len(points)))
    values = torch.cat(found)
    return float(values.mean()), float(values.std()) / draws**0.5


def of_cells(codes: Ints, labels: Ints) -> LayerInformation:
    """The place of a layer that is known by one cell a row."""
    counts = np.bincount(codes)
    whole, alone = plugin(counts), float((counts[codes] == 1).mean())
    joint = np.unique(codes * (labels.max() + 1) + labels, return_counts=True)[1]
    classes = np.bincount(labels)
    # H(T | Y) = H(T, Y) - H(Y)
    within = plugin(joint) - plugin(classes[classes > 0])
    notes: tuple[str, ...] = ()
    if alone > _ALONE:
        notes = (_ceiling(f"{100 * alone:.0f} % of points are alone in their cell"),)
    return LayerInformation(whole, max(whole - within, 0.0), math.log(len(codes)), notes)


def pack(cells: Tensor, base: int) -> Tensor:
    """Numbers below a base, `(rows, d)`, as digits of as few int64 words as hold them."""
    digits = max(1, int(62 / math.log2(base)))
    powers = base ** torch.arange(digits, dtype=torch.int64, device=cells.device)
    parts = cells.to(torch.int64).split(digits, dim=1)
    return torch.stack([(part * powers[: part.shape[1]]).sum(1) for part in parts], dim=1)


def codes_of(words: Tensor) -> Ints:
    """`(P,)` one code a row of `(P, words)`; equal rows, and only they, share a code."""
    columns = words.cpu().numpy().T
    codes: Ints = np.unique(columns[0], return_inverse=True)[1]
    for column in columns[1:]:
        more = np.unique(column, return_inverse=True)[1]
        codes = np.unique(codes * (more.max() + 1) + more, return_inverse=True)[1]
    return codes


def _mixture(t: Tensor, labels: Tensor, scale: float) -> tuple[float, float]:
    """The bound of all points, and the mean over classes of the bound within them."""
    points, labels = _points(t).double(), labels.to(t.device)
    points = points - points.mean(0)  # distances then keep their digits
    member = torch.nn.functional.one_hot(labels).double()
    sizes = member.sum(0)
    whole = within = 0.0
    for rows in torch.arange(len(points), device=t.device).split(max(1, _PAIRS // len(points))):
        # Below exp(-700) nothing counts, and processors take six times as long over it.
        kernel = _squared(points[rows], points).div_(-scale).clamp_(min=-700).exp_()
        sums = kernel @ member  # each point's kernel with itself is 1: no logarithm of 0
        own = sums.gather(1, labels[rows, None])[:, 0] / sizes[labels[rows]]
        whole -= float((sums.sum(1) / len(points)).log().sum())
        within -= float(own.log().sum())
    return whole / len(points), within / len(points)


def _squared(a: Tensor, b: Tensor) -> Tensor:
    found = a.square().sum(1)[:, None] + b.square().sum(1)
    return found.addmm_(a, b.T, alpha=-2).clamp_(min=0)


def _points(t: Tensor) -> Tensor:
    if not t.is_floating_point():
        raise wrong_type("activations", t.dtype, "a floating dtype")
    if t.ndim != 2 or len(t) < 2:
        raise wrong("activations", f"shape {tuple(t.shape)}", "shape (P, d) with P >= 2")
    return t.detach()


def _ceiling(why: str) -> str:
    return f"{why}: the estimate is at its ceiling"
