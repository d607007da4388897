"""The information plane of wide layers: compressed first, measured then.

After Butakov et al. (ICLR 2024, arXiv 2305.08013): with C_X and C_T compressors to a few
coordinates, I(C_X(X); C_T(T)) and I(C_T(T); Y), by entropies from nearest neighbours. Layers must
be noisy (`NoisyLayers`): without noise T is a function of X and the number means nothing.

Principal components that are fitted anew at each snapshot (the paper's way) drift with the layer,
and part of a curve may be that drift. A fitted compressor stays: it belongs to one layer, so give
that layer a plane of its own, and put both curves side by side.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.mi.compression import (
    Compressor,
    FittedCompressor,
    PCACompressor,
    compressed_mi,
)
from narrows.measure.mi.compression.by_entropies import tied_by_a_line
from narrows.measure.mi.compression.compressor import Floats, flat_rows
from narrows.measure.watching.estimators import LayerInformation


@dataclasses.dataclass(frozen=True, eq=False)
class CompressedInformation:
    """I(X;T) and I(T;Y) through a few coordinates of X and of T, an estimate from below.

    A layer with fewer units, or fewer that vary, than the compressor has components is measured
    by as many as there are, with a note. Values are not clipped: by the estimator's error they
    may lie below 0 or above H(Y).

    Args:
        x: `(P, ...)` the inputs the plane has, in its order; or codes of them.
        compress_x: a fitted compressor, or principal components; None takes x as it is.
        compress_t: `PCACompressor(k)` to fit anew at each snapshot; or a fitted compressor of the
            one layer in the plane.
        estimator: see `compressed_mi`.
        k: neighbours.

    Raises:
        InvalidInput: inputs that cannot be used; other rows than the plane's (at a snapshot).

    Example:
        >>> import torch
        >>> source = torch.Generator().manual_seed(0)
        >>> x = torch.randn(500, 6, generator=source)
        >>> t = x[:, :2] + torch.randn(500, 2, generator=source)
        >>> estimator = CompressedInformation(x[:, :2], compress_x=None)
        >>> found = estimator.measure(estimator.encode(t), (x[:, 0] > 0).long())
        >>> 0.3 < found.xt < 1.1, 0 < found.ty < math.log(2)
        (True, True)
    """

    x: Any = dataclasses.field(repr=False)
    compress_x: Compressor | FittedCompressor | None = PCACompressor(4)  # noqa: RUF009  # frozen
    compress_t: Compressor | FittedCompressor = PCACompressor(4)  # noqa: RUF009  # frozen
    estimator: str = "weighted-knn"
    k: int = 5

    def encode(self, t: Tensor) -> Tensor:
        """Activations as they are."""
        return t

    def measure(self, kept: Tensor, labels: Tensor) -> LayerInformation:
        """The place of activations `(P, d)`."""
        if len(kept) != len(self._codes):
            raise wrong("x", f"{len(self._codes)} rows", f"the {len(kept)} of the plane")
        rows = flat_rows("activations", kept)
        if not (rows != rows[0]).any():
            return LayerInformation(0.0, 0.0, math.inf, ("all rows are alike",))
        codes, notes = self._compressed(rows)
        # ksg takes no labels; ross is its like that does
        of_label = "ross" if self.estimator == "ksg" else self.estimator
        label = compressed_mi(codes, labels, estimator=of_label, y_kind="discrete", k=self.k)
        notes += tuple(f"I(T;Y): {note}" for note in label.warnings)
        if tied_by_a_line(self._codes, codes):
            note = "T is a linear function of X in some direction: infinite, log P stands for it"
            return LayerInformation(math.log(len(kept)), label.value, math.inf, (note, *notes))
        found = compressed_mi(self._codes, codes, estimator=self.estimator, k=self.k)
        notes = (*(f"I(X;T): {note}" for note in found.warnings), *notes)
        return LayerInformation(found.value, label.value, math.inf, notes)

    def _compressed(self, rows: Floats) -> tuple[Floats, tuple[str, ...]]:
        if isinstance(self.compress_t, FittedCompressor):
            return self.compress_t.encode(rows), ()
        if not self.compress_t.in_sample:
            raise wrong("compress_t", f"{self.compress_t!r}, not fitted", "one that is fitted")
        moving = int((rows != rows[0]).any(0).sum())
        compressor = self.compress_t
        if isinstance(compressor, PCACompressor) and compressor.k > moving:
            compressor = PCACompressor(moving)
        fitted = compressor.fit(rows)
        asked = getattr(self.compress_t, "k", fitted.k)
        notes = () if fitted.k == asked else (f"{fitted.k} coordinates, not {asked}",)
        return fitted.encode(rows), notes

    @functools.cached_property
    def _codes(self) -> Floats:
        if self.compress_x is None:
            return flat_rows("x", self.x)
        if isinstance(self.compress_x, FittedCompressor):
            return np.asarray(self.compress_x.encode(self.x))
        if not self.compress_x.in_sample:
            raise wrong("compress_x", f"{self.compress_x!r}, not fitted", "one that is fitted")
        return np.asarray(self.compress_x.fit(self.x).encode(self.x))
