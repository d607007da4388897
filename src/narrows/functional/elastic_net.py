"""Sparse linear models along a path of penalties, each solved to its optimum.

    min_{W, b}  1/n sum_i loss(W x_i + b, y_i)  +  lam (alpha |W|_1 + (1 - alpha) |W|^2 / 2)

The inputs are standardised and the biases free. The path starts at the least penalty at which all
weights are zero and goes down by a constant factor (Friedman, Hastie and Tibshirani, J. Stat.
Softw. 33, 2010). Steps of 2^0.1 with alpha = 0.99 are those of the sparse final layers of Wong,
Santurkar and Madry (ICML 2021, arXiv 2105.04857), which label-free and vision-language concept
bottlenecks take over. Their solver, a stochastic one, stops when the loss seems to stall; here
each step is solved by Newton steps (see `narrows.functional.elastic_net_newton`), begun where the
line through the last two solutions points, and what is left of the optimality conditions is
reported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type
from narrows.functional.elastic_net_losses import Softmax, Squares
from narrows.functional.elastic_net_newton import PATIENCE, Found, solve
from narrows.functional.elastic_net_problem import Problem

ALPHA = 0.99
FACTOR = 2**0.1
STEPS = 150
_CONSTANT = 1e-10  # a deviation below this share of the size is rounding


@dataclass(frozen=True)
class ElasticNetPath:
    """Linear models, from the strongest penalty to the weakest.

    Attributes:
        penalties: `(S,)` lam, falling.
        weight: `(S, L, D)` for standardised inputs, with exact zeros.
        bias: `(S, L)`; of a softmax normalised so that the exponentials sum to one, which makes
            them log-probabilities of an example at the mean. -inf for classes without examples.
        mean: `(D,)` of the inputs.
        scale: `(D,)` their standard deviations; 1 where an input does not vary.
        residual: `(S,)` the largest violation of the optimality conditions (Karush, Kuhn,
            Tucker), as a share of lam alpha.
        iterations: `(S,)` Newton steps.

    Example:
        >>> x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
        >>> path = softmax_path(x, torch.tensor([0, 0, 1, 1]), 2, steps=5)
        >>> path.nonzeros.tolist()
        [0.0, 1.0, 1.0, 1.0, 1.0]
    """

    penalties: Tensor
    weight: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor
    residual: Tensor
    iterations: Tensor

    def __len__(self) -> int:
        return len(self.penalties)

    @property
    def nonzeros(self) -> Tensor:
        """`(S,)` the mean number of weights per output that are not zero."""
        return (self.weight != 0).sum(2).double().mean(1)

    def head(self, step: int) -> tuple[Tensor, Tensor]:
        """Weight `(L, D)` and bias `(L,)` for inputs that are not standardised."""
        weight = self.weight[step] / self.scale
        return weight, self.bias[step] - weight @ self.mean


def softmax_path(
    x: Tensor,
    y: Tensor,
    n_classes: int,
    *,
    alpha: float = ALPHA,
    penalties: Tensor | None = None,
    factor: float = FACTOR,
    steps: int = STEPS,
    stop: float = math.inf,
    tol: float = 1e-4,
    max_iter: int = 200,
) -> ElasticNetPath:
    """Multinomial logistic regression along the path, all classes together.

    Memory: `x` in float64 and twice in float32, about eight arrays of `n` times the classes, and
    the path itself, `S L D` numbers.

    Args:
        x: `(n, D)` finite inputs.
        y: `(n,)` class ids below `n_classes`.
        n_classes: rows of the weight.
        alpha: share of the absolute values in the penalty, in (0, 1].
        penalties: `(S,)` lam, above 0 and falling; None starts where all weights are zero.
        factor: between one lam and the next, above 1.
        steps: how many.
        stop: the path ends at the first step with so many nonzero weights a class.
        tol: violation allowed, as a share of lam alpha.
        max_iter: Newton steps allowed for one lam.

    Raises:
        InvalidInput: values or shapes other than these.
        InvalidType: `x` is not floating point, or `y` not int64.

    Example:
        >>> x, y = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([0, 1, 1])
        >>> path = softmax_path(x, y, 2)
        >>> path.bias[0].exp()
        tensor([0.3333, 0.6667])
    """
    _check_rows(x, alpha)
    if y.dtype != torch.int64:
        raise wrong_type("y", y.dtype, "int64 class ids")
    if y.shape != x.shape[:1]:
        raise wrong("y", f"shape {tuple(y.shape)}", f"shape ({len(x)},)")
    if not (y.min() >= 0 and y.max() < n_classes):
        raise wrong("y", f"ids in [{y.min()}, {y.max()}]", f"ids in [0, {n_classes})")
    counts = torch.bincount(y, minlength=n_classes)
    rows = counts.nonzero().flatten()
    loss = Softmax(torch.searchsorted(rows, y))
    start = (counts[rows].double() / len(y)).log()
    path = _follow(x, loss, start, alpha, _Route(penalties, factor, steps, stop, tol, max_iter))
    weight = path.weight.new_zeros(len(path), n_classes, x.shape[1])
    bias = path.bias.new_full((len(path), n_classes), -torch.inf)
    weight[:, rows], bias[:, rows] = path.weight, path.bias.log_softmax(1)
    return ElasticNetPath(
        path.penalties, weight, bias, path.mean, path.scale, path.residual, path.iterations
    )


def squared_path(
    x: Tensor,
    y: Tensor,
    *,
    alpha: float = ALPHA,
    penalties: Tensor | None = None,
    factor: float = FACTOR,
    steps: int = STEPS,
    tol: float = 1e-4,
    max_iter: int = 200,
) -> ElasticNetPath:
    """Least squares along the path, half the mean squared error of each output.

    Args:
        x: `(n, D)` finite inputs.
        y: `(n, L)` finite targets.
        alpha: as in `softmax_path`, like all that follow.
        penalties: lam.
        factor: between one lam and the next.
        steps: how many.
        tol: violation allowed.
        max_iter: Newton steps allowed.

    Raises:
        InvalidInput: values or shapes other than these.
        InvalidType: `x` is not floating point.

    Example:
        >>> x = torch.tensor([[1.0], [-1.0]])  # standardised: the weight is a soft threshold
        >>> path = squared_path(x, 3 * x, alpha=1.0, penalties=torch.tensor([1.0]))
        >>> path.weight
        tensor([[[2.]]])
    """
    _check_rows(x, alpha)
    if y.ndim != 2 or len(y) != len(x) or not y.shape[1]:
        raise wrong("y", f"shape {tuple(y.shape)}", f"shape ({len(x)}, outputs >= 1)")
    if not bool(y.isfinite().all()):
        raise wrong("y", "values that are NaN or infinite", "finite targets")
    y = y.double()
    route = _Route(penalties, factor, steps, math.inf, tol, max_iter)
    return _follow(x, Squares(y), y.mean(0), alpha, route)


@dataclass(frozen=True)
class _Route:
    """Which penalties to visit, and how well to solve each."""

    penalties: Tensor | None
    factor: float
    steps: int
    stop: float
    tol: float
    max_iter: int

    def __post_init__(self) -> None:
        if not 1 < self.factor < math.inf:
            raise wrong("factor", self.factor, "a finite number above 1")
        if self.steps < 1 or self.max_iter < 1:
            raise wrong("steps, max_iter", (self.steps, self.max_iter), "at least 1")
        if not 0 < self.tol < 1:
            raise wrong("tol", self.tol, "a number in (0, 1)")
        if not self.stop > 0:
            raise wrong("stop", self.stop, "a number above 0")
        given = self.penalties
        if given is None:
            return
        if given.ndim != 1 or not len(given) or not bool(((given > 0) & given.isfinite()).all()):
            raise wrong("penalties", given, "a row of finite numbers above 0")
        if bool((given.diff() >= 0).any()):
            raise wrong("penalties", given.tolist(), "falling numbers")

    def visit(self, largest: float) -> list[float]:
        """The penalties, when all weights are zero from `largest` on."""
        if self.penalties is not None:
            return self.penalties.double().tolist()
        return [largest / self.factor**s for s in range(self.steps)]


def _follow(
    x: Tensor, loss: Softmax | Squares, bias: Tensor, alpha: float, route: _Route
) -> ElasticNetPath:
    mean, scale, z = _standardise(x.double())
    problem = Problem(z, loss, alpha)
    w = z.new_zeros(len(bias), z.shape[1])
    w[:, -1] = bias
    gradient = loss.slope(z @ w.T).T @ z
    # Where no input tells anything the weights are zero at any penalty; it must only be above 0.
    largest = max(float(gradient[:, :-1].abs().max()) / alpha, 1e-10)
    # One part in 10^12 above, so that rounding cannot wake a weight at the first step.
    visited: list[float] = []
    found: list[Found] = []
    for lam in route.visit(largest * (1 + 1e-12)):
        patience = found[-1].plain if found else PATIENCE
        start = _ahead(w, found)
        found.append(solve(problem, start, lam, route.tol, route.max_iter, patience))
        visited.append(lam)
        if float((found[-1].w[:, :-1] != 0).sum()) >= route.stop * len(bias):
            break
    dtype = torch.promote_types(x.dtype, torch.float32)
    return ElasticNetPath(
        penalties=torch.tensor(visited, dtype=torch.float64),
        weight=torch.stack([f.w[:, :-1].to(dtype) for f in found]),
        bias=torch.stack([f.w[:, -1].to(dtype) for f in found]),
        mean=mean.to(dtype),
        scale=scale.to(dtype),
        residual=torch.tensor([f.residual for f in found], dtype=torch.float64),
        iterations=torch.tensor([f.steps for f in found]),
    )


def _ahead(first: Tensor, found: list[Found]) -> Tensor:
    """Where the line through the last two solutions points; no weight changes its side of zero."""
    if not found:
        return first
    last = found[-1].w
    if len(found) == 1:
        return last
    ahead = 2 * last - found[-2].w
    ahead[:, :-1] = torch.where(ahead * last > 0, ahead, 0.0)[:, :-1]
    return ahead


def _standardise(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean `(D,)`, scale `(D,)`, and `(n, D + 1)` standardised inputs beside a column of ones."""
    mean = x.mean(0)
    centred = x - mean
    scale = centred.square().mean(0).sqrt()
    still = scale <= _CONSTANT * x.abs().amax(0)
    scale = torch.where(still, 1.0, scale)
    z = torch.where(still, 0.0, centred / scale)
    return mean, scale, torch.cat([z, torch.ones_like(z[:, :1])], 1)


def _check_rows(x: Tensor, alpha: float) -> None:
    if not x.is_floating_point():
        raise wrong_type("x", x.dtype, "a floating point dtype")
    if x.ndim != 2 or 0 in x.shape:
        raise wrong("x", f"shape {tuple(x.shape)}", "shape (examples, inputs), none empty")
    largest = float(x.abs().max())
    if not largest <= 1e12:
        raise wrong("x", f"values of size {largest}", "finite values, at most 1e12 in size")
    if not 0 < alpha <= 1:
        raise wrong("alpha", alpha, "a number in (0, 1]")
