"""Normal densities whose covariance is a diagonal and a few columns, V = diag(d) + F F^T.

By the matrix inversion lemma, with C = I + F^T diag(1/d) F = L L^T and U = L^-1 F^T diag(1/d),

    V^-1 = diag(1/d) - U^T U,    log det V = sum log d + 2 sum log diag L

so nothing of size P x P is needed: O(P K^2) time and O(P K) memory.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class LowRank:
    """N(mean, diag(diagonal) + factor factor^T), and what its density needs, in float64.

    Attributes:
        mean: `(P,)`.
        diagonal: `(P,)`, above 0.
        factor: `(P, K)`.
        inner: `(K, P)`, U above.
        log_det: of the covariance.
    """

    mean: Tensor
    diagonal: Tensor
    factor: Tensor
    inner: Tensor
    log_det: float

    @classmethod
    def of(cls, mean: Tensor, diagonal: Tensor, factor: Tensor) -> LowRank:
        """From a mean, variances and columns of any floating dtype."""
        mean, diagonal, factor = mean.double(), diagonal.double(), factor.double()
        scaled = factor / diagonal[:, None]
        middle = torch.eye(factor.shape[1], dtype=torch.float64, device=mean.device)
        lower = torch.linalg.cholesky(middle + factor.T @ scaled)
        inner = torch.linalg.solve_triangular(lower, scaled.T, upper=False)
        log_det = diagonal.log().sum() + 2 * lower.diagonal().log().sum()
        return cls(mean, diagonal, factor, inner, float(log_det))

    def log_prob(self, x: Tensor) -> Tensor:
        """`(...,)` log density in nats at `x`, `(..., P)`.

        Example:
            >>> one = LowRank.of(torch.zeros(2), torch.ones(2), torch.zeros(2, 1))
            >>> round(float(one.log_prob(torch.zeros(2))), 6)
            -1.837877
        """
        size = len(self.mean) * math.log(2 * math.pi)
        return -0.5 * (self._distance(x.double() - self.mean) + self.log_det + size)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`(count, P)` draws."""
        shape = (count, len(self.mean)), (count, self.factor.shape[1])
        wide, few = (torch.randn(s, generator=generator, dtype=torch.float64) for s in shape)
        return self.mean + self.diagonal.sqrt() * wide + few @ self.factor.T

    def divergences(self, others: list[LowRank]) -> Tensor:
        """`(others,)` KL(other || self) in nats.

        Example:
            >>> one = LowRank.of(torch.zeros(1), torch.ones(1), torch.zeros(1, 1))
            >>> two = LowRank.of(torch.ones(1), torch.ones(1), torch.zeros(1, 1))
            >>> one.divergences([one, two]).tolist()
            [0.0, 0.5]
        """
        precise = self.diagonal.reciprocal() - self.inner.square().sum(0)  # diagonal of V^-1
        diagonal = torch.stack([o.diagonal for o in others]) @ precise
        factor = torch.stack([o.factor for o in others])
        columns = (factor.square().sum(-1) / self.diagonal).sum(-1)
        columns -= (self.inner @ factor).square().sum((-2, -1))
        apart = self._distance(torch.stack([o.mean for o in others]) - self.mean)
        dets = torch.tensor([self.log_det - o.log_det for o in others], dtype=torch.float64)
        found = 0.5 * (diagonal + columns + apart - len(self.mean) + dets.to(apart.device))
        return found.clamp(min=0)

    def _distance(self, far: Tensor) -> Tensor:
        """far^T V^-1 far."""
        return (far.square() / self.diagonal).sum(-1) - (far @ self.inner.T).square().sum(-1)
