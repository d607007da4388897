"""Logistic regressions that share their inputs, solved to the optimum without a learning rate.

    binary:   min  sum_n a_n softplus(w . x_n + b) - c_n (w . x_n + b)  +  l2 |w|^2 / 2
              a = p t + 1 - t,  c = p t   (t the target, p the factor of the positive term)
    softmax:  min  sum_n cross_entropy(W x_n + b, y_n)  +  l2 |W|^2 / 2

These are scikit-learn's `LogisticRegression(C=1 / l2)`, the intercept free of the penalty. All
concepts are solved at once (see `narrows.functional.descent`), and an unknown label takes no
part: its `a` and its `c` are zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type
from narrows.functional.descent import bound_inverse, minimise
from narrows.functional.design import Design

_BLOCK = 2**24  # activations of one block of concepts: 128 MB an array, about eight arrays


@dataclass(frozen=True)
class Solved:
    """Linear weights, and how well they solve the problem.

    Attributes:
        weight: `(k, D)`, one row a concept or class.
        bias: `(k,)`.
        gradient_norm: `(k,)`, softmax `(1,)`: what is left of the gradient's norm, as a share of
            that at zero weight and the best constant; inputs centred.
        converged: same shape, whether that reached the tolerance (or the rounding of float64).
        constant: `(k,)` concepts whose known labels are all alike or that have none, classes
            without examples. The bias alone decides; where its optimum would be infinite it
            leaves half an example of doubt, and a class without examples is never predicted.
        iterations: steps taken.
    """

    weight: Tensor
    bias: Tensor
    gradient_norm: Tensor
    converged: Tensor
    constant: Tensor
    iterations: int


def fit_logistic(
    x: Tensor,
    targets: Tensor,
    l2: float,
    *,
    tol: float = 1e-6,
    max_iter: int = 1000,
    fit_intercept: bool = True,
    pos_weight: Tensor | None = None,
) -> Solved:
    """Fit one binary logistic regression per concept, all of them together.

    Memory: `x` in float64 twice and in float32, three arrays of `D^2`, and about eight of `N`
    times the concepts of a block, at most 2^24 numbers each.

    Args:
        x: `(N, D)` finite features.
        targets: `(N, K)` in [0, 1]; NaN is unknown.
        l2: above 0, beside the *summed* loss: `1 / C` of scikit-learn, or `N` times the weight
            decay of a mean loss.
        tol: share of the gradient norm that may be left.
        max_iter: steps allowed.
        fit_intercept: whether there is a bias.
        pos_weight: `(K,)` factors of the positive term, above 0; None is 1.

    Raises:
        InvalidInput: values or shapes other than these.
        InvalidType: `x` is not floating point.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
        >>> solved = fit_logistic(x, torch.tensor([[0.0], [1.0], [float("nan")], [1.0]]), l2=1.0)
        >>> solved.weight.shape, solved.converged.tolist()
        (torch.Size([1, 1]), [True])
    """
    _check(x, l2, tol, max_iter)
    factor = _checked_factor(targets, len(x), pos_weight)
    design = Design(x, fit_intercept, l2)
    inverse = bound_inverse(design.x, 0.25, design.ridge)
    concepts = torch.arange(targets.shape[1], device=x.device)
    blocks = []
    for part in concepts.split(max(1, _BLOCK // len(x))):
        loss, constant = _binary(targets[:, part], factor[part])
        start = _start(loss, design, fit_intercept)
        moving = ~constant if fit_intercept else torch.ones_like(constant)
        found = minimise(
            design.x, loss.keep(moving), start[moving], design.ridge, inverse, tol, max_iter
        )
        start[moving] = found.w
        norm = start.new_zeros(len(part)).masked_scatter(moving, found.norm)
        met = torch.ones_like(moving).masked_scatter(moving, found.met)
        blocks.append((start, norm, met, constant, found.steps))
    w, norm, met, constant = (torch.cat(parts) for parts in list(zip(*blocks, strict=True))[:4])
    weight, bias = design.unpack(w, x.dtype)
    return Solved(weight, bias, norm, met, constant, max(block[4] for block in blocks))


def fit_softmax(
    x: Tensor,
    y: Tensor,
    n_classes: int,
    l2: float,
    *,
    tol: float = 1e-6,
    max_iter: int = 1000,
    fit_intercept: bool = True,
) -> Solved:
    """Fit a multinomial logistic regression; its biases sum to zero over the classes seen.

    Memory: as `fit_logistic`, with about eight arrays of `N` times the classes.

    Args:
        x: `(N, D)` finite features.
        y: `(N,)` class ids below `n_classes`.
        n_classes: rows of the weight.
        l2: as in `fit_logistic`.
        tol: share of the gradient norm that may be left.
        max_iter: steps allowed.
        fit_intercept: whether there is a bias.

    Raises:
        InvalidInput: values or shapes other than these.
        InvalidType: `x` is not floating point, or `y` not int64.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [2.0]])
        >>> solved = fit_softmax(x, torch.tensor([0, 1, 1]), n_classes=3, l2=0.1)
        >>> (x @ solved.weight.T + solved.bias).argmax(1).tolist(), solved.constant.tolist()
        ([0, 1, 1], [False, False, True])
    """
    _check(x, l2, tol, max_iter)
    if y.dtype != torch.int64:
        raise wrong_type("y", y.dtype, "int64 class ids")
    if y.shape != x.shape[:1]:
        raise wrong("y", f"shape {tuple(y.shape)}", f"shape ({len(x)},)")
    if not (y.min() >= 0 and y.max() < n_classes):
        raise wrong("y", f"ids in [{y.min()}, {y.max()}]", f"ids in [0, {n_classes})")
    counts = torch.bincount(y, minlength=n_classes)
    seen = counts > 0
    rows = seen.nonzero().flatten()
    design = Design(x, fit_intercept, l2)
    w = x.new_zeros(len(rows), design.x.shape[1], dtype=torch.float64)
    if fit_intercept:
        w[:, -1] = _centred(counts[rows].double().log()) / design.one
    # At the start every class has a curvature of about 1 / classes.
    inverse = bound_inverse(design.x, 1 / max(len(rows), 4), design.ridge)
    loss = _Softmax(torch.searchsorted(rows, y))
    found = minimise(design.x, loss, w, design.ridge, inverse, tol, max_iter)
    weight, bias = design.unpack(found.w, x.dtype)
    bias = _centred(bias) if fit_intercept else bias
    full_weight = weight.new_zeros(n_classes, weight.shape[1]).index_copy(0, rows, weight)
    # The logits of the classes seen sum to zero, so the largest is never below zero.
    never = min(float(bias.min()), 0.0) - math.log(2 * len(x))
    full_bias = torch.full_like(full_weight[:, 0], never).index_copy(0, rows, bias)
    return Solved(full_weight, full_bias, found.norm, found.met, ~seen, found.steps)


@dataclass(frozen=True)
class _Binary:
    """One problem per row: `a softplus(eta) - c eta`, both factors `(k, N)`."""

    weight: Tensor
    positive: Tensor

    def slope(self, eta: Tensor) -> Tensor:
        return torch.sigmoid(eta).mul_(self.weight).sub_(self.positive)

    def along(self, eta: Tensor, ahead: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p = torch.sigmoid(eta)
        pull = self.weight * p
        bend = _dot(torch.addcmul(pull, pull, p, value=-1).mul_(ahead), ahead)
        slope = pull.sub_(self.positive)
        return slope, _dot(slope, ahead), bend

    def join(self, products: Tensor) -> Tensor:
        return products

    def to(self, dtype: torch.dtype) -> Self:
        return type(self)(self.weight.to(dtype), self.positive.to(dtype))

    def keep(self, rows: Tensor) -> Self:
        return type(self)(self.weight[rows], self.positive[rows])


@dataclass(frozen=True)
class _Softmax:
    """One problem: cross-entropy of `(classes, N)` logits with the ids `(N,)`."""

    y: Tensor

    def slope(self, eta: Tensor) -> Tensor:
        return self._minus_target(torch.softmax(eta, 0))

    def _minus_target(self, p: Tensor) -> Tensor:
        p[self.y, torch.arange(len(self.y), device=p.device)] -= 1
        return p

    def along(self, eta: Tensor, ahead: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p = torch.softmax(eta, 0)
        moved = p * ahead
        bend = self.join(_dot(moved, ahead)) - moved.sum(0).square().sum()
        slope = self._minus_target(p)
        return slope, self.join(_dot(slope, ahead)), bend

    def join(self, products: Tensor) -> Tensor:
        return products.sum(0, keepdim=True)

    def to(self, dtype: torch.dtype) -> Self:
        return self

    def keep(self, rows: Tensor) -> Self:
        return self


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Products of rows, `(k, 1)`, without a table of all products."""
    return (a[:, None] @ b[:, :, None])[:, :, 0]


