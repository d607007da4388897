"""Plug-in information from kernel densities, each row left out of its own density.

I = mean over i of log[p(x_i, y_i) / (p(x_i) p(y_i))], with densities of the other N - 1 rows. The
normal kernel has the shape of the sample's own covariance, scaled by a factor h^2, and its margins
serve x and y: the three densities agree with one another, and affine maps change nothing. For a
discrete y the kernel is equality, and x's has the covariance within classes.

Factors: scott N^(-1/(d+4)); silverman (N (d+2)/4)^(-1/(d+4)); likelihood, the factor that makes
the left-out rows most likely. Smoothing hides fine structure, and beyond four columns in all
nearly everything.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from narrows.errors import unknown, wrong
from narrows.measure.mi.gaussian import directions
from narrows.measure.mi.gram import pieces, squared
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]
RULES = ("scott", "silverman", "likelihood")
_SEARCHED = 1000  # rows the likelihood of a factor is taken over
_LINE = 1e-10  # of 1 - rho^2, below which y is called a linear function of x


def kde(
    x: Floats,
    y: Floats,
    *,
    bandwidth: str | float = "scott",
    x_kind: str = "continuous",
    y_kind: str = "continuous",
) -> Estimate:
    """Mutual information by left-one-out kernel densities.

    O(N^2 d) time; pieces of 4 MB.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        bandwidth: scott, silverman, likelihood, or the factor itself.
        x_kind: continuous or discrete; one of the two may be discrete.
        y_kind: the same.

    Raises:
        InvalidInput: a factor not above 0; columns that others determine; fewer than two rows in
            each class.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((500, 2))
        >>> abs(kde(rows[:, :1], rows[:, 1:]).value) < 0.1
        True
    """
    if x_kind == "discrete":
        return _by_class(y, x, bandwidth)
    if y_kind == "discrete":
        return _by_class(x, y, bandwidth)
    _apart(x, y)
    both, dx = np.concatenate([x, y], axis=1), x.shape[1]
    cholesky = _cholesky(np.cov(both.T), "x")
    joint = whitened(both, cholesky)
    factor = scale(joint, bandwidth)
    # the margins of the joint kernel; the leading block of its root is x's own root
    own = _cholesky(np.atleast_2d(np.cov(y.T)), "y")
    local = log_density(joint, factor) - _log_det(cholesky)
    local -= log_density(joint[:, :dx], factor) - _log_det(cholesky[:dx, :dx])
    local -= log_density(whitened(y, own), factor) - _log_det(own)
    return _mean(local, (), factor)


def log_density(rows: Floats, factor: float, among: NDArray[np.int64] | None = None) -> Floats:
    """`(N,)` log of the mean normal kernel of deviation `factor` at each row, without its own.

    Args:
        rows: `(N, d)`, of deviations about 1.
        factor: of the kernel.
        among: `(M,)` row numbers: only these are looked at, and returned.
    """
    n, d = rows.shape
    at = rows if among is None else rows[among]
    own = np.arange(n) if among is None else among
    out = np.empty(len(at))
    for of in pieces(n):
        if of.start >= len(at):
            break
        near = slice(of.start, min(of.stop, len(at)))
        far = squared(at[near], rows)
        far *= -0.5 / factor**2
        far[np.arange(len(far)), own[near]] = -np.inf
        out[near] = log_sum(far)
    return out - math.log(n - 1) - d * (math.log(factor) + 0.5 * math.log(2 * math.pi))


def log_sum(far: Floats) -> Floats:
    """`(c,)` log of the summed exponentials of each line; overwrites what it is given."""
    top = far.max(1)
    top[~np.isfinite(top)] = 0  # a line of nothing stays nothing
    far -= top[:, None]
    np.exp(far, out=far)
    with np.errstate(divide="ignore"):
        return np.log(far.sum(1)) + top


def scale(white: Floats, bandwidth: str | float) -> float:
    """The factor of rows of unit covariance."""
    n, d = white.shape
    if isinstance(bandwidth, str):
        if bandwidth not in RULES:
            raise unknown("bandwidth", bandwidth, RULES)
        if bandwidth == "scott":
            return float(n ** (-1 / (d + 4)))
        start = float((n * (d + 2) / 4) ** (-1 / (d + 4)))
        return start if bandwidth == "silverman" else _likeliest(white, start)
    if not 0 < bandwidth < math.inf:
        raise wrong("bandwidth", repr(bandwidth), "a factor above 0")
    return float(bandwidth)


def whitened(rows: Floats, cholesky: Floats) -> Floats:
    """Centred rows of unit covariance."""
    from scipy.linalg import solve_triangular

    return np.asarray(solve_triangular(cholesky, (rows - rows.mean(0)).T, lower=True).T)


def covariance_root(rows: Floats, name: str) -> Floats:
    """`(d, d)` lower triangular root of the sample's covariance; refuses a singular one."""
    if directions(rows).shape[1] < rows.shape[1]:
        raise wrong(
            name,
            f"columns of which others are linear functions ({rows.shape[1]} columns, "
            f"{directions(rows).shape[1]} directions)",
            "columns without linear relations, or more rows than columns",
        )
    return _cholesky(np.atleast_2d(np.cov(rows.T)), name)


