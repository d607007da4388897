"""Concept activation vectors: one direction per concept, all concepts solved together.

For features `h (N, D)` and concept labels `t` in [0, 1], with `mu+` and `mu-` the label-weighted
means of the features and `S` their covariance over the rows whose label is known:

    mean            v = mu+ - mu-                                b = -v . (mu+ + mu-) / 2
    ridge           v = (S + shrinkage tr(S) / D)^-1 (mu+ - mu-)  b = -v . (mu+ + mu-) / 2
    logistic        min  sum log(1 + exp(-s (v . h + b))) + |v|^2 / (2 C)        s = +1 or -1
    squared-hinge   min  sum max(0, 1 - s (v . h + b))^2  + |v|^2 / (2 C)
    svm             min  sum max(0, 1 - s (v . h + b))    + |v|^2 / (2 C)

`ridge` is linear discriminant analysis: least squares on the labels has the same direction (the
between-class part of `S` only changes its length), so one spectrum of `S` serves all concepts
and all shrinkages.
`svm` is libsvm as TCAV (Kim et al., ICML 2018) and post-hoc concept bottlenecks (Yuksekgonul,
Wang and Zou, ICLR 2023) use it, fitted one concept after the other by scikit-learn; the others
are array programs. An unknown label is NaN and its row takes no part. Several layers of a network
are fitted by `cav_layers.fit_layers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type
from narrows.functional.cav_svm import libsvm, squared_hinge
from narrows.functional.logistic import fit_logistic

_GRID = tuple(10 ** (i / 2) for i in range(-6, 7))  # shrinkages to choose from


@dataclass(frozen=True)
class Directions:
    """One hyperplane `v . h + b = 0` a concept.

    Attributes:
        vectors: `(k, D)`, zero where undefined.
        biases: `(k,)`.
        defined: `(k,)` bool: both kinds of rows were known, and the direction tells
            rows apart.
    """

    vectors: Tensor
    biases: Tensor
    defined: Tensor


def fit_directions(
    h: Tensor,
    targets: Tensor,
    kind: str = "ridge",
    *,
    cost: float = 0.1,
    shrinkage: float | None = None,
) -> Directions:
    """Fit one direction per concept.

    Memory: `h` in float64 and a few arrays `D x D`; the iterated kinds also about eight arrays
    of `N` times the concepts of a block, at most 2^24 numbers each.

    Args:
        h: `(N, D)` finite features.
        targets: `(N, k)` labels in [0, 1], NaN where unknown; `svm` takes 0, 1 and NaN only.
        kind: mean, ridge, logistic, squared-hinge or svm.
        cost: C of the last three.
        shrinkage: of `ridge`: the share of the mean variance that is added to each direction.
            None takes for each concept the one from 10^-3 to 10^3 with the least error under
            generalised cross-validation (Golub, Heath and Wahba, 1979), which needs no refit.

    Raises:
        InvalidInput: another kind; shapes or values other than these.
        InvalidType: features that are not floating point.

    Example:
        >>> h = torch.tensor([[0.0, 0.0], [0.0, 2.0], [4.0, 0.0], [4.0, 2.0]])
        >>> found = fit_directions(h, torch.tensor([[0.0], [0.0], [1.0], [1.0]]), "mean")
        >>> found.vectors.tolist(), found.biases.tolist()
        ([[4.0, 0.0]], [-8.0])
    """
    check_labelled(h, targets)
    if kind not in KINDS:
        raise wrong("kind", repr(kind), f"one of {', '.join(KINDS)}")
    for name, value in (("cost", cost), ("shrinkage", shrinkage)):
        if value is not None and not 0 < value < math.inf:
            raise wrong(name, value, "a finite number above 0")
    dtype = torch.promote_types(h.dtype, torch.float32)
    vectors, biases = KINDS[kind](h.double(), targets.double(), cost, shrinkage)
    known = ~targets.isnan()
    two_sided = ((targets > 0) & known).any(0) & ((targets < 1) & known).any(0)
    # Of features that are all alike, only rounding noise is left to point anywhere.
    seen = h.double() @ vectors.T
    noise = 1e-9 * h.abs().max() * vectors.norm(dim=1)
    defined = two_sided & (seen.amax(0) - seen.amin(0) > noise)
    return Directions(
        torch.where(defined[:, None], vectors, 0.0).to(dtype),
        torch.where(defined, biases, 0.0).to(dtype),
        defined,
    )


def signed_distances(h: Tensor, vectors: Tensor, biases: Tensor) -> Tensor:
    """How far each row lies from each hyperplane, on the side of the concept: `(N, k)`.

    The paper divides by the squared norm; its code, and this, by the norm: a distance.

    Example:
        >>> signed_distances(torch.tensor([[3.0, 7.0]]), torch.tensor([[2.0, 0.0]]),
        ...                  torch.tensor([-2.0]))
        tensor([[2.]])
    """
    length = vectors.norm(dim=1)
    return (h @ vectors.T + biases) / length


def _means(h: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Label-weighted means of the positive and the negative rows, `(k, D)` each."""
    known = ~targets.isnan()
    sides = []
    for weight in (targets.nan_to_num(0.0), torch.where(known, 1 - targets, 0.0)):
        sides.append(weight.T @ h / weight.sum(0)[:, None].clamp(min=1e-300))
    return sides[0], sides[1]


