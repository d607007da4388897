"""Many small stochastic nets of one shape, trained at once.

The nets of Kawaguchi et al. (ICML 2023): q(z|x) = N(mu(x), diag s(x)^2) with s a softplus of its
own layers, and one linear layer from z to the classes; SGD with momentum, weights collected by SWAG
from a given epoch on, and, where asked for, information held at a number of nats. All nets of one
shape are stacked and mapped over (`torch.func.vmap`), so that a step costs one product a layer.

Chance follows a net's seed alone: its first weights, the order of its rows and its noise. Nets of
one seed share all three, whatever their data, decay or rate, as when each is trained by itself
after seeding.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import cross_entropy, softplus
from torch.nn.utils import skip_init

from narrows.errors import wrong
from narrows.measure.generalization.chance import own_source
from narrows.measure.generalization.constraint import MIConstraint
from narrows.measure.generalization.densities import local_information
from narrows.measure.generalization.swag import SWAG

Forward = Callable[[dict[str, Tensor], Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
_LEAST = 1e-10  # of a deviation
_MOST = 256  # rows on which information is held


class StochasticMLP(nn.Module):
    """A shared trunk, layers for the mean, layers for the deviation, and a linear classifier.

    Args:
        widths: inputs, hidden layers, code, classes.
        shared: how many of the hidden layers mean and deviation share.
        seed: of the weights, uniform within 1 / sqrt(inputs of the layer).

    Raises:
        InvalidInput: fewer than three widths, or more shared layers than there are hidden ones.

    Example:
        >>> net = StochasticMLP((2, 8, 4, 3), seed=1)
        >>> scores, mean, std = net(torch.zeros(5, 2), torch.zeros(5, 4))
        >>> scores.shape, mean.shape, bool((std > 0).all())
        (torch.Size([5, 3]), torch.Size([5, 4]), True)
    """

    def __init__(self, widths: Sequence[int], shared: int = 0, seed: int = 0) -> None:
        super().__init__()
        if len(widths) < 3 or min(widths) < 1:
            raise wrong("widths", tuple(widths), "inputs, any hidden layers, code, classes")
        if not 0 <= shared <= len(widths) - 3:
            raise wrong("shared", shared, f"0 to {len(widths) - 3}, the hidden layers")
        self.trunk = _layers(widths[: shared + 1], *([nn.ReLU()] if shared else []))
        self.mean = _layers(widths[shared:-1])
        self.deviation = _layers(widths[shared:-1])
        self.classifier = skip_init(nn.Linear, widths[-2], widths[-1])
        source = own_source(seed)
        with torch.no_grad():
            for layer in (m for m in self.modules() if isinstance(m, nn.Linear)):
                bound = 1 / math.sqrt(layer.in_features)
                for p in layer.parameters():
                    p.uniform_(-bound, bound, generator=source)

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Class scores of one drawn code `(rows, classes)`, and its means and deviations."""
        h = self.trunk(x)
        mean, std = self.mean(h), softplus(self.deviation(h)).clamp(min=_LEAST)
        return self.classifier(mean + std * noise), mean, std


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How nets are trained.

    Attributes:
        epochs: passes over the rows.
        collect: epoch from whose start on weights are collected, once an epoch.
        batch: rows a step, at most.
        lr: of SGD.
        momentum: of SGD.
        target: nats the constraint holds.
        columns: of SWAG.
        floor: of SWAG.
    """

    epochs: int = 300
    collect: int = 200
    batch: int = 64
    lr: float = 0.01
    momentum: float = 0.9
    target: float = 1.5
    columns: int = 10
    floor: float = 1e-6


@dataclasses.dataclass(frozen=True)
class TrainedNets:
    """Nets of one shape.

    Attributes:
        net: their shape, without weights.
        state: name to the weights of all nets, `(nets, ...)`.
        swags: one a net.
    """

    net: StochasticMLP
    state: dict[str, Tensor]
    swags: tuple[SWAG, ...]

    @torch.no_grad()
    def __call__(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, means and deviations `(nets, rows, ...)` on rows `(nets, rows, d)`."""
        return _mapped(self.net)(self.state, x, noise)


