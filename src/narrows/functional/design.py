"""The design matrix of linear models, made easy to solve."""

from __future__ import annotations

import torch
from torch import Tensor


class Design:
    """The inputs of a ridge-penalised linear model as a solver wants them, and the way back.

    With an intercept the inputs are centred, which changes nothing but the numerics. Features
    in excess of examples are rotated away: the optimum lies in the span of the examples.

    Memory: `x` in float64, and the rotation, `D N`, where `D > N`.

    Attributes:
        x: `(N, P)` float64; the last column is the intercept's.
        ridge: `(P,)`, `l2` for weights and 0 for the intercept.
        one: what the intercept's column holds.

    Args:
        x: `(N, D)`.
        fit_intercept: whether there is an intercept.
        l2: factor of the squared weights.

    Example:
        >>> design = Design(torch.tensor([[1.0], [3.0]]), fit_intercept=True, l2=0.5)
        >>> design.x.tolist(), design.ridge.tolist()
        ([[-1.0, 2.0], [1.0, 2.0]], [0.5, 0.0])
    """

    def __init__(self, x: Tensor, fit_intercept: bool, l2: float) -> None:
        x = x.double()
        self.mean = x.mean(0) if fit_intercept else None
        x = x if self.mean is None else x - self.mean
        self.rotation = None
        if x.shape[1] > len(x):
            self.rotation, triangle = torch.linalg.qr(x.T)
            x = triangle.T
        ridge = x.new_full((x.shape[1],), l2)
        if self.mean is not None:
            # As long as the mean, so that a small gradient is small without centring too.
            self.one = max(1.0, float(self.mean.norm()))
            x = torch.cat([x, x.new_full((len(x), 1), self.one)], 1)
            ridge = torch.cat([ridge, ridge.new_zeros(1)])
        self.x, self.ridge = x, ridge

    def unpack(self, w: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weight `(k, D)` and bias `(k,)` for the original inputs, float32 at least.

        Args:
            w: `(k, P)` parameters of `self.x`.
            dtype: of the original inputs.
        """
        weight = w if self.mean is None else w[:, :-1]
        weight = weight if self.rotation is None else weight @ self.rotation.T
        bias = w.new_zeros(len(w))
        if self.mean is not None:
            bias = self.one * w[:, -1] - weight @ self.mean
        dtype = torch.promote_types(dtype, torch.float32)
        return weight.to(dtype), bias.to(dtype)
