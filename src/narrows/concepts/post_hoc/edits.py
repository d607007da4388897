"""Edits of a linear head by a person: what they change is measured before they are kept.

Pruning sets the weight of a concept to zero for some classes (Yuksekgonul, Wang and Zou, ICLR
2023: concepts that are only spuriously tied to a class); `renormalize` then scales what is left
of the class's weights until their absolute values sum to what they did. Rescaling multiplies
weights instead. No data is needed, and other classes are not touched.

An edit is offered, not made: it comes back as a new model beside its accuracy and the old one's.
The paper reports that pruning by people gains about half of what fine-tuning on the target
domain does; a reproduction (Transactions on Machine Learning Research, dgcnz/FACT) could not
confirm it, and other concepts can carry the same spurious fact. Compare with `finetune`, and with
pruning as many concepts at random.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.errors import unknown, wrong
from narrows.functional.logistic import fit_softmax
from narrows.heads import LinearHead
from narrows.measure.rows import evaluating, read_rows, targets
from narrows.model import NarrowModel


@dataclass(frozen=True)
class Edit:
    """A proposed model, and what it would change.

    Attributes:
        model: the edited model; it shares encoder and bottleneck with the one it came from.
        before: accuracy of that one on the rows the edit was tried on.
        after: accuracy of the edited model.
        by_class: label to its accuracy before and after, for the labels among those rows.
        changed: class and concept of each weight that is another now, by name.
    """

    model: NarrowModel
    before: float
    after: float
    by_class: Mapping[Any, tuple[float, float]]
    changed: tuple[tuple[Any, str], ...]

    @property
    def gain(self) -> float:
        """How much accuracy the edit adds; below zero it costs some."""
        return self.after - self.before

    def __str__(self) -> str:
        lines = [f"accuracy {self.before:.3f} -> {self.after:.3f} ({self.gain:+.3f})"]
        moved = [(k, a, b) for k, (a, b) in self.by_class.items() if a != b]
        lines += [f"  {label}: {before:.3f} -> {after:.3f}" for label, before, after in moved]
        return "\n".join([*lines, f"weights changed: {len(self.changed)}"])


def prune(
    model: NarrowModel,
    concepts: Mapping[Any, Iterable[str]],
    examples: Examples,
    *,
    renormalize: bool = False,
) -> Edit:
    """Take concepts away from classes.

    Args:
        model: one whose head is linear; it is not changed.
        concepts: class label to names of units.
        examples: rows to measure on, for example the validation rows.
        renormalize: whether what is left of a class's weights is scaled to their old sum of
            absolute values. A class without any weight left keeps its bias alone. The weights
            of a residual, which nobody can correct, do not count and stay.

    Raises:
        UnknownName: a class or unit the model does not have.
        InvalidInput: a head that is not linear over the units.
    """
    factors = {label: dict.fromkeys(names, 0.0) for label, names in concepts.items()}
    return rescale(model, factors, examples, renormalize=renormalize)


def rescale(
    model: NarrowModel,
    factors: Mapping[Any, Mapping[str, float]],
    examples: Examples,
    *,
    renormalize: bool = False,
) -> Edit:
    """Multiply the weights of concepts for some classes.

    Args:
        model: one whose head is linear; it is not changed.
        factors: class label to unit to factor; 0 prunes, 1 changes nothing.
        examples: rows to measure on.
        renormalize: as in `prune`.

    Raises:
        UnknownName: a class or unit the model does not have.
        InvalidInput: a factor that is not finite, or a head that is not linear over the units.
    """
    old = _weights(model)
    new = old.clone()
    counted, labels = _correctable(model), _labels(model)
    for label, chosen in factors.items():
        row = _place("class", label, labels)
        for name, factor in chosen.items():
            if not math.isfinite(factor):
                raise wrong(f"factors[{label!r}][{name!r}]", factor, "a finite number")
            new[row, _place("unit", name, model.bottleneck.names)] *= factor
        length = new[row, counted].abs().sum()
        if renormalize and length > 0:
            new[row, counted] *= old[row, counted].abs().sum() / length
    return _tried(model, new.flatten(1), None, examples)


def prune_greedily(model: NarrowModel, target: Examples, most: int) -> Edit:
    """Prune, one after the other, the weight whose loss helps most on target rows.

    This knows the labels of the target domain, as no person does: it bounds what pruning of
    `most` weights found step by step can reach. It stops when no single weight helps.

    Memory: pieces of `n x units` logits of one class.

    Args:
        model: one whose head is linear; it is not changed.
        target: labelled rows.
        most: weights to prune, at most.

    Raises:
        InvalidInput: fewer than one weight, or a head that is not linear over the units.
    """
    if most < 1:
        raise wrong("most", most, "at least 1")
    weight = _weights(model).clone()
    parts, y = _inputs(model, target), targets(model, target)
    bias, counted = _linear(model).bias.detach(), _correctable(model)
    for _ in range(most):
        logits = parts.flatten(1) @ weight.flatten(1).T + bias
        hits = torch.stack([_hits_without(parts, weight, logits, y, k) for k in range(len(weight))])
        hits[:, ~counted] = -1
        best = int(hits.argmax())
        if float(hits.flatten()[best]) <= float((logits.argmax(1) == y).sum()):
            break
        weight[best // weight.shape[1], best % weight.shape[1]] = 0.0
    return _tried(model, weight.flatten(1), None, target)


def finetune(model: NarrowModel, target: Examples, examples: Examples, l2: float = 1e-3) -> Edit:
    """The head solved again on labelled rows of the target domain: what edits are compared with.

    Args:
        model: one whose head is linear; it is not changed.
        target: rows to learn from; a class without any is never predicted afterwards.
        examples: rows to measure on, others than those.
        l2: weight decay per row.
    """
    _weights(model)
    z = _inputs(model, target).flatten(1)
    y = targets(model, target)
    solved = fit_softmax(z, y, len(model.classes), l2 * len(z), tol=1e-3)
    return _tried(model, solved.weight, solved.bias, examples)


def _hits_without(parts: Tensor, weight: Tensor, logits: Tensor, y: Tensor, k: int) -> Tensor:
    """`(units,)` right decisions when class `k` loses one unit's weight; -1 where it has none."""
    others = logits.clone()
    others[:, k] = -torch.inf
    best, rival = others.max(1)
    own = logits[:, [k]] - torch.einsum("nuw,uw->nu", parts, weight[k])
    # As argmax does, a tie goes to the first class.
    wins = (own > best[:, None]) | ((own == best[:, None]) & (k < rival)[:, None])
    right = torch.where(wins, (y == k)[:, None], (rival == y)[:, None]).sum(0)
    return torch.where(weight[k].abs().sum(1) > 0, right, -1)


