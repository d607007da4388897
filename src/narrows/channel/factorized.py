"""A learned density for each symbol of a channel: the fully factorised prior.

Balle, Minnen, Singh, Hwang and Johnston, "Variational image compression with a scale
hyperprior", ICLR 2018, arXiv 1802.01436, appendix 6.1. The cumulative of one unit is

    c = sigmoid(f_K o ... o f_1),   f_k(x) = g_k(softplus(H_k) x + b_k),
    g_k(x) = x + tanh(a_k) tanh(x) for k < K,   g_K(x) = x

with positive matrices and gates above -1, so c grows from 0 to 1 and nothing else is assumed of
it. A unit rounded to the integer u has p(u) = c(u + 1/2) - c(u - 1/2); the same difference is the
density of the unit plus uniform noise, so training on noise prices what rounding will cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from narrows.errors import wrong

_FLAT = 1e-9  # a smaller rise of f over one step is rounding noise: the density is flat there


class FactorizedPrior(nn.Module):
    """One learned density for each of `units` numbers.

    Args:
        units: how many densities.
        filters: widths of the layers between input and output of each cumulative.
        spread: half the range over which the untrained density is wide.

    Raises:
        InvalidInput: no units, an empty layer, or a spread that is not positive.

    Example:
        >>> prior = FactorizedPrior(2)
        >>> symbols = torch.arange(-200.0, 201.0)[:, None].expand(-1, 2)
        >>> probabilities = (-prior.nats(symbols)).exp()
        >>> torch.allclose(probabilities.sum(0), torch.ones(2))
        True
    """

    def __init__(
        self, units: int, filters: Sequence[int] = (3, 3, 3), spread: float = 10.0
    ) -> None:
        if units < 1 or any(width < 1 for width in filters):
            raise wrong("units, filters", f"{units}, {tuple(filters)}", "sizes of at least 1")
        if not 0 < spread < math.inf:
            raise wrong("spread", spread, "a finite number > 0")
        super().__init__()
        self.units = units
        sizes = (1, *filters, 1)
        step = spread ** (1 / (len(sizes) - 1))
        self.matrices, self.biases = nn.ParameterList(), nn.ParameterList()
        self.gates = nn.ParameterList(torch.zeros(units, width, 1) for width in filters)
        for inner, outer in pairwise(sizes):
            # softplus of this is 1 / (step * outer), so that f starts as x / spread, shifted.
            start = math.log(math.expm1(1 / (step * outer)))
            self.matrices.append(torch.full((units, outer, inner), start))
            self.biases.append(torch.rand(units, outer, 1) - 0.5)

    def logits(self, x: Tensor) -> Tensor:
        """The logit of each cumulative at `(*batch, units)`, increasing in x; x's precision."""
        self._check(x)
        f = x.reshape(-1, self.units).T.unsqueeze(1)  # (units, 1, batch)
        for k, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            f = torch.baddbmm(bias.to(x.dtype), softplus(matrix.to(x.dtype)), f)
            if k < len(self.gates):
                f = f + self.gates[k].to(x.dtype).tanh() * f.tanh()
        return f.squeeze(1).T.reshape(x.shape)

    def cumulative(self, x: Tensor) -> Tensor:
        """The cumulative distribution of each unit at `(*batch, units)`."""
        return self.logits(x).sigmoid()

    def nats(self, x: Tensor) -> Tensor:
        """-log(c(x + 1/2) - c(x - 1/2)) for each number of `(*batch, units)`.

        With a > b the logits at both ends, sigmoid(a) - sigmoid(b) is
        sigmoid(a) sigmoid(-b) (1 - exp(b - a)): a product that does not underflow in the tails.
        """
        self._check(x)
        high, low = self.logits(torch.stack([x + 0.5, x - 0.5]))
        rise = (high - low).clamp(min=_FLAT)
        return softplus(-high) + softplus(low) - torch.log(-torch.expm1(-rise))

    def _check(self, x: Tensor) -> None:
        if x.shape[-1:] != (self.units,):
            raise wrong("x", f"shape {tuple(x.shape)}", f"shape (*batch, {self.units})")
