"""Conditional dependencies between concepts and classes, as composed from the energies.

With p(c | x) ~ exp(-sum_k E_k(x, c_k)), p(y | c) ~ exp(-E_glob(c, y)) and p(x) the rows at hand:

    p(c, y)               = p(y | c) mean_x p(c | x)
    p(c_k | y)            ~ sum over the other concepts of p(c, y)
    p(c_k | c_k', y)      the same sum over the states where c_k' holds
    p(c_k | c_k')         both, over all classes
    p(y | c)              the same sums by class, where some or all concepts hold

Few concepts are enumerated. For many, concept vectors are drawn from p(c | x), row by row, and
weighed by p(y | c); the released code counts predicted pairs instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from narrows.bottleneck import resolve_known
from narrows.concepts.energy.energies import Energies
from narrows.errors import InvalidInput, unknown, wrong

_EXACT = 12  # concepts that are enumerated: 4096 states
_NUMBERS = 2**21


@dataclass(frozen=True)
class Dependencies:
    """What goes with what, where `given` holds.

    Attributes:
        names: of the concepts.
        classes: the labels.
        given: the concepts that are held, by name.
        concepts: `(concepts,)` p(c_k = 1 | given).
        label: `(classes,)` p(y | given).
        concepts_of_label: `(classes, concepts)` p(c_k = 1 | y, given); NaN for a class that
            cannot be together with what is given.
        concepts_of_concept: `(concepts, concepts)` p(c_k = 1 | c_j = 1, given) in row j, column
            k; NaN in the row of a concept that cannot be.
        draws: how many concept vectors it rests on; 0 where all of them were enumerated.
    """

    names: tuple[str, ...]
    classes: tuple[Any, ...]
    given: Mapping[str, float]
    concepts: Tensor
    label: Tensor
    concepts_of_label: Tensor
    concepts_of_concept: Tensor
    draws: int = 0

    def of(self, concept: str, label: Any = None) -> float:
        """p(concept | label, given); without a label p(concept | given).

        Raises:
            UnknownName: no such concept or class.
        """
        k = self._place(concept)
        if label is None:
            return float(self.concepts[k])
        if label not in self.classes:
            raise unknown("class", label, map(str, self.classes))
        return float(self.concepts_of_label[self.classes.index(label), k])

    def beside(self, concept: str, other: str) -> float:
        """p(concept | other, given): how likely a concept is where another one is present.

        Raises:
            UnknownName: no such concept.
        """
        return float(self.concepts_of_concept[self._place(other), self._place(concept)])

    def _place(self, concept: str) -> int:
        if concept not in self.names:
            raise unknown("concept", concept, self.names)
        return self.names.index(concept)

    def __str__(self) -> str:
        held = ", ".join(f"{name} = {value:g}" for name, value in self.given.items())
        how = f"{self.draws} draws" if self.draws else "enumerated"
        shown = self.label.argsort(descending=True)[:5].tolist()
        wide = max(len("label"), *map(len, self.names))
        head = "".join(f"{str(self.classes[i])[:9]:>10}" for i in shown)
        lines = [f"given {held or 'nothing'} ({how})"]
        lines.append(f"{'concept':<{wide}}       any{head}")
        lines.append(f"{'label':<{wide}}          " + _cells(self.label[shown]))
        for k, name in enumerate(self.names):
            row = torch.cat([self.concepts[k : k + 1], self.concepts_of_label[shown, k]])
            lines.append(f"{name:<{wide}}" + _cells(row))
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a class or concept cannot be."""
        return {
            "names": list(self.names),
            "classes": list(self.classes),
            "given": dict(self.given),
            "concepts": self.concepts.tolist(),
            "label": self.label.tolist(),
            "concepts_of_label": _json(self.concepts_of_label),
            "concepts_of_concept": _json(self.concepts_of_concept),
            "draws": self.draws,
        }


def _json(table: Tensor) -> list[list[float | None]]:
    return [[None if p != p else p for p in row] for row in table.tolist()]


def _cells(values: Tensor) -> str:
    return "".join("         -" if v != v else f"{v:10.3f}" for v in values.tolist())


