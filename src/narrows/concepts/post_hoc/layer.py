"""Units that are signed distances from a bank's hyperplanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from narrows.bottleneck import check_units
from narrows.concepts.layer import ConceptLayer
from narrows.concepts.post_hoc.bank import ConceptBank
from narrows.errors import unknown, wrong
from narrows.functional.cav_calibration import platt
from narrows.reading import Reading

_STEEPEST = 1e-6  # a gain below this tells nothing: values between 0 and 1 have no distance


class ConceptProjection(ConceptLayer):
    """Signed distances, in standard deviations from the average training row.

    A unit of 2 says: two deviations further on the concept's side than the average row. Spoken,
    a unit is a probability: by Platt scaling on the training labels, or `sigmoid(unit)` for a
    concept without labels, which only ranks. A correction to 1 or 0 writes the concept's 95th or
    5th percentile of the training rows, another value the unit whose probability it is.

    A bank that was given names of concepts the features cannot tell leaves them silent: their
    unit is 0 for every input.

    Args:
        features: width of `h`.
        names: one a concept.
        groups: mutually exclusive concepts.
        residual: how many units follow that are the logits of a linear model of `h` itself, one
            a class. Nobody can correct them.
        unit_norm: whether `h` is scaled to unit length first.

    Example:
        >>> bank = ConceptBank(("right",), torch.tensor([[2.0, 0.0]]), torch.zeros(1))
        >>> h = torch.tensor([[-1.0, 5.0], [1.0, 3.0]])
        >>> layer = ConceptProjection(2, bank.names).fit(bank, h, torch.tensor([[0.0], [1.0]]))
        >>> layer.read(torch.tensor([[3.0, 0.0]])).units.tolist()
        [[3.0]]
    """

    gain: Tensor
    offset: Tensor

    def __init__(
        self,
        features: int,
        names: Sequence[str],
        groups: Sequence[Sequence[int]] = (),
        residual: int = 0,
        unit_norm: bool = False,
    ) -> None:
        super().__init__(features, names, groups, "logit", residual)
        self.names = (*names, *(f"residual {i}" for i in range(residual)))
        check_units(self.names, self.groups)
        self.unit_norm = unit_norm
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("gain", torch.ones(len(names)))
        self.register_buffer("offset", torch.zeros(len(names)))

    def compared(self, h: Tensor) -> Tensor:
        """The features as they are compared with the bank."""
        return nn.functional.normalize(h, dim=-1) if self.unit_norm else h

    def logits(self, h: Tensor) -> Tensor:
        """`(*batch, concepts + residual)` units."""
        return self.linear(self.compared(h))

    def scores(self, reading: Reading) -> Tensor:
        """Probabilities; residual logits as they are."""
        unit, rest = self._parted(reading)
        return torch.cat([torch.sigmoid(self.gain * unit + self.offset), rest], -1)

    @torch.no_grad()
    def fit(self, bank: ConceptBank, h: Tensor, c: Tensor | None) -> Self:
        """Take a bank's hyperplanes, and scale and calibrate them on training rows.

        Args:
            bank: some or all of this layer's concepts, by name.
            h: `(n, features)` features of training rows.
            c: `(n, concepts)` labels, NaN where unknown; None for none.

        Raises:
            InvalidInput: a bank of other features, or labels of another shape.
            UnknownName: a concept this layer does not have.
        """
        bank.check(h.shape[1])
        shape = (len(h), self.concepts)
        if c is not None and c.shape != shape:
            raise wrong("c", f"shape {tuple(c.shape)}", f"shape {shape}")
        place = {name: j for j, name in enumerate(self.names[: self.concepts])}
        for name in bank.names:
            if name not in place:
                raise unknown("concept", name, place)
        at = [place[name] for name in bank.names]
        length = bank.vectors.double().norm(dim=1)
        weight = self.linear.weight.new_zeros(shape[1], bank.features, dtype=torch.float64)
        bias = weight.new_zeros(shape[1])
        weight[at], bias[at] = bank.vectors / length[:, None], bank.biases / length
        distances = self.compared(h).to(weight) @ weight.T + bias
        mean, deviation = distances.mean(0), distances.std(0, correction=0)
        flat = deviation <= 1e-6 * distances.abs().amax(0)
        deviation = torch.where(flat, 1.0, deviation)
        self.linear.weight[: self.concepts] = weight / deviation[:, None]
        self.linear.bias[: self.concepts] = (bias - mean) / deviation
        units = self.logits(h.to(self.linear.weight))
        self._calibrate(units[:, : self.concepts].cpu(), c)
        self.fit_range(units)
        return self

    def _calibrate(self, units: Tensor, c: Tensor | None) -> None:
        if c is None:
            return
        gain, offset = platt(units, c.cpu())
        labelled = (~c.isnan()).any(0).to(self.gain.device)
        self.gain.copy_(torch.where(labelled, gain.to(self.gain), self.gain))
        self.offset.copy_(torch.where(labelled, offset.to(self.offset), self.offset))

    @torch.no_grad()
    def fit_range(self, logits: Tensor) -> None:
        """Keep the units that say no and yes: `low` and `high`."""
        super().fit_range(logits)
        turned = self.gain < 0  # a direction that points away from its concept
        low, high = torch.where(turned, self.high, self.low), self.high
        self.high.copy_(torch.where(turned, self.low, high))
        self.low.copy_(low)

    def _parted(self, reading: Reading) -> tuple[Tensor, Tensor]:
        return reading.units[..., : self.concepts], reading.units[..., self.concepts :]

    def _as_logits(self, reading: Reading, values: Tensor) -> Tensor:
        unit, rest = self._parted(reading)
        said = values[..., : self.concepts]
        steep = torch.where(self.gain.abs() < _STEEPEST, 1.0, self.gain)
        between = (said.logit() - self.offset) / steep
        least, most = torch.minimum(self.low, self.high), torch.maximum(self.low, self.high)
        between = torch.minimum(torch.maximum(between, least), most)
        written = torch.where(said >= 1, self.high, torch.where(said <= 0, self.low, between))
        confirmed = said == self.scores(reading)[..., : self.concepts]
        return torch.cat([torch.where(confirmed, unit, written), rest], -1)
