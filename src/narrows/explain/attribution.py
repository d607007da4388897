"""Which parts of the input does a score come from?

Two attributions of a score f at x, relative to a baseline x0 (zeros unless given):

    gradient_x_input       (x - x0) * grad f(x)
    integrated_gradients   (x - x0) * mean over t of grad f(x0 + t (x - x0)),  t = midpoints of
                           `steps` equal parts of [0, 1]

Integrated gradients (Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML
2017, arXiv 1703.01365) are complete: they sum to f(x) - f(x0), up to an error that shrinks with
the square of `steps` where f is smooth. For a linear f both are w_p (x_p - x0_p) exactly. Public
code often takes the left or right ends of the parts; midpoints converge faster.

Any class of Captum is used by its name, as `captum.Saliency`, where Captum is installed; Narrows
does not need it.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.errors import InvalidInput, MissingExtra, unknown, wrong, wrong_type

METHODS = ("gradient_x_input", "integrated_gradients")
_NO_GRADIENT = (
    "score: found no gradient with respect to x, wanted a differentiable score; "
    "replacing pixels (narrows.measure.swap) needs none"
)
_NUMBERS = 2**22  # inputs in one piece: 16 MiB of float32, beside what the network keeps

Score = Callable[[Tensor], Tensor]


def attribute(
    score: Score,
    x: Tensor,
    units: Sequence[int],
    method: str = "integrated_gradients",
    /,
    *,
    baseline: Tensor | None = None,
    steps: int = 32,
    **options: Any,
) -> Tensor:
    """Attribute scores to the input, `(n, units, *features)`.

    Concept logits are a better `score` than probabilities, whose gradient dies where they are
    sure. Rows must not depend on one another: put batch norms in evaluation mode. Memory: the
    result, and what the network keeps of 2^22 inputs at a time.

    Args:
        score: from `(n, *features)` to `(n, scores)`, differentiable.
        x: `(n, *features)`, finite.
        units: which scores.
        method: `gradient_x_input`, `integrated_gradients`, or `captum.<class>`.
        baseline: `(*features)` or like x; by default zeros.
        steps: parts of the path, for integrated gradients.
        options: given to Captum's `attribute`.

    Raises:
        InvalidInput: shapes, units or numbers that cannot be, or a score without gradient.
        UnknownName: a method that does not exist.
        MissingExtra: Captum is asked for and not installed.

    Example:
        >>> w = torch.tensor([[1.0, 0.0], [2.0, -1.0]])
        >>> attribute(lambda x: x @ w.T, torch.tensor([[3.0, 5.0]]), [0, 1])
        tensor([[[ 3.,  0.],
                 [ 6., -5.]]])
    """
    x, start = _checked(x, baseline)
    if steps < 1:
        raise wrong("steps", steps, "at least 1")
    if method.startswith("captum."):
        return _captum(score, x, start, units, method.removeprefix("captum."), options)
    if method not in METHODS:
        raise unknown("method", method, (*METHODS, "captum.<class>"))
    if options:
        raise unknown("option", next(iter(options)), ("baseline", "steps"))
    times = torch.ones(1)
    if method == "integrated_gradients":
        times = (torch.arange(steps) + 0.5) / steps
    times = times.to(x)
    size = max(1, _NUMBERS // max(1, x[0].numel()))
    parts = []
    # Whole rows with their paths, or where one path is too long, pieces of it.
    for rows in torch.arange(len(x), device=x.device).split(max(1, size // len(times))):
        change = x[rows] - start[rows]
        total = change.new_zeros(len(rows), len(units), *x.shape[1:])
        for some in times.split(size):
            path = start[rows] + some.view(-1, *[1] * x.ndim) * change
            total += (
                _gradients(score, path.flatten(0, 1), units).unflatten(0, path.shape[:2]).sum(0)
            )
        parts.append(total / len(times) * change[:, None])
    return torch.cat(parts)


def heat(attribution: Tensor) -> Tensor:
    """Attributions of pixels `(n, units, channels, H, W)` summed over channels.

    Example:
        >>> heat(torch.ones(1, 1, 3, 2, 2)).shape
        torch.Size([1, 1, 2, 2])
    """
    if attribution.ndim != 5:
        found = f"shape {tuple(attribution.shape)}"
        raise wrong("attribution", found, "(n, units, channels, height, width)")
    return attribution.sum(2)


def _gradients(score: Score, x: Tensor, units: Sequence[int]) -> Tensor:
    """`(n, units, *features)` gradient of each score with respect to its own row."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        said = score(x)
        _check_scores(said, len(x), units)
        found = []
        for unit in units:
            # Units share the forward pass; one that does not depend on x has gradient zero.
            (slope,) = torch.autograd.grad(
                said[:, unit].sum(), x, retain_graph=True, allow_unused=True
            )
            found.append(slope)
    if all(slope is None for slope in found):
        raise InvalidInput(_NO_GRADIENT)
    return torch.stack([torch.zeros_like(x) if s is None else s for s in found], 1)


def _check_scores(said: Tensor, rows: int, units: Sequence[int]) -> None:
    if said.ndim != 2 or len(said) != rows:
        raise wrong("score", f"output shape {tuple(said.shape)}", f"({rows}, scores)")
    if not said.requires_grad:
        raise InvalidInput(_NO_GRADIENT)
    if not len(units) or any(not 0 <= u < said.shape[1] for u in units):
        raise wrong("units", tuple(units), f"places in 0..{said.shape[1] - 1}")
    if not bool(said.isfinite().all()):
        raise wrong("score", "a number that is NaN or infinite", "finite scores")


def _checked(x: Tensor, baseline: Tensor | None) -> tuple[Tensor, Tensor]:
    """Inputs and baseline, of one shape."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise wrong_type("x", getattr(x, "dtype", type(x).__name__), "a floating-point tensor")
    if x.ndim < 2 or not x.numel():
        raise wrong("x", f"shape {tuple(x.shape)}", "(n, *features), not empty")
    if baseline is None:
        baseline = torch.zeros_like(x[0])
    if baseline.shape not in (x.shape, x.shape[1:]):
        wanted = f"shape {tuple(x.shape[1:])} or {tuple(x.shape)}"
        raise wrong("baseline", f"shape {tuple(baseline.shape)}", wanted)
    for argument, part in (("x", x), ("baseline", baseline)):
        if not bool(part.isfinite().all()):
            raise wrong(argument, "a number that is NaN or infinite", "finite numbers")
    return x.detach(), baseline.detach().to(x).expand_as(x)


def _captum(
    score: Score, x: Tensor, start: Tensor, units: Sequence[int], name: str, options: dict[str, Any]
) -> Tensor:
    """One of Captum's attributions for each unit, with the baseline where it takes one."""
    try:
        captum = importlib.import_module("captum.attr")
    except ImportError as error:
        raise MissingExtra("captum is needed here: pip install captum") from error
    kind = getattr(captum, name, None)
    if not isinstance(kind, type):
        raise unknown("method", f"captum.{name}", (f"captum.{n}" for n in dir(captum)))
    with torch.no_grad():
        shape = score(x[:1]).shape
    if not len(units) or any(not 0 <= u < shape[-1] for u in units):
        raise wrong("units", tuple(units), f"places in 0..{shape[-1] - 1}")
    method = kind(score)
    if "baselines" in inspect.signature(method.attribute).parameters:
        options = {"baselines": start, **options}
    with torch.enable_grad():
        found = [
            method.attribute(x.clone().requires_grad_(), target=unit, **options) for unit in units
        ]
    return torch.stack([part.detach() for part in found], 1)