def _centred(bias: Tensor) -> Tensor:
    return bias - bias.mean()


def _checked_factor(targets: Tensor, n: int, pos_weight: Tensor | None) -> Tensor:
    """Factors of the positive terms, `(K,)` float64."""
    if targets.ndim != 2 or len(targets) != n or not targets.shape[1]:
        raise wrong("targets", f"shape {tuple(targets.shape)}", f"shape ({n}, concepts >= 1)")
    known = targets[~targets.isnan()]
    if known.numel() and not (known.min() >= 0 and known.max() <= 1):
        found = f"values in [{float(known.min())}, {float(known.max())}]"
        raise wrong("targets", found, "values in [0, 1], NaN where unknown")
    if pos_weight is None:
        return torch.ones(targets.shape[1], dtype=torch.float64, device=targets.device)
    if pos_weight.shape != targets.shape[1:]:
        shape = tuple(pos_weight.shape)
        raise wrong("pos_weight", f"shape {shape}", f"shape {tuple(targets.shape[1:])}")
    if not ((pos_weight > 0) & pos_weight.isfinite()).all():
        raise wrong("pos_weight", pos_weight.tolist(), "finite numbers above 0")
    return pos_weight.double()


def _binary(targets: Tensor, factor: Tensor) -> tuple[_Binary, Tensor]:
    """The loss of targets `(N, k)`, and which concepts are constant."""
    t = targets.double().T
    known = ~t.isnan()
    low, high = torch.where(known, t, 1.0).amin(1), torch.where(known, t, 0.0).amax(1)
    positive = torch.where(known, factor[:, None] * t, 0.0)
    return _Binary(torch.where(known, positive + 1 - t, 0.0), positive), low >= high


def _start(loss: _Binary, design: Design, fit_intercept: bool) -> Tensor:
    """Zero weights and the best constants, `(k, P)`."""
    w = design.x.new_zeros(len(loss.weight), design.x.shape[1])
    if fit_intercept:
        positive, total = loss.positive.sum(1), loss.weight.sum(1)
        doubt = torch.where((positive > 0) & (positive < total), 0.0, 1.0)
        w[:, -1] = ((positive + doubt / 2) / (total + doubt)).logit() / design.one
    return w


def _check(x: Tensor, l2: float, tol: float, max_iter: int) -> None:
    if not x.is_floating_point():
        raise wrong_type("x", x.dtype, "a floating point dtype")
    if x.ndim != 2 or 0 in x.shape:
        raise wrong("x", f"shape {tuple(x.shape)}", "shape (examples, features), none empty")
    largest = float(x.abs().max())
    if not largest <= 1e12:
        raise wrong("x", f"values of size {largest}", "finite values, at most 1e12 in size")
    for name, value in (("l2", l2), ("tol", tol)):
        if not 0 < value < math.inf:
            raise wrong(name, value, "a finite number above 0")
    if max_iter < 1:
        raise wrong("max_iter", max_iter, "at least 1")
