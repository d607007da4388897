"""Global edits of a linear head: prune a weight, rescale it, set it.

As in `narrows.concepts.post_hoc.edits` an edit is offered before it is kept; here it works on
cached readings, so that its effect on the validation rows shows without the encoder. The edited
model shares encoder and bottleneck with the one it came from.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.errors import unknown, wrong, wrong_type
from narrows.heads import LinearHead
from narrows.model import NarrowModel
from narrows.reading import Reading

KINDS = ("prune", "rescale", "set")
_ROWS = 64  # on which a head is checked to be affine
_GAP = 1e-4  # of the largest logit, that two ways to compute it in float32 may differ by


@dataclasses.dataclass(frozen=True)
class Edit:
    """One change of a head.

    Attributes:
        kind: `prune` (to zero), `rescale` (times value) or `set` (to value).
        unit: whose weights.
        label: the class whose weight; None for all classes.
        value: None for prune.
    """

    kind: str
    unit: str
    label: str | None = None
    value: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return dataclasses.asdict(self)


def parse(
    edits: Sequence[Mapping[str, Any]], names: Sequence[str], labels: Sequence[str]
) -> list[Edit]:
    """Edits from JSON values, checked.

    Raises:
        UnknownName: a kind, unit or class that does not exist.
        InvalidInput: a missing or superfluous value, or one that is not finite.
        InvalidType: something else than a list of objects.
    """
    if not isinstance(edits, list | tuple) or not edits:
        raise wrong_type("edits", repr(edits)[:60], "a list of at least one edit")
    return [_parsed(f"edits[{n}]", one, names, labels) for n, one in enumerate(edits)]


def _parsed(place: str, one: Any, names: Sequence[str], labels: Sequence[str]) -> Edit:
    if not isinstance(one, Mapping):
        raise wrong_type(place, type(one).__name__, "an object with kind, unit, label and value")
    for key in one:
        if key not in ("kind", "unit", "label", "value"):
            raise unknown(f"{place} key", key, ("kind", "unit", "label", "value"))
    kind, unit, label, value = (one.get(key) for key in ("kind", "unit", "label", "value"))
    for what, given, known in (("kind", kind, KINDS), ("unit", unit, names)):
        if given not in known:
            raise unknown(f"{place} {what}", given, known)
    if label is not None and label not in labels:
        raise unknown(f"{place} label", label, labels)
    if (kind == "prune") != (value is None):
        raise wrong(f"{place} value", value, "none for prune, a number for rescale and set")
    return Edit(
        str(kind), str(unit), label, None if value is None else finite(f"{place} value", value)
    )


def finite(argument: str, value: object) -> float:
    """A finite number that came as JSON.

    Raises:
        InvalidType: something else than a number.
        InvalidInput: NaN, infinity, or too large for float32.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(argument, type(value).__name__, "a number")
    if not math.isfinite(value) or abs(value) > torch.finfo(torch.float32).max:
        raise wrong(argument, value, "a finite number")
    return float(value)


@torch.no_grad()
def affine(model: NarrowModel, reading: Reading) -> tuple[Tensor, Tensor]:
    """Weights `(classes, units, width)` and biases `(classes,)` of the head.

    Args:
        model: any.
        reading: of some rows, on which the head is checked to be what its weights say.

    Raises:
        InvalidInput: a head that is not affine, or whose inputs are not the named units.
    """
    weight, bias = getattr(model.head, "weight", None), getattr(model.head, "bias", None)
    names = len(model.bottleneck.names)
    some = reading[:_ROWS]
    z = model.bottleneck.write(some).flatten(1)
    kind = type(model.head).__name__
    if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
        raise wrong("head", f"a {kind}", "one linear layer, whose weights can be edited")
    if z.shape[1] != weight.shape[1] or z.shape[1] != names * model.bottleneck.width or not names:
        found = f"{weight.shape[1]} inputs"
        raise wrong("head", found, f"{model.bottleneck.width} for each of the {names} units")
    gap = (model.head(z) - (z @ weight.T + bias)).abs().max()
    if float(gap) > _GAP * (1 + float((z.abs() @ weight.abs().T).max())):
        raise wrong("head", f"a {kind} that does more than add", "a linear head")
    return weight.detach().unflatten(1, (names, -1)), bias.detach()


def apply(
    weight: Tensor, edits: Sequence[Edit], names: Sequence[str], labels: Sequence[str]
) -> Tensor:
    """Weights `(classes, units, width)` after edits, one after the other; a copy.

    Raises:
        InvalidInput: `set` where a unit has more than one weight a class.

    Example:
        >>> weight = torch.tensor([[[2.0], [3.0]], [[4.0], [5.0]]])
        >>> apply(weight, [Edit("rescale", "b", "no", 2.0)], ["a", "b"], ["yes", "no"])[:, :, 0]
        tensor([[ 2.,  3.],
                [ 4., 10.]])
    """
    weight = weight.clone()
    for edit in edits:
        rows = slice(None) if edit.label is None else [labels.index(edit.label)]
        column = names.index(edit.unit)
        if edit.kind == "set":
            if weight.shape[2] != 1:
                raise wrong(
                    "edit", "set", f"prune or rescale: a unit has {weight.shape[2]} weights"
                )
            weight[rows, column] = edit.value or 0.0
        else:
            weight[rows, column] *= edit.value or 0.0
    if not bool(weight.isfinite().all()):
        raise wrong("edits", "weights beyond the numbers of float32", "smaller values")
    return weight


def with_head(model: NarrowModel, weight: Tensor, bias: Tensor) -> NarrowModel:
    """The same model with another linear head of `(classes, units, width)` weights."""
    head = LinearHead(weight[0].numel(), len(weight))
    with torch.no_grad():
        head.weight.copy_(weight.flatten(1))
        head.bias.copy_(bias)
    other = NarrowModel(model.encoder, model.bottleneck, head, model.classes, model.input_shape)
    return other.eval().requires_grad_(False)
