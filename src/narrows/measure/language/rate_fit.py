"""How errors fall with the rate of a channel: D(R) = C exp(-b R) + D0.

The shape of a Gaussian source's distortion, with a floor (He et al., arXiv 2512.21720).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narrows.errors import wrong, wrong_type

_Floats = NDArray[np.float64]
_PARAMETERS = 3
_RATES = np.geomspace(1e-3, 1e3, 241)  # b times the spread of rates that are looked at first


@dataclasses.dataclass(frozen=True)
class RateDistortionFit:
    """A fitted law.

    Attributes:
        C: distortion above the floor at rate 0.
        b: how fast it falls, per unit of rate.
        D0: the floor, at least 0.
        intervals: of `C`, `b` and `D0`, 95 %, to first order; NaN where the points do not tell.
        r2: share of the variance of the distortions that is on the curve.
        points: how many.
        warnings: what a reader must know before trusting the numbers.
    """

    C: float
    b: float
    D0: float
    intervals: dict[str, tuple[float, float]]
    r2: float
    points: int
    warnings: tuple[str, ...] = ()

    def predict(self, rates: ArrayLike) -> _Floats:
        """Distortions at rates, of their shape."""
        return np.asarray(self.C * np.exp(-self.b * np.asarray(rates, np.float64)) + self.D0)

    def __repr__(self) -> str:
        notes = "".join(f"\n  note: {text}" for text in self.warnings)
        return (
            f"D(R) = {self.C:.4g} exp(-{self.b:.4g} R) + {self.D0:.4g} "
            f"(R² {self.r2:.4f}, {self.points} points){notes}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is NaN."""
        spans = {k: [_json(v) for v in pair] for k, pair in self.intervals.items()}
        return dataclasses.asdict(self) | {"intervals": spans, "warnings": list(self.warnings),
                                           "r2": _json(self.r2)}  # fmt: skip


def rate_distortion_fit(rates: ArrayLike, distortions: ArrayLike) -> RateDistortionFit:
    """Fit D(R) = C exp(-b R) + D0 by least squares, with C, b and D0 at least 0.

    For each b the best C and D0 are known exactly, so only b is searched for: first over six
    orders of magnitude, then between the neighbours of the best.

    Args:
        rates: `(n,)`, 4 points or more, not all at one rate.
        distortions: `(n,)`, for example 1 - accuracy.

    Raises:
        InvalidType: no numbers.
        InvalidInput: other shapes, NaN, too few points, or one rate.

    Example:
        >>> rates = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
        >>> rate_distortion_fit(rates, 0.5 * np.exp(-0.8 * rates) + 0.1)
        D(R) = 0.5 exp(-0.8 R) + 0.1 (R² 1.0000, 5 points)
    """
    from scipy.optimize import minimize_scalar

    x, y = _column("rates", rates), _column("distortions", distortions)
    if len(x) != len(y):
        raise wrong("distortions", f"{len(y)} numbers", f"as many as rates, {len(x)}")
    if len(x) <= _PARAMETERS:
        raise wrong("rates", f"{len(x)} points", f"{_PARAMETERS + 1} or more")
    width = float(np.ptp(x))
    if not width > 0:
        raise wrong("rates", "one rate", "2 or more")
    grid = np.log(_RATES / width)
    start = int(np.argmin([_best(x, y, b)[2] for b in np.exp(grid)]))
    ends = grid[max(start - 1, 0)], grid[min(start + 1, len(grid) - 1)]
    found = minimize_scalar(
        lambda g: _best(x, y, math.exp(g))[2], bounds=ends, method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    b = math.exp(float(found.x))
    c, floor, left = _best(x, y, b)
    total = float(((y - y.mean()) ** 2).sum())
    r2 = 1 - left / total if total > 0 else math.nan
    notes = []
    if start in (0, len(grid) - 1) or not c > 0:
        notes.append("no fall that flattens out is in these points: C, b and D0 are not told apart")
    if floor == 0:
        notes.append("the floor lies at its limit, 0")
    spans = _intervals(x, (c, b, floor), left)
    return RateDistortionFit(c, b, floor, spans, r2, len(x), tuple(notes))


def _best(x: _Floats, y: _Floats, b: float) -> tuple[float, float, float]:
    """C, D0 and the squared errors that are the best for a b; C and D0 at least 0."""
    shape = np.exp(-b * (x - x.min()))
    off = shape - shape.mean()
    power = float(off @ off)
    c = max(float(off @ y) / power, 0.0) if power > 0 else 0.0
    floor = float(y.mean() - c * shape.mean())
    if floor < 0:
        c, floor = max(float(shape @ y) / float(shape @ shape), 0.0), 0.0
    left = y - c * shape - floor
    return c * math.exp(min(b * float(x.min()), 700.0)), floor, float(left @ left)


def _intervals(
    x: _Floats, fitted: tuple[float, float, float], left: float
) -> dict[str, tuple[float, float]]:
    """95 % intervals from the curvature at the optimum, by Student's t."""
    from scipy.stats import t

    c, b, _ = fitted
    fall = np.exp(-b * x)
    slopes = np.stack([fall, -c * x * fall, np.ones_like(x)], 1)
    spare = len(x) - _PARAMETERS
    scale = np.linalg.norm(slopes, axis=0)
    names = ("C", "b", "D0")
    if not (scale > 0).all() or np.linalg.cond(slopes / scale) > 1e7:
        return dict.fromkeys(names, (math.nan, math.nan))
    inverse = np.linalg.inv((slopes / scale).T @ (slopes / scale)) / np.outer(scale, scale)
    reach = float(t.ppf(0.975, spare)) * np.sqrt(np.diag(inverse) * left / spare)
    ends = zip(names, fitted, reach.tolist(), strict=True)
    return {name: (value - wide, value + wide) for name, value, wide in ends}


def _column(name: str, values: ArrayLike) -> _Floats:
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise wrong_type(name, type(values).__name__, "numbers") from error
    if found.ndim != 1:
        raise wrong(name, f"shape {found.shape}", "shape (n,)")
    if not np.isfinite(found).all():
        raise wrong(name, "NaN or infinite numbers", "finite ones")
    return found


def _json(value: float) -> float | None:
    return value if math.isfinite(value) else None
