"""A normal distribution over weights from the path of SGD (SWAG; Maddox et al., NeurIPS 2019).

Of weights theta_1 ... theta_T, collected at the end of training, and the last K deviations D from
the running mean,

    theta ~ N(mean, diag / 2 + D D^T / (2 (K - 1))),    diag = mean(theta^2) - mean^2

one block for each parameter tensor, blocks apart, as Kawaguchi et al. (ICML 2023) use it. Draws
here are of that same distribution; in SWAG's own code the K numbers behind D are shared by all
blocks. The variances are kept by Welford's update, which does not subtract two squares.

A weight that does not move (a dead unit) has variance 0 and an infinite density. `floor` is the
least variance of `diag / 2`; the released code of Kawaguchi et al. adds 1e-6. Information between
data and weights depends on it: it is noise that the weights are imagined to have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from narrows.errors import unknown, wrong
from narrows.measure.generalization.low_rank import LowRank

Parameters = nn.Module | Mapping[str, Tensor]


class SWAG:
    """Weights seen so far, as a distribution.

    Args:
        columns: K, deviations to keep, 2 or more.
        floor: least variance on the diagonal, above 0.

    Attributes:
        collected: how many weights were seen.

    Memory: `K + 2` times the parameters.

    Raises:
        InvalidInput: fewer than 2 columns, a floor not above 0.

    Example:
        >>> model, swag = nn.Linear(2, 1), SWAG()
        >>> for step in range(3):
        ...     with torch.no_grad():
        ...         _ = model.weight.fill_(step)
        ...     swag.collect(model)
        >>> swag.mean["weight"].tolist(), swag.names
        ([[1.0, 1.0]], ('weight', 'bias'))
        >>> swag.sample(5, torch.Generator().manual_seed(0))["weight"].shape
        torch.Size([5, 1, 2])
    """

    def __init__(self, columns: int = 10, floor: float = 1e-6) -> None:
        if columns < 2:
            raise wrong("columns", columns, "2 or more")
        if not 0 < floor < float("inf"):
            raise wrong("floor", floor, "a variance above 0")
        self.columns, self.floor, self.collected = columns, floor, 0
        self.mean: dict[str, Tensor] = {}
        self._squares: dict[str, Tensor] = {}
        self._deviations: dict[str, list[Tensor]] = {}

    @torch.no_grad()
    def collect(self, parameters: Parameters) -> None:
        """Take in the weights as they are now.

        Args:
            parameters: a module, or name to tensor in the order of the layers.

        Raises:
            InvalidInput: weights that are not finite, or of other names or shapes than before.
        """
        named = parameters.named_parameters() if isinstance(parameters, nn.Module) else None
        given = {name: p.detach() for name, p in (named or _items(parameters))}
        self._check(given)
        self.collected += 1
        for name, value in given.items():
            if self.collected == 1:
                self.mean[name] = value.clone()
                self._squares[name] = torch.zeros_like(value)
                self._deviations[name] = [torch.zeros_like(value)]
                continue
            step = value - self.mean[name]
            self.mean[name].add_(step, alpha=1 / self.collected)
            kept = self._deviations[name]
            oldest = kept.pop(0) if len(kept) == self.columns else torch.empty_like(value)
            kept.append(torch.sub(value, self.mean[name], out=oldest))
            self._squares[name].addcmul_(step, kept[-1])

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, in order."""
        return tuple(self.mean)

    @property
    def variance(self) -> dict[str, Tensor]:
        """mean(theta^2) - mean^2, no floor."""
        return {name: s / max(self.collected, 1) for name, s in self._squares.items()}

    @property
    def deviations(self) -> dict[str, Tensor]:
        """`(K, ...)` the last deviations from the running mean, oldest first."""
        return {name: torch.stack(kept) for name, kept in self._deviations.items()}

    def upto(self, layer: str | None = None) -> tuple[str, ...]:
        """The parameters from the first to the last one of a layer; all by default.

        Raises:
            UnknownName: no layer or parameter of this name.
        """
        if layer is None:
            return self.names
        last = [i for i, n in enumerate(self.names) if n == layer or n.startswith(f"{layer}.")]
        if not last:
            layers = dict.fromkeys(n.rpartition(".")[0] or n for n in self.names)
            raise unknown("layer", layer, layers)
        return self.names[: last[-1] + 1]

    def block(self, name: str) -> LowRank:
        """The distribution of one parameter tensor, flattened.

        Raises:
            InvalidInput: fewer than 2 weights collected.
        """
        if self.collected < 2:
            raise wrong("swag", f"{self.collected} collected weights", "2 or more")
        kept = torch.stack(self._deviations[name]).flatten(1).double()
        diagonal = (self.variance[name].flatten().double() / 2).clamp(min=self.floor)
        factor = kept.T / (2 * (len(kept) - 1)) ** 0.5
        return LowRank.of(self.mean[name].flatten(), diagonal, factor)

    def log_prob(self, parameters: Mapping[str, Tensor], upto: str | None = None) -> Tensor:
        """`(...,)` log density in nats of weights `(..., *shape)`, up to a layer."""
        total = torch.zeros((), dtype=torch.float64)
        for name in self.upto(upto):
            shape = self.mean[name].shape
            lead = parameters[name].ndim - len(shape)
            flat = parameters[name].reshape(*parameters[name].shape[:lead], -1)
            total = total + self.block(name).log_prob(flat)
        return total

    def sample(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Name to `(count, *shape)` draws of the weights, in their dtype."""
        return {
            name: self.block(name).sample(count, generator).reshape(count, *mean.shape).to(mean)
            for name, mean in self.mean.items()
        }

    def unstack(self) -> list[SWAG]:
        """One SWAG a net, where each tensor holds several nets along its first dimension.

        Example:
            >>> both = SWAG()
            >>> for step in (0.0, 1.0):
            ...     both.collect({"weight": torch.tensor([[step], [9.0]])})
            >>> [one.mean["weight"].tolist() for one in both.unstack()]
            [[0.5], [9.0]]
        """
        counts = {len(mean) if mean.ndim else 0 for mean in self.mean.values()}
        if len(counts) != 1:
            raise wrong("swag", f"first dimensions {sorted(counts)}", "as many nets in each tensor")
        found = []
        for i in range(counts.pop()):
            one = SWAG(self.columns, self.floor)
            one.collected = self.collected
            one.mean = {name: mean[i].clone() for name, mean in self.mean.items()}
            one._squares = {name: squares[i].clone() for name, squares in self._squares.items()}
            one._deviations = {
                name: [column[i].clone() for column in kept]
                for name, kept in self._deviations.items()
            }
            found.append(one)
        return found

    def still(self, upto: str | None = None) -> float:
        """Share of the weights whose variance is at the floor or below."""
        flat = torch.cat([self.variance[name].flatten() for name in self.upto(upto)])
        return float((flat / 2 <= self.floor).double().mean())

    def __repr__(self) -> str:
        size = sum(m.numel() for m in self.mean.values())
        return f"SWAG({size:,} weights, {self.collected} collected, {self.columns} columns)"

    def _check(self, given: Mapping[str, Tensor]) -> None:
        if not given:
            raise wrong("parameters", "none", "at least one")
        for name, value in given.items():
            # a finite sum needs finite terms, and is found without a copy
            if not value.sum().isfinite() and not value.isfinite().all():
                raise wrong(f"parameter {name!r}", "a value that is not finite", "numbers")
        shapes = {name: tuple(value.shape) for name, value in given.items()}
        known = {name: tuple(value.shape) for name, value in self.mean.items()}
        if known and shapes != known:
            raise wrong("parameters", f"{shapes}", f"as before, {known}")


def _items(parameters: Parameters) -> Iterable[tuple[str, Tensor]]:
    return parameters.items() if isinstance(parameters, Mapping) else ()
