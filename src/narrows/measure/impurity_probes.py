"""Probes: small models that say how much a representation tells about a concept.

A probe is fitted for many pairs at once: `s` sources (what it sees) times `k` targets (what it
is to say). Each pair has a model of its own; a label that is NaN takes no part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from narrows.errors import unknown, wrong, wrong_type
from narrows.functional.logistic import fit_logistic
from narrows.measure.quality_ranks import auc

Fitted = Callable[[Tensor], Tensor]
Probe = Callable[[Tensor, Tensor, int], Fitted]

HIDDEN, EPOCHS, BATCH = 32, 25, 512
_RATE = 0.01
_L2 = 1.0  # scikit-learn's default
_HELD = 2**21  # activations at once: 8 MiB of float32, a few arrays
_SHARE = 0.8  # of the rows that a probe is fitted on


def find_probe(probe: str | Any) -> tuple[str, Probe]:
    """A probe's name and function.

    A probe takes sources `(s, n, w)`, targets `(s, n, k)` with NaN where unknown, and a seed; what
    it gives takes inputs `(s, k, m, w)`, or `(s, 1, m, w)` where all targets see the same, and
    gives scores `(s, k, m)`.

    Args:
        probe: `mlp`, `logistic`, or an estimator of scikit-learn, fitted anew for each pair.

    Raises:
        UnknownName: another name.
        InvalidType: no name, and nothing that can be fitted.
    """
    if isinstance(probe, str):
        if probe not in _PROBES:
            raise unknown("probe", probe, _PROBES)
        return probe, _PROBES[probe]
    if not hasattr(probe, "fit") or not hasattr(probe, "get_params"):
        raise wrong_type("probe", type(probe).__name__, "'mlp', 'logistic' or a classifier")
    return type(probe).__name__, lambda z, targets, seed: _Estimators.fit(probe, z, targets)


def splits(n: int, repeats: int, seed: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """A seed, four fifths of the rows and the others, drawn anew for each repeat.

    Raises:
        InvalidInput: fewer than five rows, no repeat, a seed below 0.
    """
    for argument, value, least in (("repeats", repeats, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise wrong(argument, repr(value), f"an integer >= {least}")
    if n < 5:
        raise wrong("z", f"{n} rows", "five rows or more, to fit probes on and to judge them")
    generator = torch.Generator().manual_seed(seed)
    for _ in range(repeats):
        order = torch.randperm(n, generator=generator)
        drawn = int(torch.randint(2**31, (), generator=generator))
        cut = round(_SHARE * n)
        yield drawn, order[:cut], order[cut:]


def judge(scores: Tensor, targets: Tensor) -> Tensor:
    """`(s, k)` areas under the ROC curve of scores `(s, k, m)` for targets `(s, m, k)`."""
    truth = targets.transpose(1, 2).flatten(0, 1).T
    known = ~truth.isnan()
    area = auc(scores.flatten(0, 1).T.double(), (truth >= 0.5) & known, known)
    found: Tensor = area.unflatten(0, scores.shape[:2])
    return found


def varies(targets: Tensor) -> Tensor:
    """`(s, k)` whether the known ones of targets `(s, n, k)` have both values."""
    return (targets >= 0.5).any(1) & (targets < 0.5).any(1)


@dataclass(frozen=True)
class _Scale:
    """Inputs of each source on one scale, from the rows of which something is known."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, z: Tensor, targets: Tensor) -> _Scale:
        known = (~targets.isnan()).any(2)[:, :, None]
        count = known.sum(1, keepdim=True).clamp(min=1)
        mean = torch.where(known, z, 0.0).sum(1, keepdim=True) / count
        centred = torch.where(known, z - mean, 0.0)
        scale = (centred.square().sum(1, keepdim=True) / count).sqrt()
        return cls(mean, torch.where(scale > 1e-12, scale, 1.0))

    def __call__(self, z: Tensor) -> Tensor:
        """Of sources `(s, n, w)`."""
        return (z - self.mean) / self.scale

    def own(self, z: Tensor) -> Tensor:
        """Of inputs `(s, k, m, w)`."""
        return (z - self.mean[:, None]) / self.scale[:, None]


def _logistic(z: Tensor, targets: Tensor, seed: int) -> Fitted:
    """Logistic regressions solved to their optimum; nothing is drawn."""
    scale = _Scale.of(z, targets)
    x = scale(z)
    weights, biases = [], []
    for source, truth in zip(x, targets, strict=True):
        some = (~truth.isnan()).any(1)
        if not bool(some.any()):
            weights.append(source.new_zeros(truth.shape[1], source.shape[1]))
            biases.append(source.new_zeros(truth.shape[1]))
            continue
        solved = fit_logistic(source[some], truth[some], _L2)
        weights.append(solved.weight)
        biases.append(solved.bias)
    weight, bias = torch.stack(weights)[..., None], torch.stack(biases)

    def scores(inputs: Tensor) -> Tensor:
        return (scale.own(inputs) @ weight)[..., 0] + bias[..., None]

    return scores


