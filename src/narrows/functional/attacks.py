"""Attacks: the smallest change of an input that hurts most, to first order."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from narrows.errors import wrong, wrong_type


def fgsm(
    predict: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    eps: float,
    clamp: tuple[float, float] | None = None,
) -> Tensor:
    """Fast gradient sign method: `x + eps * sign(d CE(predict(x), y) / dx)`.

    Goodfellow, Shlens and Szegedy, ICLR 2015, arXiv 1412.6572. The step is the worst one of the
    l-infinity ball for a linear model. A noisy `predict` is attacked through the noise it draws
    in this one call; give the mean prediction to attack that.

    Args:
        predict: from `(batch, ...)` to `(batch, classes)` logits, differentiable.
        x: `(batch, ...)` floating-point inputs.
        y: `(batch,)` int64 class ids.
        eps: size of the step in the units of x, at least 0.
        clamp: the range inputs can have; None allows any.

    Returns:
        `(batch, ...)` attacked inputs, without gradient. No parameter's gradient is changed.

    Raises:
        InvalidInput: a negative or infinite eps, an empty range, shapes that differ.
        InvalidType: x or y of another dtype.

    Example:
        >>> fgsm(lambda x: x, torch.tensor([[2.0, 0.5]]), torch.tensor([0]), eps=0.25)
        tensor([[1.7500, 0.7500]])
    """
    _check(x, y, eps, clamp)
    with torch.enable_grad():
        moved = x.detach().clone().requires_grad_(True)
        # Summed, so that each row's gradient is its own, however many rows there are.
        loss = cross_entropy(predict(moved), y, reduction="sum")
        (slope,) = torch.autograd.grad(loss, moved)
    attacked = x.detach() + eps * slope.sign()
    return attacked if clamp is None else attacked.clamp(*clamp)


def _check(x: Tensor, y: Tensor, eps: float, clamp: tuple[float, float] | None) -> None:
    if not x.is_floating_point():
        raise wrong_type("x", f"dtype {x.dtype}", "a floating-point tensor")
    if y.dtype != torch.int64:
        raise wrong_type("y", f"dtype {y.dtype}", "int64 class ids")
    if y.shape != x.shape[:1] or x.ndim < 1:
        raise wrong("y", f"shape {tuple(y.shape)}", f"shape {tuple(x.shape[:1])}")
    if not 0 <= eps < math.inf:
        raise wrong("eps", eps, "a finite number >= 0")
    if clamp is not None and not clamp[0] <= clamp[1]:
        raise wrong("clamp", clamp, "(low, high) with low <= high")
