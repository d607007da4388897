"""What every measure does first: read the rows, find their classes, match their concepts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from narrows.data.record import UNLABELLED, Examples
from narrows.errors import InvalidInput, unknown, wrong
from narrows.model import NarrowModel
from narrows.reading import Reading

_ROWS = 4096
_NUMBERS = 2**20  # numbers in one piece: 4 MiB of float32


def device_of(model: NarrowModel) -> torch.device:
    """Where a model lives; the CPU for one without any numbers of its own."""
    own = next(model.parameters(), next(model.buffers(), None))
    return torch.device("cpu") if own is None else own.device


@contextmanager
def evaluating(model: NarrowModel) -> Iterator[None]:
    """No gradients and evaluation mode, with every part's own mode restored afterwards."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def read_rows(model: NarrowModel, examples: Examples) -> Reading:
    """The readings of all rows; the encoder runs once, over pieces of 4096 rows."""
    if len(examples) == 0:
        raise wrong("examples", "no rows", "at least one row")
    device = device_of(model)
    with evaluating(model):
        return Reading.cat(
            [
                model.read(examples.x[rows].to(device)).detach()
                for rows in torch.arange(len(examples)).split(_ROWS)
            ]
        )


def numbers_per_row(reading: Reading) -> int:
    """How many numbers one row of a reading holds, context included."""
    return sum(part[0].numel() for part in reading.tensors().values())


def pieces(rows: int, numbers: int, most: int = _NUMBERS) -> tuple[Tensor, ...]:
    """Row numbers in consecutive pieces of at most `most` numbers, one row at least.

    Example:
        >>> [len(piece) for piece in pieces(5, numbers=10, most=20)]
        [2, 2, 1]
    """
    if rows == 0:
        return ()
    return torch.arange(rows).split(max(1, most // max(numbers, 1)))


def decide_rows(model: NarrowModel, reading: Reading) -> Tensor:
    """`(n,)` class ids decided from readings, in pieces that bound the memory."""
    with evaluating(model):
        return torch.cat(
            [
                model.decide(reading[rows.to(reading.units.device)]).prediction.argmax(-1)
                for rows in pieces(len(reading), numbers_per_row(reading))
            ]
        )


def targets(model: NarrowModel, examples: Examples) -> Tensor:
    """`(n,)` the rows' classes, numbered as the model numbers them.

    Raises:
        InvalidInput: rows without a label.
        UnknownName: a label the model has no class for.
    """
    y = examples.y
    if bool((y == UNLABELLED).any()):
        row = int((y == UNLABELLED).nonzero()[0])
        raise wrong("examples.y", f"row {row} without a label", "a label for each row")
    if not model.classes or model.classes == examples.classes:
        return y.to(device_of(model))
    place = {label: i for i, label in enumerate(model.classes)}
    for i in y.unique().tolist():
        if examples.classes[i] not in place:
            raise unknown("class", examples.classes[i], map(str, model.classes))
    ids = torch.tensor([place.get(label, UNLABELLED) for label in examples.classes])
    return ids.to(y.device)[y].to(device_of(model))


def matched(names: Sequence[str], examples: Examples) -> dict[int, int]:
    """Which of the model's names is which concept of the data: `{place: concept}`.

    Raises:
        InvalidInput: no concept labels, or no name in common.
    """
    if examples.c is None or not len(examples.concepts):
        raise wrong("examples", "no concept labels", "rows with concepts")
    concept = {name: j for j, name in enumerate(examples.concepts.names)}
    pairs = {i: concept[name] for i, name in enumerate(names) if name in concept}
    if not pairs:
        raise InvalidInput(
            f"model: its units ({_some(names)}) and the concepts of the data "
            f"({_some(examples.concepts.names)}) have no name in common"
        )
    return pairs


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