def _halfway(vectors: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    return -(vectors * (positive + negative)).sum(1) / 2


def _mean(
    h: Tensor, targets: Tensor, cost: float, shrinkage: float | None
) -> tuple[Tensor, Tensor]:
    positive, negative = _means(h, targets)
    return positive - negative, _halfway(positive - negative, positive, negative)


def _ridge(
    h: Tensor, targets: Tensor, cost: float, shrinkage: float | None
) -> tuple[Tensor, Tensor]:
    """Concepts known on the same rows share one covariance and its spectrum."""
    positive, negative = _means(h, targets)
    apart = positive - negative
    vectors = torch.zeros_like(apart)
    masks, which = torch.unique(~targets.isnan(), dim=1, return_inverse=True)
    for i, rows in enumerate(masks.T):
        concepts = which == i
        if rows.sum() >= 2:
            spectrum = _Spectrum.of(h[rows])
            ridge = spectrum.ridges(targets[rows][:, concepts], shrinkage)
            vectors[concepts] = spectrum.whiten(apart[concepts], ridge)
    return vectors, _halfway(vectors, positive, negative)


@dataclass(frozen=True)
class _Spectrum:
    """The covariance of `n` rows: its axes `(r, D)` and the variances along them `(r,)`.

    Differences of means lie in the span of the centred rows, so no other axis is needed.
    """

    centred: Tensor
    axes: Tensor
    variances: Tensor

    @classmethod
    def of(cls, h: Tensor) -> Self:
        n, width = h.shape
        centred = h - h.mean(0)
        tall = n >= width
        product = centred.T @ centred if tall else centred @ centred.T
        variances, axes = torch.linalg.eigh(product / n)
        kept = variances > 1e-12 * variances[-1]
        variances, axes = variances[kept], axes[:, kept].T
        if not tall:
            axes = axes @ centred / (n * variances[:, None]).sqrt()
        return cls(centred, axes, variances)

    def ridges(self, targets: Tensor, shrinkage: float | None) -> Tensor:
        """`(k,)` what is added to the variances, by cross-validation where nothing is given."""
        mean = self.centred.square().mean()
        if shrinkage is not None:
            return (shrinkage * mean).expand(targets.shape[1])
        n, off = len(targets), targets - targets.mean(0)
        # Squared length of the labels along each axis of the rows, (r, k).
        along = (self.axes @ (self.centred.T @ off)).square() / (n * self.variances[:, None])
        grid = mean * torch.tensor(_GRID, dtype=mean.dtype, device=mean.device)
        kept = self.variances / (self.variances + grid[:, None])
        left = off.square().sum(0) - (2 * kept - kept.square()) @ along
        freedom = n - 1 - kept.sum(1)
        return grid[(left / freedom.square()[:, None]).argmin(0)]

    def whiten(self, apart: Tensor, ridge: Tensor) -> Tensor:
        """`(S + ridge_j)^-1 apart_j` for each row of `apart (k, D)`."""
        return (apart @ self.axes.T / (self.variances + ridge[:, None])) @ self.axes


def _logistic(
    h: Tensor, targets: Tensor, cost: float, shrinkage: float | None
) -> tuple[Tensor, Tensor]:
    solved = fit_logistic(h, targets, l2=1 / cost, tol=1e-6, max_iter=1000)
    return solved.weight, solved.bias


_Fit = Callable[[Tensor, Tensor, float, float | None], tuple[Tensor, Tensor]]
KINDS: dict[str, _Fit] = {
    "mean": _mean,
    "ridge": _ridge,
    "logistic": _logistic,
    "squared-hinge": lambda h, targets, cost, _: squared_hinge(h, targets, cost),
    "svm": lambda h, targets, cost, _: libsvm(h, targets, cost),
}
COSTED = ("logistic", "squared-hinge", "svm")  # the kinds that have a C to choose


def check_labelled(h: Tensor, targets: Tensor, called: str = "h") -> None:
    """Refuse features, by the name they are called, or labels that fit no direction."""
    if not h.is_floating_point():
        raise wrong_type(called, h.dtype, "a floating point dtype")
    if h.ndim != 2 or 0 in h.shape:
        raise wrong(called, f"shape {tuple(h.shape)}", "shape (examples, features), none empty")
    if not torch.isfinite(h).all():
        raise wrong(called, "a value that is NaN or infinite", "finite features")
    if targets.ndim != 2 or len(targets) != len(h) or not targets.shape[1]:
        raise wrong("targets", f"shape {tuple(targets.shape)}", f"shape ({len(h)}, concepts >= 1)")
    known = targets[~targets.isnan()]
    if known.numel() and not (known.min() >= 0 and known.max() <= 1):
        found = f"values in [{float(known.min())}, {float(known.max())}]"
        raise wrong("targets", found, "values in [0, 1], NaN where unknown")
