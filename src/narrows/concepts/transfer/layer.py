"""Units that are edited as they are read, with the source statistics an edit is chosen from."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from narrows.bottleneck import Bottleneck, Known
from narrows.concepts.transfer.edit import ConceptEdit, ConceptStatistics, concept_statistics
from narrows.data.record import Examples
from narrows.errors import wrong
from narrows.model import NarrowModel
from narrows.reading import Evidence, Reading
from narrows.train.steps import features_of

_KEPT = 2_000  # source rows whose activations stay with the model
_LINEAR = 1e-4  # how far logits may be from W a + b, as a share of the largest


class EditedUnits(Bottleneck):
    """Another bottleneck whose units are edited as they are read.

    Args:
        inner: the bottleneck as it was trained.
        classes: of the source statistics.
        rows: source rows kept.
        bounded: whether units are probabilities, to be held in [0, 1].
    """

    scale: Tensor
    shift: Tensor
    score: Tensor
    mean: Tensor
    deviation: Tensor
    kept: Tensor
    kept_y: Tensor

    def __init__(self, inner: Bottleneck, classes: int, rows: int, bounded: bool = False) -> None:
        super().__init__(inner.names, inner.groups)
        self.inner, self.bounded = inner, bounded
        units = len(inner.names)
        self.register_buffer("scale", torch.ones(units))
        self.register_buffer("shift", torch.zeros(units))
        self.register_buffer("score", torch.zeros(units))
        self.register_buffer("mean", torch.zeros(classes, units))
        self.register_buffer("deviation", torch.zeros(classes, units))
        self.register_buffer("kept", torch.zeros(rows, units))
        self.register_buffer("kept_y", torch.zeros(rows, dtype=torch.long))

    @property
    def edit(self) -> ConceptEdit:
        """What is changed now."""
        return ConceptEdit(self.names, self.scale, self.shift, self.score)

    @property
    def statistics(self) -> ConceptStatistics:
        """The source as it was kept."""
        return ConceptStatistics(
            self.names,
            self.mean.double(),
            self.deviation.double(),
            self.kept.double(),
            self.kept_y,
            self.bounded,
        )

    def keep(self, statistics: ConceptStatistics) -> Self:
        """Store source statistics.

        Raises:
            InvalidInput: those of another model.
        """
        _check_names("statistics", statistics.names, self.names)
        found, wanted = (
            f"{len(s.mean)} classes and {len(s.kept)} rows" for s in (statistics, self.statistics)
        )
        if found != wanted:
            raise wrong("statistics", found, wanted)
        for name in ("mean", "deviation", "kept", "kept_y"):
            getattr(self, name).copy_(getattr(statistics, name))
        return self

    def with_edit(self, edit: ConceptEdit) -> Self:
        """A copy with this edit in place of its own.

        Raises:
            InvalidInput: an edit of other units.
        """
        _check_names("edit", edit.names, self.names)
        other = copy.deepcopy(self)
        for name in ("scale", "shift", "score"):
            getattr(other, name).copy_(getattr(edit, name))
        return other

    def read(self, h: Tensor) -> Reading:
        """Read, then edit."""
        reading = self.inner.read(h)
        units = self.edit.apply(reading.units)
        return reading.replace(units=units.clamp(0, 1) if self.bounded else units)

    def write(self, reading: Reading) -> Tensor:
        """As the inner bottleneck does."""
        return self.inner.write(reading)

    def scores(self, reading: Reading) -> Tensor:
        """As the inner bottleneck does."""
        return self.inner.scores(reading)

    def condition(self, reading: Reading, known: Known) -> Reading:
        """A person's word replaces edited units too."""
        return self.inner.condition(reading, known)

    def evidence(self, x: Tensor, reading: Reading, units: Sequence[str]) -> list[Evidence]:
        """As the inner bottleneck does."""
        return self.inner.evidence(x, reading, units)

    @property
    def interventions(self) -> tuple[tuple[int, ...], ...]:
        """Those of the inner bottleneck."""
        return self.inner.interventions


def with_statistics(model: NarrowModel, train: Examples, val: Examples | None) -> NarrowModel:
    """The same model with its units ready to be edited; it shares the encoder and the head.

    Args:
        model: whose logits are affine in its units.
        train: source rows for the statistics.
        val: source rows whose activations are kept, at most 2,000; training rows where None.

    Raises:
        InvalidInput: a head that is not affine, or a label that does not come from the units
            alone.
    """
    held = train if val is None else val
    held = held.take(torch.linspace(0, len(held) - 1, min(len(held), _KEPT)).long())
    units, spoken = _units(model, train)
    kept, _ = _units(model, held)
    classes = len(model.classes)
    # Only what is said as it is, on the scale of probabilities, has a range to be held in.
    bounded = bool(torch.equal(units, spoken) and (units >= 0).all() and (units <= 1).all())
    layer = EditedUnits(model.bottleneck, classes, len(held), bounded)
    layer.keep(concept_statistics(layer.names, units, train.y, classes, kept, held.y, bounded))
    edited = NarrowModel(model.encoder, layer, model.head, model.classes, model.input_shape)
    return edited.to(next(model.parameters()).device)


def affine_head(model: NarrowModel) -> tuple[Tensor, Tensor]:
    """Weights `(K, C)` and biases `(K,)` of a head that reads the units directly.

    Raises:
        InvalidInput: another head.
    """
    weight, bias = getattr(model.head, "weight", None), getattr(model.head, "bias", None)
    wanted = (len(model.classes), len(model.bottleneck.names))
    if not isinstance(weight, Tensor) or not isinstance(bias, Tensor) or weight.shape != wanted:
        raise wrong("base", type(model.head).__name__, f"a linear head on {wanted[1]} units")
    return weight, bias


def _check_names(argument: str, found: tuple[str, ...], own: tuple[str, ...]) -> None:
    if found != own:
        strange = [n for n in found if n not in own]
        said = repr(strange[0]) if strange else f"{len(found)} units in another order"
        raise wrong(argument, said, f"the {len(own)} units of this model")


def _units(model: NarrowModel, rows: Examples) -> tuple[Tensor, Tensor]:
    """Units and scores `(n, C)` of all rows, where the logits are affine in the units."""
    weight, bias = affine_head(model)
    count = weight.shape[1]
    kind = type(model.bottleneck).__name__

    def look(h: Tensor) -> Tensor:
        reading = model.bottleneck.read(h)
        if reading.indices is not None or reading.units.shape[1:] != (count,):
            raise wrong("base", f"a {kind} whose units are not one a name", f"{count} units")
        logits = model.decide(reading).prediction
        return torch.cat([reading.units, model.bottleneck.scores(reading), logits], 1)

    units, spoken, logits = features_of(model, rows, look).tensor_split([count, 2 * count], 1)
    gap = (units @ weight.cpu().T + bias.cpu() - logits).abs().max()
    if gap > _LINEAR * (1 + logits.abs().max()):
        raise wrong(
            "base", f"a {kind} beside whose units more reaches the head", "logits W a + b alone"
        )
    return units, spoken
