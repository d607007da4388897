"""The weight matrix of a run's head, and what edits of it would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from narrows.errors import InvalidInput
from narrows.studio import edits
from narrows.studio.book import Book
from narrows.studio.standing import stand


def weights(book: Book) -> dict[str, Any]:
    """The weights `[class][unit]` with the edits in force; or the reason why there are none."""
    try:
        weight, _ = edits.affine(book.model, book.need_data().of("val"))
        if weight.shape[2] != 1:
            raise InvalidInput(
                f"Each unit passes {weight.shape[2]} numbers on, so that it has no single weight; "
                "it can be pruned and rescaled"
            )
    except InvalidInput as error:
        return {"reason": str(error)}
    kept = zip(book.state.edits(), book.edits(), strict=True)
    return {
        "units": list(book.model.bottleneck.names),
        "classes": list(book.labels),
        "matrix": weight[:, :, 0].tolist(),
        "edits": [{"event": event.event, **edit.to_dict()} for event, edit in kept],
    }


def editable(book: Book) -> bool:
    """Whether the head can be edited."""
    try:
        edits.affine(book.model, book.need_data().of("val"))
    except InvalidInput:
        return False
    return True


def preview(book: Book, given: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The validation rows with and without further edits, on top of those in force.

    Corrections of single cases do not count here: both are what the model says by itself.

    Raises:
        UnknownName: a unit or class that does not exist.
        InvalidInput: a head that is not linear, or a value that cannot be.
    """
    further = edits.parse(given, book.model.bottleneck.names, book.labels)
    reading = book.need_data().of("val")
    now = stand(book.model, reading).prediction
    then = stand(book.edited([*book.edits(), *further]), reading).prediction
    truth = book.truth("val")
    return {
        "before": {"accuracy": float((now == truth).mean())},
        "after": {"accuracy": float((then == truth).mean())},
        "changed": int((now != then).sum()),
        "rows": len(truth),
    }
