"""Twelve bits on a circle, the small networks that learn them, and many of these at once.

The task is of the information plane's kind: a rule that turning the circle does not change, how
often neighbours at distances 1, 2 and 3 are both set, weighed and cut at the median. The network is
12-10-7-5-4-3-2.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

BITS, WIDTHS = 12, (10, 7, 5, 4, 3, 2)
TRAIN = 3277  # 80 % of the patterns
BATCH, RATE = 512, 4e-4
LAYERS = ("1", "3", "5", "7", "9", "softmax")  # the hidden ones after their units


class CentredSoftplus(nn.Module):
    """log(1 + exp(t)) - log 2, which is 0 at 0."""

    def forward(self, t: Tensor) -> Tensor:
        """Entry by entry."""
        return nn.functional.softplus(t) - math.log(2)


class Absolute(nn.Module):
    """|t|."""

    def forward(self, t: Tensor) -> Tensor:
        """Entry by entry."""
        return t.abs()


UNITS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "swish": nn.SiLU,
    "softplus": nn.Softplus,
    "centred softplus": CentredSoftplus,
    "absolute": Absolute,
}


def task() -> tuple[Tensor, Tensor]:
    """All patterns `(4096, 12)` and the answers of the rule, `(4096,)`, half of them 1.

    Example:
        >>> x, y = task()
        >>> x.shape, bool((y == y[(x.roll(1, 1) @ 2.0 ** torch.arange(11, -1, -1)).long()]).all())
        (torch.Size([4096, 12]), True)
    """
    x = torch.tensor(list(itertools.product([0.0, 1.0], repeat=BITS)))
    both = torch.stack([(x * x.roll(k, 1)).sum(1) for k in (1, 2, 3)], 1)
    score = both @ torch.tensor([10.0, 6.0, 3.0])  # whole numbers: turned patterns tie exactly
    return x, (score > score.median()).long()


def net(units: str, seed: int) -> nn.Sequential:
    """The network: truncated normal weights of deviation 1 / sqrt(fan-out), no biases at first."""
    source = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise((BITS, *WIDTHS)):
        linear = nn.Linear(inputs, outputs)
        deviation = 1 / math.sqrt(outputs)
        with torch.no_grad():
            nn.init.trunc_normal_(
                linear.weight, 0.0, deviation, -2 * deviation, 2 * deviation, generator=source
            )
            linear.bias.zero_()
        layers += [linear, UNITS[units]()]
    return nn.Sequential(*layers[:-1])


@dataclasses.dataclass(frozen=True)
class Plan:
    """One network of a stack.

    Attributes:
        units: a name in `UNITS`.
        seed: of first weights, of which patterns are trained on, and of their order.
        penalty: L2, added to the loss as penalty x the sum of squared weights.
        shuffled: whether labels are dealt out at random.
    """

    units: str
    seed: int
    penalty: float = 0.0
    shuffled: bool = False


class Stack:
    """Networks that train side by side by Adam, one batched product a layer.

    Plans of one seed share the patterns trained on and their order.

    Args:
        plans: those of the same units one after the other, for speed.
    """

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.plans = tuple(plans)
        self.x, y = task()
        models = [net(plan.units, plan.seed) for plan in self.plans]
        linear = [[m for m in model if isinstance(m, nn.Linear)] for model in models]
        self.weights = [
            torch.stack([one.weight.detach() for one in layer]).requires_grad_()
            for layer in zip(*linear, strict=True)
        ]
        self.biases = [torch.zeros(len(models), width, requires_grad=True) for width in WIDTHS]
        seeds = sorted({plan.seed for plan in self.plans})
        self._sources = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._of = torch.tensor([seeds.index(plan.seed) for plan in self.plans])
        dealt = [y[torch.randperm(len(y), generator=source)] for source in self._sources]
        order = torch.stack([torch.randperm(len(y), generator=s) for s in self._sources])
        self.train, self.test = order[:, :TRAIN], order[:, TRAIN:]
        self.y = torch.stack(
            [dealt[i] if plan.shuffled else y for i, plan in zip(self._of, self.plans, strict=True)]
        )
        self._penalty = torch.tensor([plan.penalty for plan in self.plans])[:, None, None]
        self._parameters = [*self.weights, *self.biases]
        self._optimizer = torch.optim.Adam(self._parameters, lr=RATE, fused=True)
        self._runs = [
            (units, len(list(group)))
            for units, group in itertools.groupby(plan.units for plan in self.plans)
        ]
        self._units = {units: UNITS[units]() for units, _ in self._runs}

    def epoch(self) -> None:
        """One pass over the patterns trained on."""
        shuffled = torch.stack([torch.randperm(TRAIN, generator=s) for s in self._sources])
        for rows in self.train.gather(1, shuffled).split(BATCH, 1):
            mine = rows[self._of]
            logits = self._forward(self.x[rows][self._of])[-1]
            losses = nn.functional.cross_entropy(
                logits.flatten(0, 1), self.y.gather(1, mine).flatten()
            )
            # The mean over networks, so that each has the gradient of its own mean loss.
            grads = torch.autograd.grad(losses * len(self.plans), self._parameters)
            for p, g in zip(self._parameters, grads, strict=True):
                whole = g + 2 * self._penalty * p.detach() if p.ndim == 3 else g
                # The fused step reads memory in order, and gradients of weights come transposed.
                p.grad = whole.contiguous()
            self._optimizer.step()

    def layers(self) -> list[Tensor]:
        """For each of `LAYERS` the activations of all networks, `(networks, 4096, width)`."""
        with torch.no_grad():
            *hidden, logits = self._forward(self.x.expand(len(self.plans), -1, -1))
            return [*hidden, logits.softmax(-1)]

    def accuracy(self) -> tuple[list[float], list[float]]:
        """Share of right answers, one a network: of the patterns trained on, and of the others."""
        right = (self.layers()[-1].argmax(-1) == self.y).double()
        parts = (
            right.gather(1, rows[self._of]).mean(1).tolist() for rows in (self.train, self.test)
        )
        train, test = parts
        return train, test

    def _forward(self, h: Tensor) -> list[Tensor]:
        found: list[Tensor] = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            h = torch.baddbmm(bias[:, None], h, weight.mT)
            if len(found) < len(WIDTHS) - 1:
                sizes = [count for _, count in self._runs]
                parts = zip(self._runs, h.split(sizes), strict=True)
                h = torch.cat([self._units[units](part) for (units, _), part in parts])
            found.append(h)
        return found
