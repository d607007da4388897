"""How a worked example is put into words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from narrows.report.labels import joined, one_line

if TYPE_CHECKING:
    from narrows.report.example import Example


@dataclass(frozen=True)
class Turn:
    """What a person corrects at once: one concept, or a group of exclusive ones.

    Attributes:
        units: unit places.
        name: what the group is about, or the concept's name.
        values: what each unit says about it; empty for a single concept.
    """

    units: tuple[int, ...]
    name: str
    values: tuple[str, ...] = ()

    def say(self, units: Tensor) -> str:
        """The value that units `(n,)` hold."""
        mine = units[list(self.units)]
        if self.values:
            return self.values[int(mine.argmax())]
        return "present" if float(mine[0]) >= 0.5 else "absent"


def sentence(example: Example, read: Mapping[str, str]) -> str:
    """The example in words.

    Args:
        example: without its sentence.
        read: what the model read, by the name of the turn.
    """
    values = [one_line(v) for v in read.values()]
    few = 1 < len(read) <= 3 and bool(example.turn.values)
    was, now = one_line(example.was), one_line(example.now)
    said, then = one_line(example.said), one_line(example.then)
    if few and all(map(_short, values)) and values.count(was) == 1:
        what = joined(values)
        fix = f"correct the {was} to {_a(now)}"
        other = f"had the {was} been {_a(now)}"
    else:
        name = one_line(example.turn.name)
        what = (
            joined([f"{one_line(n)}: {v}" for n, v in read.items()][:3])
            if few
            else f"{name}: {was}"
        )
        fix = f"correct {name} to {now}"
        other = f"had it read {name}: {now}"
    if example.mistake:
        return f"The model read {what}, and said {said}; {fix} and it says {then}."
    return f"The model read {what}, and said {said}, which is right; {other}, it would say {then}."


def turn_of(units: tuple[int, ...], names: Sequence[str]) -> Turn:
    """Name a group by what its members share: `left is 0` to `left is 9` are values of left."""
    if len(units) == 1:
        return Turn(units, names[0])
    shared = _shared(names)
    # Cut at the last separator, so that `wing=black` and `wing=blue` give black, not lack.
    ends = [m.end() for m in re.finditer(r"::|=|\s", shared)]
    shared = shared[: ends[-1]] if ends else ""
    name = re.sub(r"(\bis|=|::|\s)+$", "", shared).strip()
    values = tuple(n[len(shared) :] for n in names)
    return Turn(units, name or joined([one_line(n, 20) for n in names[:3]], "or"), values)


def _shared(names: Sequence[str]) -> str:
    """The letters that all names begin with."""
    first, last = min(names), max(names)
    same = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return first[: next(same, min(len(first), len(last)))]


def _short(value: str) -> bool:
    return len(value) <= 12 and " " not in value


def _a(value: str) -> str:
    """A value with its article where it is a number.

    Example:
        >>> _a("8"), _a("6"), _a("black")
        ('an 8', 'a 6', 'black')
    """
    if not value.isdecimal():
        return value
    return ("an " if value[0] == "8" or value in ("11", "18") else "a ") + value
