"""Cells and noise that follow the layer: the information plane of units without bounds.

After Chelombiev, Houghton and O'Donnell (ICLR 2019, arXiv 1902.09037). Cells from -1 to 1 and
noise of a fixed variance call the same activity compressed or not by its scale alone. Here both
are set anew from the layer's activity at each epoch:

`AdaptiveBins`   (entropy-based adaptive binning, EBAB) all units over all inputs are pooled, and
                 the B cells hold equal counts of the distinct levels u_1 < ... < u_U, not of the
                 values: the zeros of rectified units are one level and so take one cell at most.
                 Of U levels, level i falls into cell floor(i B / U); with U < B each level has a
                 cell of its own. Ties never straddle an edge. Edges lie midway between levels.
`AdaptiveNoise`  (adaptive KDE) the bounds of Kolchinsky and Tracey for T plus noise of variance
                 s0 max|t|^2, s0 max|t|, or s0 var(t).

How to read them. The measuring grid moves with the layer: weights that grow no longer raise
I(X;T), so a fall now also says that activity concentrates relative to its own range, and the
difference of two epochs mixes a change of T with one of the grid (`AdaptiveBins.fit` keeps a grid
for comparison). A strictly increasing map of all units changes nothing for the cells, so t and
tanh(t) are alike to them.

The paper is silent on edges between levels and on what of max|t| scales the variance; the numbers
B = 30 and s0 = 1e-3 are settings.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type
from narrows.measure.watching.estimators import (
    LayerInformation,
    MixtureBounds,
    codes_of,
    of_cells,
    pack,
)

SCOPES = ("layer", "unit")
SCALES = ("max2", "max", "std2")


@dataclasses.dataclass(frozen=True, eq=False)
class FittedBins:
    """Cells with edges that stay: what `AdaptiveBins.fit` gives.

    It is an estimator for the plane too, of the one layer it was fitted on: the ablation in which
    only T moves. A plane may hold several layers, so give such a layer a plane of its own.

    Attributes:
        edges: `(1, most)` of the layer, or `(d, most)` of each unit, rising; infinite where a
            unit has fewer.
        levels: the fewest distinct values an edge set was made from.
        bins: how many cells were asked for.
    """

    edges: Tensor
    levels: int
    bins: int

    def transform(self, t: Tensor) -> Tensor:
        """Cell numbers `(rows, d)`, from 0 on, of activations `(rows, d)`.

        Values outside those seen at the fit fall into the outer cells.
        """
        values = _activations(t)
        wide = len(self.edges)
        if wide > 1 and values.shape[1] != wide:
            raise wrong("t", f"{values.shape[1]} units", f"the {wide} units the edges are of")
        flat = (values if wide > 1 else values.reshape(-1, 1)).T.contiguous()
        found = torch.searchsorted(self.edges.to(values.device), flat, right=True)
        return found.T.reshape(values.shape)

    def encode(self, t: Tensor) -> Tensor:
        """Cells packed into `(rows, words)` int64, exactly."""
        return pack(self.transform(t), max(self.edges.shape[1] + 1, 2))

    def measure(self, kept: Tensor, labels: Tensor) -> LayerInformation:
        """The place of packed cells."""
        found = of_cells(codes_of(kept), labels.cpu().numpy())
        if self.levels >= self.bins:
            return found
        note = f"{self.levels} distinct values for {self.bins} cells: each has a cell of its own"
        return dataclasses.replace(found, warnings=(*found.warnings, note))


@dataclasses.dataclass(frozen=True)
class AdaptiveBins:
    """Cells with equal counts of distinct levels, set anew at each epoch (EBAB).

    One sort of the pooled activations. Memory: about six times the activations in float64.

    Args:
        bins: how many cells, B.
        scope: `layer` for one set of edges over all units, as in the paper; `unit` for each
            unit's own.

    Raises:
        InvalidInput: fewer than 2 bins, another scope; activations that are not finite.

    Example:
        >>> t = torch.tensor([[0.0], [0.0], [0.0], [1.0], [5.0], [90.0]])
        >>> AdaptiveBins(2).fit(t).transform(t).T
        tensor([[0, 0, 0, 0, 1, 1]])
    """

    bins: int = 30
    scope: str = "layer"

    def __post_init__(self) -> None:
        if isinstance(self.bins, bool) or not isinstance(self.bins, int) or self.bins < 2:
            raise wrong("bins", repr(self.bins), "an integer >= 2")
        if self.scope not in SCOPES:
            raise wrong("scope", repr(self.scope), "'layer' or 'unit'")

    def fit(self, t: Tensor) -> FittedBins:
        """Edges from activations `(rows, d)`."""
        values = _activations(t)
        ranked = (values if self.scope == "unit" else values.reshape(-1, 1)).sort(0).values
        step = ranked[1:] != ranked[:-1]
        level = torch.cat([torch.zeros_like(ranked[:1], dtype=torch.int64), step.cumsum(0)])
        levels = level[-1] + 1
        cell = level * levels.clamp(max=self.bins) // levels
        edges = _edges(ranked, cell)
        return FittedBins(edges, int(levels.min()), self.bins)

    def encode(self, t: Tensor) -> Tensor:
        """Activations as they are: the levels are known at the end only."""
        return t

    def measure(self, kept: Tensor, labels: Tensor) -> LayerInformation:
        """The place of activations `(P, d)`."""
        fitted = self.fit(kept)
        return fitted.measure(fitted.encode(kept), labels)


@dataclasses.dataclass(frozen=True)
class AdaptiveNoise:
    """Kolchinsky and Tracey's bounds with noise in proportion to the layer's activity (aKDE).

    Cost and memory as `MixtureBounds`.

    Args:
        factor: s0, of the noise.
        scale: of what: `max2`, the square of the largest |t| of the layer, so that a change of
            scale alone changes nothing; `max`, the largest |t| itself, as the paper may be read;
            `std2`, the variance of all activations.
        bound: `upper`, as is drawn in the paper, or `lower`.
        quantile: of |t|, in place of its maximum, which one outlier decides. Where it is 0 the
            maximum is taken, with a warning.

    Raises:
        InvalidInput: settings out of range; activations that are not finite.

    Example:
        >>> t, y = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([0, 1, 1])
        >>> AdaptiveNoise(0.1).measure(t, y).xt == AdaptiveNoise(0.1).measure(1024 * t, y).xt
        True
    """

    factor: float = 1e-3
    scale: str = "max2"
    bound: str = "upper"
    quantile: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise wrong("factor", self.factor, "a positive number")
        if self.scale not in SCALES:
            raise wrong("scale", repr(self.scale), f"one of {', '.join(SCALES)}")
        if not 0 < self.quantile <= 1:
            raise wrong("quantile", self.quantile, "above 0, at most 1")
        MixtureBounds(1.0, self.bound)

    def encode(self, t: Tensor) -> Tensor:
        """Activations as they are."""
        return t

    def variance(self, t: Tensor) -> float:
        """The noise's variance for activations `(P, d)`; 0 where all of them are 0 or alike."""
        values = _activations(t)
        if self.scale == "std2":
            return self.factor * float(values.var(correction=0))
        size = _quantile(values.abs(), self.quantile) or float(values.abs().max())
        return self.factor * (size if self.scale == "max" else size**2)

    def measure(self, kept: Tensor, labels: Tensor) -> LayerInformation:
        """The place of activations `(P, d)`."""
        values = _activations(kept)
        top = float(values.abs().max())
        if bool((values == values[:1]).all()):
            return LayerInformation(0.0, 0.0, math.log(len(kept)), ("all rows are alike",))
        # Against 1 as the largest value, no square overflows.
        unit = values / top
        own = self.variance(values) / top**2 if self.scale == "max" else self.variance(unit)
        found = MixtureBounds(own, self.bound).measure(unit, labels)
        if self.scale == "std2" or _quantile(unit.abs(), self.quantile) > 0:
            return found
        note = f"the {self.quantile:g} quantile of |t| is 0: the maximum scales the noise"
        return dataclasses.replace(found, warnings=(*found.warnings, note))


