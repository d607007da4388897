"""Inference in the joint energy: find concepts and label together, given what is fixed.

`relax` is the paper's procedure: concepts and label become logits that start at 0, embeddings are
mixed by their probabilities, and Adam descends. `settle` then rounds what was found and gives the
exact conditional of each concept with all others held, so that scores are probabilities rather
than the state of an optimiser, do not depend on the step it stopped at, and have a gradient.
`enumerate_all` is the exact answer for few concepts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.concepts.energy.energies import Energies, InputEnergies
from narrows.concepts.energy.mixtures import Mixtures, Weights
from narrows.errors import wrong

_RATE = 0.1
_STALE = 10  # steps without progress
_PROGRESS = 1e-3  # share of the energy that counts as progress; the paper's 1 knows no scale
_LIMIT = 15.0  # of a log odds: no score is exactly 0 or 1, so saying so is always news
_STATES = 10**6  # of concepts and label that enumeration may visit
_NUMBERS = 2**21


@dataclass(frozen=True)
class Given:
    """What a person has fixed.

    Attributes:
        mask: `(n, concepts)` bool.
        values: `(n, concepts)` in [0, 1], used where the mask is true.
    """

    mask: Tensor
    values: Tensor

    def put(self, c: Tensor) -> Tensor:
        """The fixed values, and `c` elsewhere."""
        return torch.where(self.mask, self.values, c)


@dataclass(frozen=True)
class Relaxed:
    """Where the descent ended.

    Attributes:
        concepts: `(n, concepts)` probabilities.
        label: `(n, classes)` probabilities.
        energy: `(n,)` of these mixtures.
        converged: `(n,)` whether the energy is finite and had stopped falling.
    """

    concepts: Tensor
    label: Tensor
    energy: Tensor
    converged: Tensor


@torch.no_grad()
def relax(
    energies: Energies,
    said: InputEnergies,
    weights: Weights,
    given: Given,
    hard: bool = False,
    steps: int = 200,
) -> Relaxed:
    """Descend the energy of soft concepts and label, each row for itself.

    The two logits of a concept always move oppositely by the same amount under Adam, so their
    difference alone is kept and moves twice as far.

    Args:
        energies: the networks.
        said: the energies of the input.
        weights: lambda_xy, lambda_xc, lambda_cy.
        given: what is fixed.
        hard: E_glob sees concepts rounded, as in the released code: it then gives them no
            gradient, and corrections reach no other concept.
        steps: at most.
    """
    mixtures = Mixtures(energies, said, weights, hard)
    concepts = torch.zeros_like(said.logits)
    label = torch.zeros_like(said.classes)
    for_concepts, for_label = _Adam(concepts, 2 * _RATE), _Adam(label, _RATE)
    best = torch.full_like(label[:, 0], torch.inf)
    stale = torch.zeros_like(best)
    step = 0
    while True:
        c, p = given.put(concepts.sigmoid()), label.softmax(-1)
        slope = mixtures.slope(c, p)
        better = slope.energy < best - _PROGRESS * (1 + slope.energy.abs())
        best = torch.where(better, slope.energy, best)
        # A row that has stopped does not start again.
        stale = torch.where(better & (stale < _STALE), 0.0, stale + 1)
        done = stale >= _STALE
        if step == steps or bool(done.all()):
            return Relaxed(c, p, slope.energy, done & slope.energy.isfinite())
        step += 1
        by_c = slope.concepts * c * (1 - c)
        by_p = p * (slope.label - (p * slope.label).sum(-1, keepdim=True))
        concepts -= torch.where(done[:, None] | given.mask, 0.0, for_concepts(by_c, step))
        label -= torch.where(done[:, None], 0.0, for_label(by_p, step))


def settle(
    energies: Energies,
    said: InputEnergies,
    weights: Weights,
    given: Given,
    c: Tensor,
    hard: bool = False,
) -> Tensor:
    """`p(c_k = 1 | x, all other concepts, y)` at the state that `c` rounds to, `(n, concepts)`.

    The label is the best one for the rounded concepts. What is fixed keeps its value. The
    gradient goes to the energies of the input.
    """
    with torch.no_grad():
        c = given.put((c > 0.5).to(c.dtype))
        label = (weights[0] * said.classes + weights[2] * energies.joint(c)).argmin(-1)
    logits = weights[1] * said.logits
    if not hard:
        logits = logits + weights[2] * energies.odds(c, label)
    return given.put(logits.clamp(-_LIMIT, _LIMIT).sigmoid())


@dataclass(frozen=True)
class Enumerated:
    """The exact answer.

    Attributes:
        concepts: `(n, concepts)` p(c_k = 1 | x).
        label: `(n, classes)` p(y | x).
        best_concepts: `(n, concepts)` of the state of least energy.
        best_label: `(n,)` its class id.
        energy: `(n,)` its energy.
    """

    concepts: Tensor
    label: Tensor
    best_concepts: Tensor
    best_label: Tensor
    energy: Tensor


@torch.no_grad()
def enumerate_all(
    energies: Energies, said: InputEnergies, weights: Weights, given: Given
) -> Enumerated:
    """Marginals and minimum of `p(c, y | x) ~ exp(-E)` over all states, where `given` holds.

    Memory: pieces of `2^concepts * classes` numbers a row, 8 MiB or one row.

    Raises:
        InvalidInput: more than a million states, or a fixed value that is not 0 or 1.
    """
    states = all_states(said.concepts.shape[1], said.classes.shape[1], said.concepts)
    if bool((given.mask & (given.values != 0) & (given.values != 1)).any()):
        raise wrong("given", "a value between 0 and 1", "0 or 1: each state is certain")
    joint = weights[2] * energies.joint(states)
    pieces = []
    for rows in torch.arange(len(said)).split(max(1, _NUMBERS // joint.numel())):
        some, mask, values = said[rows], given.mask[rows], given.values[rows]
        alone = some.concepts[..., 0].sum(-1)[:, None] - some.logits @ states.T
        clash = (mask[:, None] & (values[:, None] != states)).any(-1)
        energy = (weights[1] * alone).masked_fill(clash, torch.inf)[..., None] + joint
        energy = energy + weights[0] * some.classes[:, None]
        p = (-energy).flatten(1).softmax(-1).unflatten(-1, joint.shape)
        least, place = energy.flatten(1).min(-1)
        state, label = place // joint.shape[1], place % joint.shape[1]
        pieces.append((p.sum(-1) @ states, p.sum(1), states[state], label, least))
    return Enumerated(*(torch.cat(part) for part in zip(*pieces, strict=True)))


def all_states(concepts: int, classes: int, like: Tensor) -> Tensor:
    """All vectors of that many zeros and ones, `(2^concepts, concepts)`.

    Raises:
        InvalidInput: they and the classes make more than a million states.
    """
    if 2**concepts * classes > _STATES:
        raise wrong(
            "concepts",
            f"{concepts} concepts and {classes} classes",
            f"at most {_STATES:,} states 2^concepts * classes to enumerate",
        )
    bits = torch.arange(2**concepts, device=like.device)[:, None]
    return (bits >> torch.arange(concepts, device=like.device) & 1).to(like.dtype)


class _Adam:
    """Steps of Adam (Kingma and Ba, 2015) with the usual constants."""

    def __init__(self, like: Tensor, rate: float) -> None:
        self.rate, self.first, self.second = rate, torch.zeros_like(like), torch.zeros_like(like)

    def __call__(self, slope: Tensor, step: int) -> Tensor:
        self.first = torch.lerp(slope, self.first, 0.9)
        self.second = torch.lerp(slope * slope, self.second, 0.999)
        root = (self.second / (1 - 0.999**step)).sqrt() + 1e-8
        return self.rate / (1 - 0.9**step) * self.first / root
