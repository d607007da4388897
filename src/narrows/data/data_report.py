"""What a check of a data set found."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
Problem = tuple[Severity, str]

_WIDTH = 40
_MOST = 20  # lines of a table; more classes or concepts are only counted
_ORDER = ("error", "warning", "note")


@dataclass(frozen=True)
class DataReport:
    """Counts and problems of a data set; prints itself in 40 columns.

    Attributes:
        name: of the data set.
        rows: per split.
        classes: rows of each class (as text) per split.
        missing: unknown annotations of each concept per split.
        problems: `(severity, text)`, errors first. An error makes results wrong, a warning
            makes them doubtful, a note is worth knowing.

    Example:
        >>> report = DataReport("tiny", {"train": 3}, {"train": {"yes": 3}}, {},
        ...                     (("warning", "class 'no' has no row in train"),))
        >>> print(report)
        tiny: 3 train
        classes (train)
          yes  3  100.0 %
        warning: class 'no' has no row in train
        >>> report.ok
        True
    """

    name: str
    rows: Mapping[str, int]
    classes: Mapping[str, Mapping[str, int]]
    missing: Mapping[str, Mapping[str, int]]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings and notes may be there."""
        return all(severity != "error" for severity, _ in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "name": self.name,
            "rows": dict(self.rows),
            "classes": {split: dict(counts) for split, counts in self.classes.items()},
            "missing": {concept: dict(counts) for concept, counts in self.missing.items()},
            "problems": [{"severity": severity, "text": text} for severity, text in self.problems],
        }

    def __str__(self) -> str:
        lines = [f"{self.name}: " + ", ".join(f"{n} {split}" for split, n in self.rows.items())]
        lines += self._class_lines()
        lines += self._missing_lines()
        lines += [f"{severity}: {text}" for severity, text in self.problems]
        if not self.problems:
            lines.append("no problems found")
        return "\n".join(_wrapped(lines))

    def _class_lines(self) -> list[str]:
        """Class counts of the first split, which is the one models learn from."""
        split = next(iter(self.classes))
        counts = self.classes[split]
        total = max(sum(counts.values()), 1)
        table = [(_printable(c), str(n), f"{100 * n / total:.1f} %") for c, n in counts.items()]
        return [f"classes ({split})", *_aligned(table)]

    def _missing_lines(self) -> list[str]:
        """The concepts that lack annotations, as counts over all splits."""
        total = max(sum(self.rows.values()), 1)
        counts = {concept: sum(per.values()) for concept, per in self.missing.items()}
        table = [
            (_printable(concept), str(n), f"{100 * n / total:.1f} %")
            for concept, n in counts.items()
            if n
        ]
        return ["not annotated (all splits)", *_aligned(table)] if table else []


def sorted_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Errors first, then warnings, then notes; otherwise in the order they were found."""
    return tuple(sorted(problems, key=lambda problem: _ORDER.index(problem[0])))


def _printable(text: str) -> str:
    """A text on one line."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _aligned(table: list[tuple[str, str, str]]) -> list[str]:
    """Rows of name, count and share under one another in 40 columns, the first 20."""
    more = [f"  and {len(table) - _MOST} more"] if len(table) > _MOST else []
    table = table[:_MOST]
    count = max((len(row[1]) for row in table), default=0)
    share = max((len(row[2]) for row in table), default=0)
    most = _WIDTH - count - share - 6
    name = min(max((len(row[0]) for row in table), default=0), most)
    return [
        f"  {_shortened(row[0], name):<{name}}  {row[1]:>{count}}  {row[2]:>{share}}"
        for row in table
    ] + more


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _wrapped(lines: Iterable[str]) -> list[str]:
    """Lines cut at 40 columns; what goes on is set in by two."""
    wrapped: list[str] = []
    for line in lines:
        fits = len(line) <= _WIDTH
        cut = textwrap.wrap(_printable(line), _WIDTH, subsequent_indent="  ")
        wrapped += [line] if fits else cut
    return wrapped
