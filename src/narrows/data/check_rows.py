"""Looking at the rows of a data set: which can be read, and which stand there twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from narrows.data.cells import rows_named
from narrows.data.data_report import Problem
from narrows.data.record import Dataset, Examples
from narrows.errors import FileRefused

_LISTED = 3
_CHUNK = 64


def unreadable(data: Dataset) -> Iterator[Problem]:
    """Files of a lazy column that cannot be read, each by name."""
    for split in data.splits.values():
        if isinstance(split.x, Tensor):
            continue
        for start in range(0, len(split), _CHUNK):
            rows = torch.arange(start, min(start + _CHUNK, len(split)))
            if _refusal(split, rows):
                refusals = (_refusal(split, row[None]) for row in rows)
                yield from (("error", text) for text in refusals if text)


def _refusal(split: Examples, rows: Tensor) -> str:
    try:
        split.x[rows]
    except FileRefused as error:
        return str(error)
    return ""


def leaks(data: Dataset, digests: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Rows of one split whose content is in another."""
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        seen = set(digests[one])
        rows = [row for row, digest in enumerate(digests[other]) if digest in seen]
        if rows:
            which = some_rows(data.splits[other], rows)
            many = "row of {} is" if len(rows) == 1 else "rows of {} are"
            yield "error", f"{len(rows)} {many.format(other)} also in {one}: {which}"


def repeats(data: Dataset, digests: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Equal rows within a split, and equal rows anywhere that people labelled in two ways."""
    for name, found in digests.items():
        extra = len(found) - len(set(found))
        if extra:
            many = "row of {} repeats" if extra == 1 else "rows of {} repeat"
            yield "note", f"{extra} {many.format(name)} another row of it"
    every = [digest for found in digests.values() for digest in found]
    place = {digest: n for n, digest in enumerate(dict.fromkeys(every))}
    if len(place) == len(every):
        return
    content = torch.tensor([place[digest] for digest in every])
    y = torch.cat([split.y.cpu() for split in data.splits.values()])
    noisy = _disagreements(content, y[:, None].double())
    if noisy:
        yield "warning", f"{noisy} repeated contents have different labels"
    marks = [split.c.cpu() for split in data.splits.values() if split.c is not None]
    if len(marks) == len(data.splits):
        noisy = _disagreements(content, torch.cat(marks))
        if noisy:
            yield "warning", f"{noisy} repeated contents have different annotations"


def _disagreements(content: Tensor, values: Tensor) -> int:
    """Contents whose rows have two known values in some column."""
    size = (int(content.max()) + 1, values.shape[1])
    index = content[:, None].expand_as(values)
    known = ~values.isnan()
    low = values.new_full(size, torch.inf).scatter_reduce(
        0, index, torch.where(known, values, torch.inf), "amin"
    )
    high = values.new_full(size, -torch.inf).scatter_reduce(
        0, index, torch.where(known, values, -torch.inf), "amax"
    )
    return int((high > low).any(1).sum())


def places(mask: Tensor) -> list[int]:
    """Where a mask is true."""
    return [int(i) for i in mask.nonzero().flatten().tolist()]


def listed(kind: str, names: Iterable[str]) -> str:
    """The first few of some names, with their number.

    Example:
        >>> listed("class", ["a"]), listed("class", "abcde")
        ("1 class ('a')", "5 classes ('a', 'b', 'c' and 2 more)")
    """
    every = list(names)
    shown = ", ".join(repr(name) for name in every[:_LISTED])
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    plural = "" if len(every) == 1 else "es" if kind.endswith("s") else "s"
    return f"{len(every)} {kind}{plural} ({shown}{more})"


def some_rows(split: Examples, rows: Sequence[int]) -> str:
    """The first few rows by id, or by number counted from 0 as in the tensors."""
    if split.ids is None:
        return rows_named(rows, _LISTED)
    shown = ", ".join(repr(split.ids[row]) for row in rows[:_LISTED])
    more = f" and {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
    return f"id {shown}{more}"