def _mlp(z: Tensor, targets: Tensor, seed: int) -> Fitted:
    """One hidden layer of 32 ReLU a pair; batches of 512, 25 epochs of Adam, as in public code.

    Inputs are standardised and the rate is 0.01 rather than 0.001: of the hundred steps that 25
    epochs of a small set are, a probe has to learn something.
    """
    scale = _Scale.of(z, targets)
    x = scale(z).float()
    (s, n, w), k = z.shape, targets.shape[2]
    generator = torch.Generator().manual_seed(seed)
    start = [
        (2 * torch.rand(s, k, *shape, generator=generator) - 1) / math.sqrt(inputs)
        for inputs, *shape in ((w, w, HIDDEN), (w, 1, HIDDEN), (HIDDEN, HIDDEN, 1), (HIDDEN, 1, 1))
    ]
    orders = [torch.randperm(n, generator=generator) for _ in range(EPOCHS)]
    truth = targets.transpose(1, 2)
    some = max(1, _HELD // (k * min(n, BATCH) * HIDDEN))
    found = [
        _train([p[part].flatten(0, 1) for p in start], x[part], truth[part], orders)
        for part in torch.arange(s).split(some)
    ]
    layers = [torch.cat(parts) for parts in zip(*found, strict=True)]

    def scores(inputs: Tensor) -> Tensor:
        shape = inputs.shape[0], k, *inputs.shape[2:]
        own = scale.own(inputs).float().expand(shape).flatten(0, 1)
        said: Tensor = _network(layers, own).unflatten(0, (shape[0], k))
        return said

    return scores


def _train(layers: list[Tensor], x: Tensor, truth: Tensor, orders: list[Tensor]) -> list[Tensor]:
    """Networks `(s k, ...)` for sources `(s, n, w)` and truth `(s, k, n)`."""
    k = truth.shape[1]
    known = (~truth.isnan()).flatten(0, 1).float()
    wanted = (truth.flatten(0, 1) >= 0.5).float()
    for part in layers:
        part.requires_grad_()
    adam = torch.optim.Adam(layers, _RATE)
    for order in orders:
        for rows in order.split(BATCH):
            inputs = x[:, None, rows].expand(-1, k, -1, -1).flatten(0, 1)
            weight = known[:, rows]
            loss = binary_cross_entropy_with_logits(
                _network(layers, inputs), wanted[:, rows], reduction="none"
            )
            # A mean for each network, so that none feels the others.
            mean = (loss * weight).sum(1) / weight.sum(1).clamp(min=1)
            adam.zero_grad()
            mean.sum().backward()
            adam.step()
    return [part.detach() for part in layers]


def _network(layers: list[Tensor], x: Tensor) -> Tensor:
    """`(p, m)` logits of `(p, m, w)` inputs, one network each."""
    first, bias, last, offset = layers
    hidden = torch.baddbmm(bias, x, first).relu()
    return torch.baddbmm(offset, hidden, last)[..., 0]


@dataclass(frozen=True)
class _Estimators:
    """Clones of one estimator; None for a pair without both values."""

    fitted: list[list[Any]]

    @classmethod
    def fit(cls, estimator: Any, z: Tensor, targets: Tensor) -> _Estimators:
        from sklearn.base import clone

        both = varies(targets)
        rows: list[list[Any]] = []
        for i, source in enumerate(z):
            rows.append([])
            for j in range(targets.shape[2]):
                some = ~targets[i, :, j].isnan()
                x, bits = source[some].numpy(), (targets[i, some, j] >= 0.5).long().numpy()
                rows[-1].append(clone(estimator).fit(x, bits) if both[i, j] else None)
        return cls(rows)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Scores `(s, k, m)` of inputs `(s, k or 1, m, w)`."""
        found = []
        for models, own in zip(self.fitted, inputs, strict=True):
            for model, x in zip(models, own.expand(len(models), -1, -1), strict=True):
                found.append(_said(model, x))
        said: Tensor = torch.stack(found).unflatten(0, (len(self.fitted), -1))
        return said


def _said(model: Any, x: Tensor) -> Tensor:
    if model is None:
        return x.new_zeros(len(x))
    if hasattr(model, "decision_function"):
        return torch.as_tensor(model.decision_function(x.numpy())).double()
    return torch.as_tensor(model.predict_proba(x.numpy())[:, 1]).double()


_PROBES: dict[str, Probe] = {"mlp": _mlp, "logistic": _logistic}
