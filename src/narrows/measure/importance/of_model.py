"""The importance scores of a whole model: what it weighs, and whether that is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.errors import InvalidInput
from narrows.explanation import contributions
from narrows.measure.importance.existence import existence
from narrows.measure.importance.overall import GlobalImportance, class_means, global_importance
from narrows.measure.importance.top import TopShare
from narrows.measure.rows import evaluating, matched, read_rows, targets
from narrows.model import NarrowModel
from narrows.reading import Reading

_ROWS = 256  # at a time: shares of a curved head hold 64 rows for each


@dataclasses.dataclass(frozen=True)
class ImportanceReport:
    """What `importance_of` measured.

    Attributes:
        agreement: kind to global importance, by concept. A head that does not weigh each
            concept by one number per class has kind 2 alone.
        existence: `all` rows, `correct` predictions, and `correct, by polarity`.
    """

    agreement: Mapping[int, GlobalImportance]
    existence: Mapping[str, TopShare]

    def __str__(self) -> str:
        lines = ["global importance   cosine pearson     p"]
        for kind, found in self.agreement.items():
            c, r = found.mean
            lines.append(f"kind {kind}              {c:6.3f} {r:7.3f} {found.mean_p_value:5.3f}")
        parts = [f"existence, {rows}\n{found}" for rows, found in self.existence.items()]
        return "\n\n".join(["\n".join(lines), *parts])

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        return {
            "agreement": {str(k): found.to_dict() for k, found in self.agreement.items()},
            "existence": {k: found.to_dict() for k, found in self.existence.items()},
        }


def importance_of(
    model: NarrowModel,
    train: Examples,
    examples: Examples,
    *,
    top: Sequence[int] = (1, 3, 5),
    permutations: int = 1000,
    seed: int = 0,
) -> ImportanceReport:
    """Global importance and existence of a model's concepts, matched with the data by name.

    A concept's part in a decision is its contribution to the logit of the predicted class, exact
    for affine heads. By polarity, a concept is believed present where its score is a probability
    of at least one half, or, for scores that are no probabilities, above zero.

    Memory: the readings, and a few arrays of rows times concepts.

    Args:
        model: with named concepts.
        train: rows that say how often each class has each concept.
        examples: rows to judge, with concepts; those of the instance rather than of the class.
        top: how many concepts; those the data does not have are left out.
        permutations: shuffles of the test of global importance.
        seed: of the shuffles.

    Raises:
        InvalidInput: no concepts in common, or a label that does not pass through them.
    """
    pairs = matched(model.bottleneck.names, examples)
    units, concepts = list(pairs), list(pairs.values())
    column = [train.concepts.index(examples.concepts.names[j]) for j in concepts]
    if train.c is None or examples.c is None:
        raise InvalidInput("train, examples: found no concept labels, wanted rows with concepts")
    reading = read_rows(model, examples)
    y = targets(model, examples).cpu()
    with evaluating(model):
        predicted, importance = _shares(model, reading)
        scores = model.bottleneck.scores(reading).cpu()[:, units]
    classes = len(model.classes) or int(max(y.max(), predicted.max())) + 1
    frequency = class_means(train.c[:, column], targets(model, train).cpu(), classes)
    right = predicted == y
    read = reading.units.cpu()[:, units]
    present = class_means(read, y, classes, right)
    names = (model.classes or range(classes), [model.bottleneck.names[u] for u in units])
    weight = getattr(model.head, "weight", None)
    plain = isinstance(weight, Tensor) and weight.shape == (classes, reading.units.shape[1])
    agreement = {
        kind: global_importance(
            weight[:, units].cpu() if plain else torch.zeros_like(frequency),  # type: ignore[index]  # a tensor where plain
            frequency,
            present,
            kind=kind,
            permutations=permutations,
            seed=seed,
            names=names,
        )
        for kind in ((1, 2, 3) if plain else (2,))
    }
    bounded = bool(((scores >= 0) & (scores <= 1)).all())
    sign = scores >= 0.5 if bounded else scores > 0
    labels, importance = examples.c[:, concepts].cpu(), importance[:, units]
    top = [n for n in top if n <= len(units)]
    found = {"all": existence(importance, labels, predicted, frequency, top=top)}
    if bool(right.any()):
        parts = (importance[right], labels[right], predicted[right], frequency)
        found["correct"] = existence(*parts, top=top)
        found["correct, by polarity"] = existence(*parts, top=top, polarity=sign[right])
    return ImportanceReport(agreement, found)


def _shares(model: NarrowModel, reading: Reading) -> tuple[Tensor, Tensor]:
    """Predicted classes `(n,)`, and what each unit adds to their logits `(n, units)`."""
    predicted, importance = [], []
    units = reading.units.shape[-1]
    for rows in torch.arange(len(reading), device=reading.units.device).split(_ROWS):
        z = model.bottleneck.write(reading[rows])
        if z.flatten(1).shape[1] != units * model.bottleneck.width:
            raise InvalidInput("model: the label does not pass through its units")
        said = model.head(z).argmax(-1)
        shares, _, _ = contributions(model.head, z.flatten(1), units)
        predicted.append(said.cpu())
        importance.append(shares.gather(2, said[:, None, None].expand(-1, units, 1))[..., 0].cpu())
    return torch.cat(predicted), torch.cat(importance)
