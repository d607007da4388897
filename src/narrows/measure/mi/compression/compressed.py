"""Mutual information of wide variables through compressed ones.

After Butakov et al. (ICLR 2024, arXiv 2305.08013). Neighbours and kernels fail beyond ten columns
or so, but what x and y tell of each other may live in few coordinates. So

I(C(x); C(y)) <= I(x; y)

is measured, with equality where the compressors lose nothing of x and y that the other side
shares. By default with entropies from neighbours and the weights of Berrett, Samworth and Yuan
(see `by_entropies` and `knn_entropy`): h(C(x)) + h(C(y)) - h(C(x), C(y)), and for labels
h(C(x)) - sum_y p(y) h(C(x) | y). These err by more as I nears log N; `estimator="ksg"` errs less
there. What is measured is a bound only up to the estimator's own error: a value may lie below 0
or above H(Y), and is not clipped.

Codes often have hard edges (a sigmoid, a corner of parameters), where neighbours see half a
neighbourhood: three entropies then err downwards by tenths of a nat. Normal margins, the values
of each column replaced by as many normal draws in the same order, leave the information and take
most edges away; the paper does without. (Quantiles in place of draws would be too regular: the
distances between neighbours in one column would be those of a grid.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from narrows.errors import unknown, wrong
from narrows.measure.mi.compression.by_entropies import ENTROPIES, by_entropies
from narrows.measure.mi.compression.compressor import (
    Compressor,
    FittedCompressor,
    Floats,
    flat_rows,
    relative_error,
)
from narrows.measure.mi.dispatch import mutual_information
from narrows.measure.mi.neighbours import untied
from narrows.measure.mi.registry import ESTIMATORS
from narrows.measure.mi.result import MIResult
from narrows.measure.mi.samples import DISCRETE, paired, sample


@dataclasses.dataclass(frozen=True)
class CompressedMI(MIResult):
    """An information that was measured between compressed variables.

    Attributes:
        reconstruction_error: side to the share of its variance that the compressor lost; 0 where
            nothing was compressed.
        columns: side to how many coordinates it was measured by.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((500, 6))
        >>> from narrows.measure.mi.compression import PCACompressor
        >>> found = compressed_mi(rows, rows[:, :2] ** 3, compress_x=PCACompressor(2))
        >>> found.columns, found.reconstruction_error["y"]
        ({'x': 2, 'y': 2}, 0.0)
    """

    reconstruction_error: Mapping[str, float] = dataclasses.field(default_factory=dict)
    columns: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        lost = ", ".join(
            f"{side}: {self.columns[side]} coordinates, {100 * error:.3g} % of variance lost"
            for side, error in self.reconstruction_error.items()
        )
        return f"{super().__repr__()}\n  {lost}"


def compressed_mi(
    x: Any,
    y: Any,
    *,
    compress_x: Compressor | FittedCompressor | None = None,
    compress_y: Compressor | FittedCompressor | None = None,
    estimator: str = "weighted-knn",
    normal_margins: bool = False,
    y_kind: str = "continuous",
    units: str = "nats",
    **settings: Any,
) -> CompressedMI:
    """How much x and y tell of each other, at least, through a few coordinates of each.

    Time and memory of the compressors, and of `knn_entropy` in as many columns as they give.

    Args:
        x: `(N, ...)`; what follows N is flattened.
        y: `(N, ...)`, or labels.
        compress_x: a fitted compressor, or one that is fitted on x itself (principal components
            only); None takes x as it is.
        compress_y: the same for a continuous y.
        estimator: `weighted-knn` or `knn`, three entropies each; or any method of
            `mutual_information` that estimates or bounds from below.
        normal_margins: replace each coordinate by normal draws of the same order first.
        y_kind: continuous or discrete.
        units: nats or bits.
        settings: of the estimator; `k`, 5 neighbours, and `seed` (of the jitter that tied values
            get) for the entropies.

    Raises:
        UnknownName: no such estimator or setting.
        InvalidInput: samples that cannot be used: NaN, constant columns of what is not
            compressed, no more than k rows (in a class), k above the number of columns; y a
            linear function of x, where information is infinite; an autoencoder that was not
            fitted on other rows.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((2000, 12))
        >>> y = rows[:, :1] + np.random.default_rng(1).standard_normal((2000, 1))
        >>> from narrows.measure.mi.compression import PCACompressor
        >>> wide = np.concatenate([5 * rows[:, :2], 0.1 * rows[:, 2:]], axis=1)
        >>> found = compressed_mi(wide, y, compress_x=PCACompressor(2))
        >>> abs(found.value - 0.3466) < 0.1, found.kind
        (True, 'lower')
    """
    if y_kind == DISCRETE and compress_y is not None:
        raise wrong("compress_y", "a compressor for discrete labels", "None")
    left, right = _side("x", x, compress_x), _side("y", y, compress_y, y_kind)
    paired(left.codes, right.codes)
    if normal_margins:
        generator = np.random.default_rng(settings.get("seed", 0))
        left = left.with_normal_margins(generator)
        right = right if y_kind == DISCRETE else right.with_normal_margins(generator)
    if estimator in ENTROPIES:
        found = by_entropies(left.codes, right.codes, estimator, y_kind, settings)
    else:
        found = _by_method(left.codes, right.codes, estimator, y_kind, settings)
    lossy = compress_x is not None or compress_y is not None
    warnings = (*left.warnings, *right.warnings, *found.warnings)
    whole = CompressedMI(
        found.value,
        found.stderr,
        "lower" if lossy else found.kind,
        f"compressed, {estimator}",
        len(left.codes),
        ceiling=found.ceiling,
        warnings=warnings,
        settings={
            **found.settings,
            "normal_margins": normal_margins,
            "compress_x": repr(compress_x),
            "compress_y": repr(compress_y),
        },
        reconstruction_error={"x": left.error, "y": right.error},
        columns={"x": left.codes.shape[1], "y": right.codes.shape[1]},
    )
    return cast("CompressedMI", whole.to(units))  # replacing fields keeps the class


@dataclasses.dataclass(frozen=True)
class _Side:
    codes: Floats
    error: float
    warnings: tuple[str, ...] = ()

    def with_normal_margins(self, generator: np.random.Generator) -> _Side:
        free, tied = untied(self.codes, generator)
        ranks = free.argsort(0).argsort(0)
        drawn = np.sort(generator.standard_normal(free.shape), axis=0)
        note = (f"{tied} tied values were put in a random order",) if tied else ()
        codes = np.take_along_axis(drawn, ranks, axis=0)
        return dataclasses.replace(self, codes=codes, warnings=(*self.warnings, *note))


def _side(
    name: str,
    values: Any,
    compressor: Compressor | FittedCompressor | None,
    kind: str = "continuous",
) -> _Side:
    if compressor is None:
        return _Side(sample(name, values, kind), 0.0)
    rows = flat_rows(name, values)
    if isinstance(compressor, FittedCompressor):
        fitted = compressor
    elif compressor.in_sample:
        fitted = compressor.fit(rows)
    else:
        raise wrong(
            f"compress_{name}", f"{compressor!r}, not fitted", ".fit(other rows) of it: one that "
            "is trained on the rows it is used on tells too much",
        )  # fmt: skip
    codes, notes = _moving(fitted.encode(rows), f"compressed {name}")
    # Codes near an edge (1 of a sigmoid) keep few digits; about 0 a jitter of ties has room. One
    # size for all coordinates, as max-norms compare those of x with those of y.
    codes = (codes - codes.mean(0)) / codes.std()
    notes = (*getattr(fitted, "warnings", ()), *notes)
    return _Side(codes, relative_error(fitted, rows), notes)


def _moving(codes: Floats, name: str) -> tuple[Floats, tuple[str, ...]]:
    """Without the coordinates that a compressor left unused."""
    moving = (codes != codes[:1]).any(0)
    if moving.all() or not moving.any():  # where none moves, `sample` says so
        return sample(name, codes), ()
    note = f"{name}: {int((~moving).sum())} of {len(moving)} coordinates never vary"
    return sample(name, codes[:, moving]), (note,)


def _by_method(
    x: Floats, y: Floats, estimator: str, y_kind: str, settings: Mapping[str, Any]
) -> MIResult:
    if estimator not in ESTIMATORS:
        raise unknown("estimator", estimator, (*ENTROPIES, *ESTIMATORS))
    if ESTIMATORS[estimator].kind not in ("estimate", "lower"):
        kind = ESTIMATORS[estimator].kind
        raise wrong("estimator", f"{estimator!r} ({kind})", "one that estimates, or a lower bound")
    return mutual_information(x, y, estimator, y_kind=y_kind, **settings)
