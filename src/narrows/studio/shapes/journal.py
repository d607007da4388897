"""What the studio says of its journal, and of writing into it."""

from __future__ import annotations

from narrows.studio.shapes.base import Cell, Given
from narrows.studio.shapes.runs import Preview


class Error(Given):
    """What was wrong, what was found and what was wanted."""

    error: str


class Kept(Given):
    """The number of what was written into the journal."""

    event: int


class Moved(Given):
    """What was undone or redone."""

    event: int
    split: str | None
    row: int | None
    kind: str


class Event(Given):
    """One line of the journal."""

    event: int
    time: str
    kind: str
    split: str | None
    row: int | None
    id: str | None
    unit: str | None
    before: Cell
    after: Cell
    label_before: str | None
    label_after: str | None
    digest: str
    undone: bool


class Log(Given):
    """A part of the journal, newest first."""

    total: int
    events: list[Event]


class EditKept(Preview):
    """What kept edits did on validation rows."""

    event: int


class Imported(Given):
    """How many corrections a table brought."""

    events: int
