"""The exact information bottleneck curve of a discrete joint distribution.

    minimise over p(t|x)   I(X;T) - beta I(T;Y)

by the iteration of Tishby, Pereira and Bialek (1999), after Blahut and Arimoto:

    p(t|x) ~ p(t) exp(-beta KL(p(y|x) || p(y|t))),  p(t) = sum_x p(x) p(t|x),
    p(y|t) = sum_x p(y|x) p(x|t)

Each beta is reached three ways, and the best is kept: from the beta below with a small disturbance
(deterministic annealing: clusters split as beta grows), from the beta above (clusters merge), and
from random starts. Inputs with one and the same p(y|x) are merged first, which is exact: 4,096
patterns of a rule with two answers are two inputs.

Where y is a function of x, only the corner of the curve has a beta of its own (Kolchinsky et al.
2019). The curve is concave all the same, so points between two of its points are mixtures of them:
`IBCurve.at` reads the concave hull, exact there too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import wrong, wrong_type

Floats = NDArray[np.float64]
_LEAST = 1e-300  # in place of 0 inside logarithms
_SAME = 12  # decimals in which two p(y|x) must agree to be merged


@dataclasses.dataclass(frozen=True)
class IBCurve:
    """Optimal trade-offs, one a beta, in nats.

    Attributes:
        betas: price of a nat of the input, increasing.
        xt: `(betas,)` I(X;T).
        ty: `(betas,)` I(T;Y).
        xy: I(X;Y), which I(T;Y) cannot pass.
        most: the least I(X;T) that reaches it, the entropy of the merged inputs.
        encoders: `(betas, inputs, clusters)` p(t|x), for every input row of `p_xy`.
    """

    betas: Floats
    xt: Floats
    ty: Floats
    xy: float
    most: float
    encoders: Floats

    def at(self, xt: Any) -> Floats:
        """The largest I(T;Y) at values of I(X;T): the concave hull of all points, in nats."""
        x = np.concatenate([[0.0], self.xt, [self.most]])
        y = np.concatenate([[0.0], self.ty, [self.xy]])
        hull = _hull(x, y)
        asked = np.asarray(xt, dtype=np.float64)
        return np.interp(asked, x[hull], y[hull])

    def distance(self, xt: Any, ty: Any) -> Floats:
        """How far below the curve points lie, in nats of I(T;Y)."""
        return self.at(xt) - np.asarray(ty, dtype=np.float64)


def ib_curve(
    p_xy: Any,
    betas: Sequence[float],
    *,
    clusters: int | None = None,
    restarts: int = 4,
    iterations: int = 2000,
    seed: int = 0,
) -> IBCurve:
    """Trace the curve over betas.

    Args:
        p_xy: `(inputs, labels)` joint probabilities; counts are divided by their sum.
        betas: positive.
        clusters: values of T; as many as distinct p(y|x) by default, which is always enough.
        restarts: random starts a beta.
        iterations: at most, for each start; it ends where the objective moves by under 1e-12.
        seed: of starts and disturbances.

    Memory: `8 (restarts + 2) inputs clusters` bytes after merging, and one encoder a beta.

    Raises:
        InvalidInput: no joint distribution, betas that are not positive, clusters below 1.

    Example:
        >>> curve = ib_curve([[0.5, 0.0], [0.0, 0.5]], [2.0])
        >>> curve.ty.round(4).tolist(), curve.at(0.3).round(4).item()
        ([0.6931], 0.3)
    """
    joint = _joint(p_xy)
    prices = np.sort(np.asarray(list(betas), dtype=np.float64))
    if len(prices) == 0 or not np.isfinite(prices).all() or prices[0] <= 0:
        raise wrong("betas", f"{prices[:4].tolist()}", "positive, finite numbers")
    px, py_x, place = _merge(joint)
    size = len(px) if clusters is None else clusters
    if size < 1:
        raise wrong("clusters", size, "at least 1")
    rng = np.random.default_rng(seed)
    found = [_start(len(px), size)]
    for beta in prices:
        noise = rng.uniform(-1e-2, 1e-2, found[-1].shape)
        starts = [_normal(found[-1] * (1 + noise)), *_random(rng, restarts, len(px), size)]
        found.append(_best(starts, px, py_x, beta, iterations))
    found = found[1:]
    for i in range(len(prices) - 2, -1, -1):
        found[i] = _best([found[i], found[i + 1]], px, py_x, float(prices[i]), iterations)
    points = [_informations(q[None], px, py_x) for q in found]
    py = px @ py_x
    return IBCurve(
        betas=prices,
        xt=np.array([xt[0] for xt, _ in points]),
        ty=np.array([ty[0] for _, ty in points]),
        xy=_entropy(py) - float(px @ [_entropy(row) for row in py_x]),
        most=_entropy(px),
        encoders=np.stack([q[place] for q in found]),
    )


def consistent_beta(codes: Any, p_xy: Any, betas: Sequence[float]) -> tuple[float, float]:
    """The beta at which a layer's cells come nearest to satisfying the bottleneck's equations.

    A layer that lies on the curve at some beta is the fixed point of the iteration there. For
    cells t(x) the divergence of p(t|x) from one more step of the iteration is
    `mean_x -log p_beta(t(x) | x)`.

    Args:
        codes: `(inputs,)` the cell of each input.
        p_xy: `(inputs, labels)` joint probabilities.
        betas: to choose from.

    Returns:
        The best beta and its divergence in nats; 0 for a perfect fixed point.

    Raises:
        InvalidInput: as `ib_curve`; codes that are not one an input.
    """
    joint = _joint(p_xy)
    cells = np.unique(np.asarray(codes), return_inverse=True)[1].reshape(-1)
    if len(cells) != len(joint):
        raise wrong("codes", f"{len(cells)}", f"one for each of {len(joint)} inputs")
    _, py_x, place = _merge(joint)
    weight = joint.sum(1)
    pt = np.bincount(cells, weight)
    py_t = np.stack([np.bincount(cells, column) for column in joint.T], axis=1) / pt[:, None]
    divergence = _divergence(py_x, py_t)
    scored = []
    for beta in betas:
        logs = np.log(pt) - beta * divergence
        logs -= np.logaddexp.reduce(logs, axis=1, keepdims=True)
        scored.append((-float(weight @ logs[place, cells]), float(beta)))
    if not scored:
        raise wrong("betas", "none", "at least one")
    least, beta = min(scored)
    return beta, least


def _best(starts: list[Floats], px: Floats, py_x: Floats, beta: float, iterations: int) -> Floats:
    q = np.stack(starts)
    last = np.full(len(q), math.inf)
    for _ in range(iterations):
        pt = np.einsum("x,rxt->rt", px, q)
        joint = np.einsum("x,rxt,xy->rty", px, q, py_x, optimize=True)
        py_t = joint / np.maximum(pt, _LEAST)[..., None]
        logs = np.log(np.maximum(pt, _LEAST))[:, None] - beta * _divergence(py_x, py_t)
        q = _normal(np.exp(logs - logs.max(-1, keepdims=True)))
        xt, ty = _informations(q, px, py_x)
        now = xt - beta * ty
        if np.abs(now - last).max() < 1e-12:
            break
        last = now
    return q[np.argmin(now)]


def _informations(q: Floats, px: Floats, py_x: Floats) -> tuple[Floats, Floats]:
    """I(X;T) and I(T;Y) of encoders `(starts, inputs, clusters)`."""
    pt = np.einsum("x,rxt->rt", px, q)
    logs = np.log(np.maximum(q, _LEAST)) - np.log(np.maximum(pt, _LEAST))[:, None]
    xt = np.einsum("x,rxt,rxt->r", px, q, logs, optimize=True)
    joint = np.einsum("x,rxt,xy->rty", px, q, py_x, optimize=True)
    free = pt[..., None] * (px @ py_x)
    ratio = np.log(np.maximum(joint, _LEAST)) - np.log(np.maximum(free, _LEAST))
    return np.maximum(xt, 0), np.maximum((joint * ratio).sum((1, 2)), 0)


def _divergence(py_x: Floats, py_t: Floats) -> Floats:
    """KL(p(y|x) || p(y|t)) for all pairs, `(..., inputs, clusters)`."""
    own = (py_x * np.log(np.maximum(py_x, _LEAST))).sum(1)
    cross = np.log(np.maximum(py_t, _LEAST))
    return own[:, None] - py_x @ np.swapaxes(cross, -1, -2)


def _joint(p_xy: Any) -> Floats:
    found = np.asarray(p_xy)
    if found.dtype.kind not in "fiu":
        raise wrong_type("p_xy", f"dtype {found.dtype}", "probabilities or counts")
    found = found.astype(np.float64)
    if found.ndim != 2 or found.shape[1] < 2 or len(found) < 2:
        raise wrong("p_xy", f"shape {found.shape}", "shape (inputs, labels), 2 or more of each")
    if not np.isfinite(found).all() or (found < 0).any():
        raise wrong("p_xy", "negative, NaN or infinite values", "finite values, at least 0")
    if (found.sum(1) == 0).any():
        raise wrong("p_xy", "an input of probability 0", "inputs that occur")
    return found / found.sum()


def _merge(joint: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """p(x), p(y|x) of the distinct conditionals, and which of them each input has."""
    weight = joint.sum(1)
    conditional = np.round(joint / weight[:, None], _SAME)
    place = np.unique(conditional, axis=0, return_inverse=True)[1].reshape(-1)
    merged = np.stack([np.bincount(place, column) for column in joint.T], axis=1)
    px = merged.sum(1)
    return px, merged / px[:, None], place


def _start(inputs: int, clusters: int) -> Floats:
    return np.full((inputs, clusters), 1 / clusters)


def _random(rng: np.random.Generator, count: int, inputs: int, clusters: int) -> list[Floats]:
    """Soft starts near hard ones, and the one with each input in a cluster of its own."""
    own = np.arange(inputs)[:, None] % clusters == np.arange(clusters)
    hard = rng.integers(clusters, size=(count, inputs, 1)) == np.arange(clusters)
    return [_normal(one + 1e-2) for one in [own, *hard]]


def _normal(q: Floats) -> Floats:
    return np.asarray(q / q.sum(-1, keepdims=True))


def _entropy(p: Floats) -> float:
    return float(-(p * np.log(np.maximum(p, _LEAST))).sum())


def _hull(x: Floats, y: Floats) -> list[int]:
    """Places of the points on the upper concave hull, from left to right."""
    hull: list[int] = []
    for i in np.lexsort((y, x)):
        while hull and x[hull[-1]] == x[i]:
            hull.pop()
        while len(hull) > 1 and _turns_up(x, y, hull[-2], hull[-1], int(i)):
            hull.pop()
        hull.append(int(i))
    return hull


def _turns_up(x: Floats, y: Floats, a: int, b: int, c: int) -> bool:
    return bool((x[b] - x[a]) * (y[c] - y[a]) >= (x[c] - x[a]) * (y[b] - y[a]))