def _edges(ranked: Tensor, cell: Tensor) -> Tensor:
    """`(columns, most)` midpoints where sorted values `(rows, columns)` pass from cell to cell."""
    turn = cell[1:] != cell[:-1]
    most = int(cell[-1].max())
    edges = ranked.new_full((ranked.shape[1], most), math.inf)
    row, column = turn.nonzero(as_tuple=True)
    low, high = ranked[row, column], ranked[row + 1, column]
    middle = low / 2 + high / 2
    # Between two neighbouring floats there is nothing: the upper one is then the edge.
    edges[column, cell[row, column]] = torch.where(middle > low, middle, high)
    return edges


def _quantile(sizes: Tensor, share: float) -> float:
    """The value that at least this share of all values do not pass."""
    flat = sizes.flatten()
    return float(flat.kthvalue(max(1, math.ceil(share * flat.numel()))).values)


def _activations(t: Tensor) -> Tensor:
    if not isinstance(t, Tensor) or not t.is_floating_point():
        kind = t.dtype if isinstance(t, Tensor) else type(t).__name__
        raise wrong_type("activations", kind, "a tensor of a floating dtype")
    if t.ndim != 2 or t.numel() == 0:
        raise wrong("activations", f"shape {tuple(t.shape)}", "shape (rows, d) with rows and units")
    if not t.isfinite().all():
        raise wrong("activations", "NaN or infinite ones", "finite ones")
    return t.detach().double()