@torch.no_grad()
def dependencies(
    energies: Energies,
    logits: Tensor,
    names: tuple[str, ...],
    classes: tuple[Any, ...],
    given: Mapping[str, float] | None = None,
    *,
    groups: Sequence[Sequence[int]] = (),
    draws: int = 64,
    generator: torch.Generator | None = None,
    enumerate_up_to: int = _EXACT,
) -> Dependencies:
    """Sum the composed joint over rows and states.

    Memory: pieces of 8 MiB.

    Args:
        energies: the networks.
        logits: `(n, concepts)` log odds of the concepts of each row, `InputEnergies.logits`.
        names: of the concepts.
        classes: the labels.
        given: concepts that hold (1) or do not (0), by name.
        groups: mutually exclusive concepts: where one is given, the others of its group are
            given as absent.
        draws: concept vectors for each row, where there are too many to enumerate.
        generator: of the draws; None starts one at 0.
        enumerate_up_to: concepts that are not given.

    Raises:
        UnknownName: a given concept that does not exist.
        InvalidInput: given values other than 0 and 1, two of one group given as present, no
            rows, or givens that cannot hold together.
    """
    given = dict(given or {})
    if len(logits) == 0:
        raise InvalidInput("logits: found no rows, wanted at least one")
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise wrong("draws", repr(draws), "an integer >= 1")
    held = _held(given, names, groups).to(logits)
    exact = int(held.isnan().sum()) <= enumerate_up_to
    if exact:
        states, mass = _enumerated(logits, held)
    else:
        states, mass = _drawn(logits, held, draws, generator or torch.Generator().manual_seed(0))
    count, size = len(names), len(classes)
    joint, pairs, label = (torch.zeros(*n).double() for n in ((size, count), (count,) * 2, (size,)))
    step = max(1, _NUMBERS // (size + count + energies.joint_weight.numel()))
    for c, weight in zip(states.split(step), mass.split(step), strict=True):
        p = (-energies.joint(c)).softmax(-1).double() * weight[:, None]
        joint += (p.T @ c.double()).cpu()
        pairs += ((weight[:, None] * c).T @ c.double()).cpu()
        label += p.sum(0).cpu()
    whole = label.sum()
    if not float(whole) > 0:
        raise InvalidInput(f"given: found {given}, wanted concepts that can hold together")
    return Dependencies(
        tuple(names),
        tuple(classes),
        given,
        joint.sum(0) / whole,
        label / whole,
        _over(joint, label),
        _over(pairs, pairs.diagonal()),
        0 if exact else len(states),
    )


def _held(
    given: Mapping[str, float], names: tuple[str, ...], groups: Sequence[Sequence[int]]
) -> Tensor:
    """What is given of each concept `(concepts,)`, NaN where nothing is."""
    for name, value in given.items():
        if name not in names:
            raise unknown("given", name, names)
        if value not in (0, 1):
            raise InvalidInput(f"given[{name!r}]: found {value}, wanted 0 or 1")
    mask, values = resolve_known(given, names, groups, torch.zeros(len(names)))
    return torch.where(mask, values, torch.nan)


def _over(table: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole[:, None] > 0, table / whole[:, None], torch.nan)


def _enumerated(logits: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
    """All concept vectors that agree with `held`, and mean_x p(c | x) of each."""
    free = held.isnan().nonzero().flatten()
    bits = torch.arange(2 ** len(free), device=held.device)[:, None]
    states = held.nan_to_num(0.0).repeat(len(bits), 1)
    states[:, free] = (bits >> torch.arange(len(free), device=held.device) & 1).to(held.dtype)
    mass = torch.zeros(len(states), dtype=torch.float64, device=held.device)
    for some in logits.double().split(max(1, _NUMBERS // len(states))):
        absent = logsigmoid(-some).sum(-1, keepdim=True)  # log p of no concept at all
        mass += (absent + some @ states.double().T).exp().sum(0)
    return states, mass / len(logits)


def _drawn(
    logits: Tensor, held: Tensor, draws: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Concept vectors drawn with `held` put in, weighed by how likely that was in the row."""
    noise = torch.rand(draws, *logits.shape, generator=generator, dtype=logits.dtype)
    c = (noise.to(logits.device) < logits.sigmoid()).to(logits.dtype)
    sign = torch.where(held > 0.5, 1.0, -1.0)
    likely = torch.where(held.isnan(), 0.0, logsigmoid((sign * logits).double())).sum(-1).exp()
    c = torch.where(held.isnan(), c, held)
    return c.flatten(0, 1), likely.repeat(draws)
