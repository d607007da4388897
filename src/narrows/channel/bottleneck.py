"""d"""
from __future__ import annotations

import torch
from torch import Tensor, nn

from narrows import distributed
from narrows.bottleneck import Bottleneck
from narrows.channel.factorized import FactorizedPrior
from narrows.reading import Reading

class QuantizedBottleneck(Bottleneck):
    def __init__(self, features: int, units: int = 32, rate_weight: float = 1e-3, scale=False) -> None:
        super().__init__([f"s{i}" for i in range(units)])
        self.rate_weight=rate_weight
        self.linear = nn.Linear(features, units)
        self.prior = FactorizedPrior(units)
        self.sc=nn.Parameter(torch.ones(units)) if scale else None

    def read(self, h: Tensor) -> Reading:
        y = self.linear(h)
        u = y + torch.rand_like(y) - 0.5 if self.training else y.round()
        rate = self.prior.nats(u).sum(-1)
        return Reading(u, rate=rate, penalty=self.rate_weight * distributed.mean(rate))
    def write(self,reading):
        return reading.units if self.sc is None else reading.units*self.sc
