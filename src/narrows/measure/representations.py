"""What stands for each named concept in a reading, beside the truth about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from narrows.data.record import Examples
from narrows.errors import wrong, wrong_type
from narrows.measure.rows import evaluating, matched, read_rows, targets
from narrows.model import NarrowModel
from narrows.reading import Reading


@dataclass(frozen=True)
class Represented:
    """Rows as measures of concepts want them, on the CPU.

    Attributes:
        names: of the k concepts.
        z: `(n, k, w)` float64, the part of the head's input that belongs to each concept; the
            scores where the head does not read the concepts one by one.
        scores: `(n, k)` float64, on the scale people speak.
        truth: `(n, k)` float64, NaN where unknown.
        y: `(n,)` class ids, numbered as the model numbers them.
    """

    names: tuple[str, ...]
    z: Tensor
    scores: Tensor
    truth: Tensor
    y: Tensor


def represent(model: NarrowModel, examples: Examples) -> Represented:
    """Read rows and match the units with the concepts of the data by name.

    Raises:
        InvalidInput: no concept labels, no name in common, no label, or a representation or score
            that is NaN or infinite, by name.
    """
    columns = model.bottleneck.columns
    pairs = matched(columns, examples)
    names = tuple(columns[i] for i in pairs)
    reading = read_rows(model, examples)
    with evaluating(model):
        scores = model.bottleneck.scores(reading)[:, list(pairs)].double().cpu()
        z = _parts(model, reading)
    z = scores[:, :, None] if z is None else z[:, list(pairs)].double().cpu()
    check_finite("scores", scores, names)
    check_finite("representation", z, names)
    truth = examples.c[:, list(pairs.values())].double().cpu()  # type: ignore[index]  # matched refuses None
    return Represented(names, z, scores, truth, targets(model, examples).cpu())


def check_finite(what: str, values: Tensor, names: Sequence[str]) -> None:
    """Refuse values `(n, k)` or `(n, k, w)` that are NaN or infinite, by the concept's name."""
    bad = ~values.isfinite().reshape(len(values), len(names), -1).all(2)
    if bool(bad.any()):
        row, j = bad.nonzero()[0].tolist()
        raise wrong(f"{what} of {names[j]!r}", f"NaN or infinity in row {row}", "finite numbers")


def checked(z: Tensor, truth: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Representations `(n, k, w)` and truth `(n, k)`, in float64 on the CPU.

    Args:
        z: `(n, k)` or `(n, k, w)` finite.
        truth: `(n, k)` in [0, 1], NaN where unknown.
        names: one per concept.

    Raises:
        InvalidInput: other shapes or values, by the concept's name.
        InvalidType: not tensors.
    """
    for argument, part in (("z", z), ("truth", truth)):
        if not isinstance(part, Tensor):
            raise wrong_type(argument, type(part).__name__, "a tensor")
    k = len(names)
    if z.ndim not in (2, 3) or z.shape[1] != k or 0 in z.shape:
        found = f"shape {tuple(z.shape)}"
        raise wrong("z", found, f"shape (n, {k}) or (n, {k}, w), none empty")
    if truth.shape != z.shape[:2]:
        raise wrong("truth", f"shape {tuple(truth.shape)}", f"shape {tuple(z.shape[:2])}")
    check_finite("z", z, names)
    outside = (truth < 0) | (truth > 1)
    if bool(outside.any()):
        row, j = outside.nonzero()[0].tolist()
        found = f"{float(truth[row, j])} in row {row}"
        raise wrong(f"truth of {names[j]!r}", found, "[0, 1], NaN where unknown")
    parts = z.detach().double().cpu().reshape(len(z), k, -1)
    return parts, truth.detach().double().cpu()


def _parts(model: NarrowModel, reading: Reading) -> Tensor | None:
    """`(n, units, w)` the head's input by units, None where it is not laid out so."""
    units, width = len(model.bottleneck.columns), model.bottleneck.width
    z = model.bottleneck.write(reading).flatten(1)
    if width < 1 or z.shape[1] != units * width:
        return None
    parts: Tensor = z.unflatten(1, (units, width))
    return parts