def train_nets(
    widths: Sequence[int],
    x: Tensor,
    y: Tensor,
    *,
    decay: Sequence[float],
    rate: float = 0.0,
    seeds: Sequence[int],
    shared: int = 0,
    recipe: Recipe | None = None,
) -> TrainedNets:
    """Train nets that differ in data, weight decay and seed.

    Args:
        widths: of all nets, see `StochasticMLP`.
        x: `(nets, rows, d)` each net's own rows; the nets take its dtype and device.
        y: `(nets, rows)` class ids.
        decay: one a net, times the weights in the gradient.
        rate: eta of the constraint (`MIConstraint`); 0 trains without it.
        seeds: one a net.
        shared: see `StochasticMLP`.
        recipe: the rest; by default that of the paper's nets on blobs.

    Memory: weights, gradients, momentum and `columns + 2` copies more, of all nets.

    Raises:
        InvalidInput: unlike numbers of nets or rows, inputs that are not finite or of another
            width, labels out of range; as `StochasticMLP` and `MIConstraint`.

    Example:
        >>> x = torch.tensor([[[-1.0], [1.0]]]).expand(2, 2, 1)
        >>> y = torch.tensor([[0, 1]]).expand(2, 2)
        >>> few = Recipe(epochs=40, collect=30)
        >>> nets = train_nets((1, 8, 4, 2), x, y, decay=[0.0, 0.1], seeds=[0, 0], recipe=few)
        >>> scores, mean, std = nets(x, torch.zeros(2, 2, 4))
        >>> scores.argmax(-1).tolist(), nets.swags[0].collected
        ([[0, 1], [0, 1]], 10)
    """
    how = recipe or Recipe()
    if not len(x) == len(y) == len(decay) == len(seeds) > 0:
        found = f"{len(x)}, {len(y)}, {len(decay)} and {len(seeds)}"
        raise wrong("x, y, decay, seeds", f"{found} nets", "as many of each, 1 or more")
    _check_rows(x, y, widths)
    net, state = _begun(widths, shared, seeds, x)
    forward, parts = _mapped(net), list(state.values())
    pull = _runs(decay)
    speed = [torch.zeros_like(p) for p in parts]
    hold = MIConstraint(how.target, torch.full((len(x),), rate)).to(x.device) if rate else None
    swag, chance = SWAG(how.columns, how.floor), _Chance(seeds, x.device)
    for epoch in range(how.epochs):
        if epoch >= how.collect:
            swag.collect(state)
        for rows in chance.order(x.shape[1]).split(how.batch, 1):
            at = rows[..., None].expand(-1, -1, x.shape[2])
            noise = chance.normal(rows.shape[1], widths[-2]).to(x)
            scores, _, _ = forward(state, x.gather(1, at), noise)
            labels = y.gather(1, rows)
            loss = cross_entropy(scores.mT, labels, reduction="none").mean(1)
            if hold is not None:
                loss = loss + _held(hold, forward, state, x, chance)
            moves = torch.autograd.grad(loss.sum(), parts)
            with torch.no_grad():
                for p, g, v in zip(parts, moves, speed, strict=True):
                    torch.add(g, v, alpha=how.momentum, out=v)
                    for of, force in pull:
                        v[of].add_(p[of], alpha=force)
                    p.sub_(v, alpha=how.lr)
    kept = {name: value.detach() for name, value in state.items()}
    return TrainedNets(net, kept, tuple(swag.unstack()) if swag.collected else ())


class _Chance:
    """Random numbers of each net, those of its seed."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        kinds, self._device = sorted(set(seeds)), device
        self._streams = [own_source(seed + 1) for seed in kinds]
        self._of = torch.tensor([kinds.index(seed) for seed in seeds])

    def order(self, rows: int) -> Tensor:
        """`(nets, rows)` in shuffled order."""
        drawn = torch.stack([torch.randperm(rows, generator=s) for s in self._streams])
        return drawn[self._of].to(self._device)

    def normal(self, *shape: int) -> Tensor:
        """`(nets, *shape)` standard normal numbers."""
        return torch.stack([torch.randn(shape, generator=s) for s in self._streams])[self._of]


def _held(
    hold: MIConstraint, forward: Forward, state: dict[str, Tensor], x: Tensor, chance: _Chance
) -> Tensor:
    """The constraint's part of the loss, on at most 256 rows; then its multiplier moves."""
    at = chance.order(x.shape[1])[:, :_MOST, None].expand(-1, -1, x.shape[2])
    noise = chance.normal(at.shape[1], state["classifier.weight"].shape[-1]).to(x)
    _, mean, std = forward(state, x.gather(1, at), noise)
    told = local_information(mean, std, noise).mean(1)
    penalty = hold(told).to(x)
    hold.step(told)
    return penalty


def _check_rows(x: Tensor, y: Tensor, widths: Sequence[int]) -> None:
    shape = tuple(x.shape)
    if len(shape) != 3 or shape[2] != widths[0] or not x.is_floating_point():
        wanted = f"floating point, shape (nets, rows, {widths[0]})"
        raise wrong("x", f"{x.dtype}, shape {shape}", wanted)
    if not x.isfinite().all():
        raise wrong("x", "a value that is not finite", "numbers")
    if y.shape != x.shape[:2] or y.dtype != torch.int64:
        raise wrong("y", f"{y.dtype}, shape {tuple(y.shape)}", f"int64, shape {shape[:2]}")
    if not ((y >= 0) & (y < widths[-1])).all():
        found = f"classes {int(y.min())} to {int(y.max())}"
        raise wrong("y", found, f"0 to {widths[-1] - 1}")


def _begun(
    widths: Sequence[int], shared: int, seeds: Sequence[int], like: Tensor
) -> tuple[StochasticMLP, dict[str, Tensor]]:
    """One net, and the first weights of all; nets of one seed begin alike."""
    kinds = {seed: StochasticMLP(widths, shared, seed).to(like) for seed in dict.fromkeys(seeds)}
    state, _ = stack_module_state([kinds[seed] for seed in seeds])
    return kinds[seeds[0]], {k: v.detach().requires_grad_() for k, v in state.items()}


def _runs(decay: Sequence[float]) -> list[tuple[slice, float]]:
    """Nets that follow one another with one decay, where there is any."""
    found, start = [], 0
    for force, some in itertools.groupby(decay):
        end = start + len(list(some))
        found += [(slice(start, end), float(force))] if force else []
        start = end
    return found


def _mapped(net: StochasticMLP) -> Forward:
    empty = copy.deepcopy(net).to("meta")
    return vmap(lambda state, x, noise: functional_call(empty, state, (x, noise)))


def _layers(widths: Sequence[int], *last: nn.Module) -> nn.Sequential:
    found: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        found += [skip_init(nn.Linear, inputs, outputs), nn.ReLU()]
    return nn.Sequential(*found[:-1], *last)