def _tried(model: NarrowModel, weight: Tensor, bias: Tensor | None, examples: Examples) -> Edit:
    old, labels, names = _weights(model), _labels(model), model.bottleneck.names
    head = copy.deepcopy(_linear(model))
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(head.bias if bias is None else bias)
    edited = NarrowModel(model.encoder, model.bottleneck, head, model.classes, model.input_shape)
    z, y = _inputs(model, examples).flatten(1), targets(model, examples)
    with evaluating(edited):
        right = torch.stack([own(z).argmax(1) == y for own in (model.head, head)]).double()
    before, after = right.mean(1).tolist()
    by_class = {labels[k]: tuple(right[:, y == k].mean(1).tolist()) for k in y.unique().tolist()}
    moved = (old.flatten(1) != weight).unflatten(1, old.shape[1:]).any(2).nonzero().tolist()
    changed = tuple((labels[k], names[j]) for k, j in moved)
    return Edit(edited.eval(), before, after, by_class, changed)


def _linear(model: NarrowModel) -> LinearHead:
    units = len(model.bottleneck.names)
    columns = units * model.bottleneck.width
    head = model.head
    if not isinstance(head, LinearHead) or not columns or head.weight.shape[1] != columns:
        found = f"a {type(head).__name__}"
        raise wrong("model.head", found, f"a LinearHead over the model's {units} units")
    return head


def _weights(model: NarrowModel) -> Tensor:
    """The head's weight as `(classes, units, width)`."""
    weight: Tensor = _linear(model).weight.detach()
    return weight.unflatten(1, (len(model.bottleneck.names), -1))


def _inputs(model: NarrowModel, examples: Examples) -> Tensor:
    """The head's input for all rows, `(n, units, width)`."""
    reading = read_rows(model, examples)
    with evaluating(model):
        z = model.bottleneck.write(reading).flatten(1)
    return z.unflatten(1, (len(model.bottleneck.names), -1))


def _correctable(model: NarrowModel) -> Tensor:
    """`(units,)` which of them a person can correct; all, where nobody can correct any."""
    chosen = torch.zeros(len(model.bottleneck.names), dtype=torch.bool)
    chosen[[i for turn in model.bottleneck.interventions for i in turn]] = True
    return chosen if chosen.any() else ~chosen


def _labels(model: NarrowModel) -> tuple[Any, ...]:
    return model.classes or tuple(range(len(_weights(model))))


def _place(kind: str, name: Any, names: tuple[Any, ...]) -> int:
    if name not in names:
        raise unknown(kind, name, map(str, names))
    return names.index(name)
