"""Mutual information of wide variables through compressed ones.

After Butakov et al. (ICLR 2024, arXiv 2305.08013). Neighbours and kernels fail beyond ten columns
or so, but what x and y tell of each other may live in few coordinates. So

I(C(x); C(y)) <= I(x; y)

is measured, with equality where the compressors lose nothing of x and y that the other side
shares. With entropies from neighbours, each whitened on its own and with the weights of Berrett,
Samworth and Yuan (see `knn_entropy`),

y continuous:  I = h(C(x)) + h(C(y)) - h(C(x), C(y))
y discrete:    I = h(C(x)) - sum_y p(y) h(C(x) | y), all whitened by the covariance within classes:
               by that of classes far apart, each class would be a needle

and the standard error is the sum of those of the parts, which is on the safe side. The bias of
three entropies grows as I nears log N; `estimator="ksg"` errs less there. What is measured is a
bound only up to the estimator's own error: a value may lie below 0 or above H(Y), and is not
clipped.

Codes often have hard edges (a sigmoid, a corner of parameters), where neighbours see half a
neighbourhood: three entropies then err downwards by tenths of a nat. Normal margins, the values
of each column replaced by as many normal draws in the same order, leave the information and take
most edges away; the paper does without. (Quantiles in place of draws would be too regular: the
distances between neighbours in one column would be those of a grid.)
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from narrows.errors import unknown, wrong
from narrows.measure.mi.compression.compressor import (
    Compressor,
    FittedCompressor,
    Floats,
    flat_rows,
    relative_error,
)
from narrows.measure.mi.dispatch import mutual_information
from narrows.measure.mi.gaussian import directions
from narrows.measure.mi.kde import covariance_root, whitened
from narrows.measure.mi.knn_entropy import knn_entropy, weighted_entropy
from narrows.measure.mi.neighbours import untied
from narrows.measure.mi.registry import ESTIMATORS
from narrows.measure.mi.result import Estimate, MIResult
from narrows.measure.mi.samples import DISCRETE, paired, sample

ENTROPIES: dict[str, Callable[..., Estimate]] = {
    "weighted-knn": weighted_entropy,
    "knn": knn_entropy,
}
_LINE = 1e-10  # of 1 - rho^2, below which y is called a linear function of x
_K = 5


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
        found = _by_entropies(left.codes, right.codes, estimator, y_kind, settings)
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


def tied_by_a_line(x: Floats, y: Floats) -> bool:
    """Whether some linear function of x equals one of y: their information is infinite.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((50, 3))
        >>> tied_by_a_line(rows[:, :2], rows @ [[1.0], [2.0], [0.0]])
        True
    """
    rho = np.linalg.svd(directions(x).T @ directions(y), compute_uv=False)
    return bool(1 - rho.max() ** 2 < _LINE)


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
    codes = sample(f"compressed {name}", fitted.encode(rows))
    # Codes near an edge (1 of a sigmoid) keep few digits; about 0 a jitter of ties has room. One
    # size for all coordinates, as max-norms compare those of x with those of y.
    codes = (codes - codes.mean(0)) / codes.std()
    return _Side(codes, relative_error(fitted, rows), tuple(getattr(fitted, "warnings", ())))


def _by_method(
    x: Floats, y: Floats, estimator: str, y_kind: str, settings: Mapping[str, Any]
) -> MIResult:
    if estimator not in ESTIMATORS:
        raise unknown("estimator", estimator, (*ENTROPIES, *ESTIMATORS))
    if ESTIMATORS[estimator].kind not in ("estimate", "lower"):
        kind = ESTIMATORS[estimator].kind
        raise wrong("estimator", f"{estimator!r} ({kind})", "one that estimates, or a lower bound")
    return mutual_information(x, y, estimator, y_kind=y_kind, **settings)


def _by_entropies(
    x: Floats, y: Floats, estimator: str, y_kind: str, settings: Mapping[str, Any]
) -> MIResult:
    entropy = ENTROPIES[estimator]
    known = list(inspect.signature(entropy).parameters)[1:]
    for name in settings:
        if name not in known:
            raise unknown(f"setting of {estimator}", name, known)
    used = {"k": _K, **settings}
    if y_kind == DISCRETE:
        value, stderr, warnings, ceiling = _within_classes(x, y, entropy, used)
    else:
        value, stderr, warnings, ceiling = _of_three(x, y, entropy, used)
    return MIResult(
        value, stderr, "estimate", estimator, len(x), ceiling=ceiling, warnings=warnings,
        settings=used,
    )  # fmt: skip


_Found = tuple[float, float, tuple[str, ...], float]


def _of_three(
    x: Floats, y: Floats, entropy: Callable[..., Estimate], used: dict[str, Any]
) -> _Found:
    parts = [entropy(one, **used) for one in (x, y)]
    if tied_by_a_line(x, y):
        raise wrong("y", "a linear function of x in some direction", "a relation with noise: the "
                    "information is infinite")  # fmt: skip
    both = entropy(np.concatenate([x, y], axis=1), **used)
    value = parts[0].value + parts[1].value - both.value
    warnings = _merged([*parts, both])
    if value > math.log(len(x)) - 2:
        warnings += (
            f"{value:.2f} nats is within 2 of log N = {math.log(len(x)):.2f}: three entropies err "
            "by much there; compare estimator='ksg'",
        )
    return value, sum(one.stderr for one in (*parts, both)), warnings, math.inf


def _within_classes(
    x: Floats, y: Floats, entropy: Callable[..., Estimate], used: dict[str, Any]
) -> _Found:
    label = y[:, 0].astype(np.int64)
    sizes = np.bincount(label)
    if sizes.min() <= used["k"]:
        wanted = f"more than k = {used['k']} rows in each class"
        raise wrong("y", f"a class of {int(sizes.min())} rows", wanted)
    share = sizes / len(x)
    if used.get("whiten", True):
        # One linear map of all rows adds the same to both terms and so cancels.
        means = np.stack([x[label == one].mean(0) for one in range(len(sizes))])
        x = whitened(x, covariance_root(x - means[label], "x within the classes"))
    used = {**used, "whiten": False}
    whole = entropy(x, **used)
    classes = [_class(x[label == one], one, entropy, used) for one in range(len(sizes))]
    value = whole.value - float(share @ [one.value for one in classes])
    spread = math.sqrt(sum((p * one.stderr) ** 2 for p, one in zip(share, classes, strict=True)))
    ceiling = float(-(share * np.log(share)).sum())
    warnings = _merged([whole, *classes])
    if not 0 <= value <= ceiling:
        warnings += (
            f"{value:.3f} nats lies outside [0, H(Y) = {ceiling:.3f}] by the estimator's error",
        )
    return value, whole.stderr + spread, warnings, ceiling


def _class(
    rows: Floats, one: int, entropy: Callable[..., Estimate], used: dict[str, Any]
) -> Estimate:
    still = bool((rows == rows[0]).all(0).any())
    if still or directions(rows).shape[1] < rows.shape[1]:
        raise wrong(
            "x",
            f"class {one} (of the sorted labels) on fewer directions than {rows.shape[1]}",
            "a density within each class: fewer coordinates, or noise",
        )
    return entropy(rows, **used)


def _merged(parts: list[Estimate]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(note for one in parts for note in one.warnings))
