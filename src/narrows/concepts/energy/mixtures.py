"""The joint energy of probabilities, and its slope.

    E(x, c, y) = lambda_xy E_class(x, y) + lambda_xc sum_k E_k(x, c_k) + lambda_cy E_glob(c, y)

Between certain states an energy is that of the mixed embedding: the mean of a concept's two
embeddings, or of all class embeddings, under the probabilities, brought to length 1 where the
energy takes unit vectors. The energies being linear in the embedding, a mixture needs inner
products only, and the slope has a short closed form: nothing here runs autograd.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from narrows.concepts.energy.energies import Energies, InputEnergies
from narrows.errors import wrong

Weights = tuple[float, float, float]  # lambda_xy, lambda_xc, lambda_cy

_TINY = 1e-12  # opposite embeddings can mix to nothing; a direction then only must not be NaN


def check_weights(argument: str, weights: Any) -> Weights:
    """Three finite numbers >= 0, as a tuple; a file gives a list.

    Raises:
        InvalidInput: anything else.
    """
    try:
        first, second, third = map(float, weights)
    except (TypeError, ValueError):
        raise wrong(argument, repr(weights), "three finite numbers >= 0") from None
    if not all(0 <= w < float("inf") for w in (first, second, third)):
        raise wrong(argument, repr(weights), "three finite numbers >= 0")
    return first, second, third


class Slope(NamedTuple):
    """An energy and its derivatives.

    Attributes:
        energy: `(n,)`.
        concepts: `(n, concepts)` by the concept probabilities.
        label: `(n, classes)` by the class probabilities.
    """

    energy: Tensor
    concepts: Tensor
    label: Tensor


class Mixtures:
    """All that mixing needs, computed once for some rows.

    Args:
        energies: the networks.
        said: the energies of the input.
        weights: lambda_xy, lambda_xc, lambda_cy.
        hard: E_glob sees concepts rounded, and gives them no slope.

    Example:
        >>> energies = Energies(4, concepts=3, classes=2, dims=8)
        >>> mixtures = Mixtures(energies, energies.of_input(torch.zeros(5, 4)), (1.0, 1.0, 1.0))
        >>> mixtures.slope(torch.full((5, 3), 0.5), torch.full((5, 2), 0.5)).concepts.shape
        torch.Size([5, 3])
    """

    @torch.no_grad()
    def __init__(
        self, energies: Energies, said: InputEnergies, weights: Weights, hard: bool = False
    ) -> None:
        self.weights, self.hard = weights, hard
        self.classes = energies.class_embedding.detach()
        self.votes = said.classes.detach() * self.classes.norm(dim=-1)
        pair = energies.concept_embedding.detach()
        dots = said.concepts.detach() * pair.norm(dim=-1)
        self.dot, self.dots = dots[..., 0], dots[..., 1] - dots[..., 0]
        apart = pair[:, 1] - pair[:, 0]
        # The mixed length, squared, is square + c (bend + c curve).
        self.square = pair[:, 0].square().sum(-1)
        self.bend = 2 * (pair[:, 0] * apart).sum(-1)
        self.curve = apart.square().sum(-1)
        absent, present = (part.detach() for part in energies.placed())
        self.start, self.change = absent.sum(0), present - absent
        self.weight = energies.joint_weight.detach()

    @torch.no_grad()
    def slope(self, c: Tensor, label: Tensor) -> Slope:
        """Energy and slope at concept probabilities `(n, concepts)`, class ones `(n, classes)`."""
        for_label, for_concepts, for_joint = self.weights
        mixed = label @ self.classes
        length = mixed.square().sum(-1, keepdim=True).clamp(min=_TINY).sqrt()
        direction = mixed / length
        seen = (c > 0.5).to(c.dtype) if self.hard else c
        placed = torch.addmm(self.start, seen, self.change)
        hidden = self.weight * placed.relu()
        vote = (label * self.votes).sum(-1, keepdim=True) / length
        along = (hidden * direction).sum(-1, keepdim=True)

        root = (self.square + c * (self.bend + c * self.curve)).clamp(min=_TINY).sqrt()
        alone = (self.dot + c * self.dots) / root
        energy = for_label * vote + for_joint * (hidden.sum(-1, keepdim=True) + along)
        energy = energy.squeeze(-1) + for_concepts * alone.sum(-1)

        by_concepts = self.dots - alone / root * (self.bend / 2 + c * self.curve)
        by_concepts = for_concepts * by_concepts / root
        if not self.hard:
            pull = self.weight * (1 + direction) * (placed > 0).to(c.dtype)
            by_concepts = by_concepts + for_joint * (pull @ self.change.T)
        # A unit vector moves only across itself.
        across = for_joint * hidden - (for_label * vote + for_joint * along) * direction
        by_label = (for_label * self.votes + across @ self.classes.T) / length
        return Slope(energy, by_concepts, by_label)