def _cholesky(covariance: Floats, name: str) -> Floats:
    try:
        return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise wrong(name, "a covariance without full rank", "columns not tied by a line") from error


def _log_det(cholesky: Floats) -> float:
    return float(np.log(np.diag(cholesky)).sum())


def _apart(x: Floats, y: Floats) -> None:
    for name, values in (("x", x), ("y", y)):
        covariance_root(values, name)
    rho = np.linalg.svd(directions(x).T @ directions(y), compute_uv=False)
    if 1 - rho.max() ** 2 < _LINE:
        raise wrong(
            "y",
            "a linear function of x in some direction",
            "a relation with noise: the information is infinite",
        )


def _likeliest(white: Floats, start: float) -> float:
    from scipy.optimize import minimize_scalar

    some = np.linspace(0, len(white) - 1, min(len(white), _SEARCHED)).round().astype(np.int64)

    def unlikely(log_factor: float) -> float:
        return -float(log_density(white, math.exp(log_factor), some).mean())

    middle = math.log(start)
    found = minimize_scalar(
        unlikely, bounds=(middle - 2.5, middle + 1.5), method="bounded", options={"xatol": 0.02}
    )
    return float(math.exp(found.x))


def _by_class(values: Floats, codes: Floats, bandwidth: str | float) -> Estimate:
    sizes = np.bincount(codes[:, 0].astype(np.int64))
    kept = sizes[codes[:, 0].astype(np.int64)] > 1
    warnings: tuple[str, ...] = ()
    if not kept.all():
        warnings = (f"{int((~kept).sum())} classes of one row were left out",)
    values, codes = values[kept], codes[kept]
    _, label = np.unique(codes, return_inverse=True)
    label = label.reshape(-1)
    sizes = np.bincount(label)
    if len(sizes) < 2:
        raise wrong("y", f"{len(sizes)} classes of two rows or more", "at least two")
    means = np.stack([values[label == one].mean(0) for one in range(len(sizes))])
    within = covariance_root(values - means[label], "x within the classes")
    white = whitened(values, within)
    factor = scale(white, bandwidth)
    local = -log_density(white, factor)
    for one in range(len(sizes)):
        rows = np.flatnonzero(label == one)
        # log p(x | y) of the other rows of the class: log p(x, y) / p(y)
        local[rows] += log_density(white[rows], factor)
    share = sizes / len(label)
    found = _mean(local, warnings, factor)
    ceiling = float(-(share * np.log(share)).sum())
    return Estimate(found.value, found.stderr, ceiling, found.warnings, found.settings)


def _mean(local: Floats, warnings: tuple[str, ...], factor: float) -> Estimate:
    stderr = float(local.std(ddof=1) / math.sqrt(len(local)))
    return Estimate(float(local.mean()), stderr, warnings=warnings, settings={"bandwidth": factor})
