"""What the studio takes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from narrows.studio.shapes.base import Asked

Name = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class Known(Asked):
    """Corrections of one case: the value a unit truly has, or null to take one back."""

    known: dict[Name, float | None] = Field(min_length=1)


class NoteAsked(Asked):
    """A remark on a case."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
    kind: Literal["note", "disagreement"] = "note"


class Edit(Asked):
    """A change of the linear head, in all rows of the weight matrix or in one label's."""

    kind: Literal["prune", "rescale", "set"]
    unit: Name
    label: Name | None = None
    value: float | None = None


class Edits(Asked):
    """Changes of the linear head, made together."""

    edits: list[Edit] = Field(min_length=1)


class Import(Asked):
    """Corrections as a table: columns split, row, id, unit, value."""

    csv: str


class Nothing(Asked):
    """An empty object."""
