"""The energy bottleneck: concepts found together, and corrections that reach other concepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.bottleneck import Bottleneck, Known, resolve_known
from narrows.concepts.energy.energies import Energies, InputEnergies
from narrows.concepts.energy.mixtures import Weights, check_weights
from narrows.concepts.energy.search import (
    Enumerated,
    Given,
    Relaxed,
    enumerate_all,
    relax,
    settle,
)
from narrows.concepts.energy.tables import Dependencies, dependencies
from narrows.errors import wrong
from narrows.reading import Reading

DIRECT = "the input itself"  # the last unit: how much the label hears from the input directly

INFERENCE: Weights = (1.0, 1.0, 0.01)
CORRECTION: Weights = (1.0, 1.0, 1.0)


class EnergyBottleneck(Bottleneck):
    """Concepts that share one energy with input and label.

    A reading holds the probability of each concept and, as last unit, the weight of the class
    energy: the label of this model does not pass through the concepts alone, and that unit says
    how much goes around them (and, in an explanation, what it adds to each class). The energies
    of the input travel as context, so a receiver can take corrections without the input.

    A correction fixes concepts and finds all others and the label again, by the `correction`
    weights. Confirming a score as it stands is no
    correction and changes nothing. Corrections add up: those made earlier stay fixed.
    `context["converged"]` says, row by row, whether the last descent had come to rest.

    Args:
        features: width of `h`.
        names: one per concept.
        groups: mutually exclusive concepts, for corrections; the energies do not know them.
        classes: how many.
        dims: width of the embeddings.
        inference: lambda_xy, lambda_xc, lambda_cy while reading.
        correction: the same once something is corrected.
        hard: see `search.relax`.

    Example:
        >>> layer = EnergyBottleneck(4, ["furry", "loud"], classes=3, dims=8)
        >>> reading = layer.read(torch.zeros(1, 4))
        >>> layer.condition(reading, {"furry": 1.0}).units[0, 0].item()
        1.0
        >>> layer.write(reading).shape
        torch.Size([1, 9])
    """

    def __init__(
        self,
        features: int,
        names: Sequence[str],
        groups: Sequence[Sequence[int]] = (),
        classes: int = 2,
        dims: int = 64,
        inference: Weights = INFERENCE,
        correction: Weights = CORRECTION,
        hard: bool = False,
    ) -> None:
        super().__init__([*names, DIRECT], groups)
        self.concepts, self.width, self.hard = len(names), classes, hard
        self.inference = check_weights("inference", inference)
        self.correction = check_weights("correction", correction)
        self.energies = Energies(features, len(names), classes, dims)

    def read(self, h: Tensor) -> Reading:
        """Find concepts and label of features `(*batch, features)`."""
        batch = h.shape[:-1]
        said = self.energies.of_input(h.reshape(-1, h.shape[-1]))
        free = torch.zeros_like(said.logits, dtype=torch.bool)
        nothing = Given(free, torch.zeros_like(said.logits))
        c, converged = self._scores(said, self.inference, nothing)
        direct = c.new_full((len(c), 1), self.inference[0])
        context = {
            "classes": said.classes,
            "concepts": said.concepts,
            "fixed": free,
            "corrected": free[:, :1],
            "converged": converged,
        }
        return Reading(
            torch.cat([c, direct], -1).unflatten(0, batch),
            context={name: part.unflatten(0, batch) for name, part in context.items()},
        )

    def write(self, reading: Reading) -> Tensor:
        """What each unit says for each class, `(*batch, units * classes)`; the head averages it.

        The sum over units is `-lambda_xy E_class - lambda_cy E_glob`, without the part that all
        classes share.
        """
        batch = reading.units.shape[:-1]
        units = reading.units.flatten(0, -2)
        corrected = reading.context["corrected"].reshape(-1, 1, 1)
        votes = reading.context["classes"].reshape(-1, 1, self.width)
        c = units[:, : self.concepts]
        shares = self.energies.shares((c > 0.5).to(c.dtype) if self.hard else c)
        shares = shares * torch.where(corrected, self.correction[2], self.inference[2])
        direct = units[:, self.concepts :, None] * (votes.mean(-1, keepdim=True) - votes)
        z = torch.cat([shares, direct], 1) * len(self.names)
        written: Tensor = z.flatten(1).unflatten(0, batch)
        return written

    def condition(self, reading: Reading, known: Known) -> Reading:
        """Fix concepts to values in [0, 1] and find the others and the label again."""
        mask, values = resolve_known(known, self.names, self.groups, reading.units)
        news = mask & (values != reading.units)
        self._check(mask, values, news)
        fixed = reading.context["fixed"] | mask[..., : self.concepts]
        changed = news.any(-1, keepdim=True)
        units = torch.where(mask, values, reading.units)
        context = {
            **reading.context,
            "fixed": fixed,
            "corrected": reading.context["corrected"] | changed,
        }
        if changed.any():
            found, converged = self._again(reading, fixed, units)
            units = torch.where(changed, found, units)
            context["converged"] = torch.where(changed, converged, context["converged"])
        return reading.replace(units=units, context=context)

    def infer(
        self,
        h: Tensor,
        known: Known | None = None,
        weights: Weights | None = None,
        steps: int = 200,
    ) -> Relaxed:
        """The relaxed state itself, with its energy and whether it converged.

        Args:
            h: `(n, features)`.
            known: concepts that are fixed.
            weights: None takes those of reading, or of corrections where something is fixed.
            steps: at most.
        """
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise wrong("steps", repr(steps), "an integer >= 1")
        said = self.energies.of_input(h)
        given = self._given(said, known)
        return relax(self.energies, said, self._weights(known, weights), given, self.hard, steps)

    def exact(
        self, h: Tensor, known: Known | None = None, weights: Weights | None = None
    ) -> Enumerated:
        """Exact marginals and the best state of features `(n, features)`; see `infer`."""
        said = self.energies.of_input(h)
        given = self._given(said, known)
        return enumerate_all(self.energies, said, self._weights(known, weights), given)

    def dependencies(
        self,
        h: Tensor,
        classes: Sequence[Any],
        given: Mapping[str, float] | None = None,
        *,
        draws: int = 64,
        generator: torch.Generator | None = None,
    ) -> Dependencies:
        """What goes with what over features `(n, features)`; see `tables.dependencies`."""
        logits = self.energies.of_input(h).logits
        return dependencies(
            self.energies,
            logits,
            self.names[: self.concepts],
            tuple(classes),
            given,
            groups=self.groups,
            draws=draws,
            generator=generator,
        )

    @property
    def interventions(self) -> tuple[tuple[int, ...], ...]:
        """Groups and single concepts; the input's own vote is nobody's to correct."""
        return tuple(g for g in super().interventions if g[0] < self.concepts)

    def _given(self, said: InputEnergies, known: Known | None) -> Given:
        like = torch.zeros_like(said.logits)
        given: Known = {} if known is None else known
        mask, values = resolve_known(given, self.names[:-1], self.groups, like)
        self._check(mask, values, mask)
        return Given(mask, values)

    def _weights(self, known: Known | None, weights: Weights | None) -> Weights:
        if weights is not None:
            return check_weights("weights", weights)
        return self.inference if known is None else self.correction

    def _scores(self, said: InputEnergies, weights: Weights, given: Given) -> tuple[Tensor, Tensor]:
        """Concept scores `(n, concepts)`, and whether the descent converged `(n, 1)`."""
        found = relax(self.energies, said, weights, given, self.hard)
        c = settle(self.energies, said, weights, given, found.concepts, self.hard)
        return c, found.converged[:, None]

    def _again(self, reading: Reading, fixed: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
        context = reading.context
        said = InputEnergies(context["classes"].flatten(0, -2), context["concepts"].flatten(0, -3))
        values = units[..., : self.concepts].flatten(0, -2)
        c, converged = self._scores(said, self.correction, Given(fixed.flatten(0, -2), values))
        direct = c.new_full((len(c), 1), self.correction[0])
        batch = units.shape[:-1]
        return torch.cat([c, direct], -1).unflatten(0, batch), converged.unflatten(0, batch)

    def _check(self, mask: Tensor, values: Tensor, news: Tensor) -> None:
        if news[..., self.concepts :].any():
            raise wrong(f"known[{DIRECT!r}]", "a correction", "corrections of named concepts")
        outside = mask & ((values < 0) | (values > 1))
        outside[..., self.concepts :] = False
        if outside.any():
            where = int(outside.flatten(0, -2).any(0).nonzero()[0])
            value = float(values[outside][0])
            raise wrong(f"known[{self.names[where]!r}]", value, "a value in [0, 1]")
