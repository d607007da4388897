"""What the studio says of cases."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from narrows.studio.shapes.base import Cell, Given


class Row(Given):
    """One line of the list of cases."""

    split: str
    row: int
    id: str
    prediction: str
    probability: float | None
    margin: float | None
    truth: str | None
    wrong: bool | None
    corrections: int
    noted: bool


class Cases(Given):
    """A part of the list of cases."""

    total: int
    offset: int
    cases: list[Row]


class Score(Given):
    """A label and its probability."""

    label: str
    probability: float | None


class Answer(Given):
    """What the model says: its label, the five best, and the second best."""

    label: str
    probability: float | None
    scores: list[Score]
    rival: str | None


class Unit(Given):
    """A unit of one case: as read, as it is now, and what it adds to the label over its rival."""

    index: int
    name: str
    group: int | None
    value: float | None
    now: float | None
    corrected: bool
    truth: float | None
    contribution: float | None
    exact: bool


class Note(Given):
    """A remark that was kept."""

    event: int
    time: str
    text: str
    kind: str


class Series(Given):
    """One named sequence of numbers."""

    name: str
    values: list[float | None]


class Input(Given):
    """What the case looks like; which members there are follows from the kind."""

    kind: Literal["image", "row", "sequence", "text", "none"]
    width: int | None = None
    height: int | None = None
    cells: list[tuple[str, Cell]] | None = None
    steps: int | None = None
    series: list[Series] | None = None
    text: str | None = None


class Case(Given):
    """One case."""

    split: str
    row: int
    id: str
    truth: str | None
    input: Input
    before: Answer
    now: Answer
    units: list[Unit]
    notes: list[Note]
    previous: int | None
    next: int | None
    undo: bool
    redo: bool


class EvidenceItem(Given):
    """A place or an example that speaks for a unit."""

    kind: Literal["crop", "box", "strip", "text"]
    title: str
    image: str | None
    box: tuple[float, float, float, float] | None
    values: list[float | None] | None
    text: str | None


class Evidence(Given):
    """What speaks for a unit in one case."""

    items: list[EvidenceItem]


class Step(Given):
    """One correction of an answer to "why not?"."""

    name: str
    start: float | None = Field(alias="from")
    to: float | None


class WhyNot(Given):
    """The corrections that would give another label."""

    label: str
    corrections: list[Step]
    proven: bool
    text: str


class Corrected(Given):
    """The model's answer to a correction."""

    event: int | None
    now: Answer
    units: list[Unit]
    undo: bool
    redo: bool
