"""A desk: one opened run, and everything a person can ask of it or do to it.

Every method gives JSON values: finite numbers or None, texts, lists and dicts. Names of units,
classes and cases come from the user's data and are untrusted text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from torch import nn

from narrows.data import Dataset
from narrows.studio import about, evidence, exports, heads, heat, inputs, model_page, report_file
from narrows.studio.acts import Acts
from narrows.studio.book import Book
from narrows.studio.cases import Query, check_page
from narrows.studio.opened import open_run

JSON = dict[str, Any]


class Desk:
    """One run, opened for a person. Threads may share it.

    Args:
        folder: of a finished run; the journal is kept in it.
        data: the run's data, where the folder does not say where they are.
        encoder: the user's own encoder, where the run was trained with one.

    Raises:
        FileMissing: no finished run.
        FileRefused: damaged files, or the journal of another model.
        RunLocked: another process holds the journal for too long.

    Attributes:
        id: how routes call the run; the folder's name.
    """

    def __init__(
        self, folder: str | Path, *, data: Dataset | None = None, encoder: nn.Module | None = None
    ) -> None:
        self.opened = open_run(folder, data, encoder)
        self.id = Path(folder).resolve().name
        self.book = Book(self.opened)
        self.acts = Acts(self.book)

    @property
    def title(self) -> str:
        """The method and the data."""
        return self.opened.title

    def warm(self, splits: Iterable[str] = ("test",)) -> None:
        """Read the rows of splits and answer a case now, so that the first page need not wait."""
        for split in splits:
            if split in self.book.splits:
                self.book.listing(split)
                self.case(split, 0)

    def close(self) -> None:
        """Let go of the journal."""
        self.book.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def summary(self) -> JSON:
        """The run in a list of runs."""
        return about.summary(self.id, self.opened)

    def about(self) -> JSON:
        """What the run is, its units, and what can be done with it."""
        self.book.prepare("test", "val")
        return self._looking(lambda: about.about(self.id, self.book, self._can))

    def cases(
        self,
        split: str = "test",
        filter: str = "all",  # as the route calls it
        label: str | None = None,
        search: str = "",
        sort: str = "row",
        offset: int = 0,
        limit: int = 100,
    ) -> JSON:
        """A page of the list of cases; see `narrows.studio.cases.Query`."""
        query = Query(filter, label, search, sort)
        self.book.prepare(split)
        return self._looking(lambda: self.book.listing(split).page(query, offset, limit))

    def case(self, split: str, row: int, **query: Any) -> JSON:
        """One case: its input, the answers before and after corrections, its units, its notes.

        Args:
            split: of the case.
            row: of the case.
            query: what the list was asked for; `previous` and `next` follow it.
        """
        case = self.book.check_case(split, row)
        asked = Query(**query)
        self.book.prepare(split)
        return self._looking(lambda: about.case(self.book, case, asked))

    def input_png(self, split: str, row: int) -> bytes:
        """The input of a case as a PNG file; UnknownName where it is no picture."""
        readings, case = self.book.need_data(), self.book.check_case(split, row)
        return inputs.input_png(readings.examples(case[0]), row)

    def heat_png(self, split: str, row: int, unit: str) -> bytes:
        """Where a unit looks, as a transparent PNG of `input_png`'s size."""
        picture = self.input_png(split, row)
        about.check_unit(self.book, unit)
        weights = heat.heat_of(self.book.need_data(), (split, row), unit)
        return heat.heat_png(weights, heat.png_size(picture))

    def evidence(self, split: str, row: int, unit: str) -> JSON:
        """What a unit can show for itself."""
        readings, case = self.book.need_data(), self.book.check_case(split, row)
        about.check_unit(self.book, unit)
        found = evidence.evidence_of(readings, case, unit)
        address = f"/api/runs/{quote(self.id, safe='')}"
        return {"items": evidence.items(found, readings.data, case, address)}

    def why_not(self, split: str, row: int, label: str) -> JSON:
        """The smallest set of further corrections after which the model says `label`."""
        case = self.book.check_case(split, row)
        with self.book.lock:
            self.book.sync()
            question = self.book.question(case)
        return question.why_not(label)  # a search: others need not wait for it

    def correct(
        self, split: str, row: int, known: Mapping[str, float | None], who: str = ""
    ) -> JSON:
        """Fix units of a case, or take corrections back (None); the label answers at once."""
        return self.acts.correct((split, row), known, who)

    def note(self, split: str, row: int, text: str, kind: str = "note", who: str = "") -> JSON:
        """Keep a note or a disagreement about a case."""
        return self.acts.note((split, row), text, kind, who)

    def undo(self, who: str = "") -> JSON:
        """Take back the last act that stands."""
        return self.acts.turn("undo", who)

    def redo(self, who: str = "") -> JSON:
        """Bring back the act that was taken back last."""
        return self.acts.turn("redo", who)

    def log(self, offset: int = 0, limit: int = 200) -> JSON:
        """The audit trail, newest event first."""
        check_page(offset, limit)

        def page() -> JSON:
            events = self.book.state.events[::-1][offset : offset + limit]
            rows = [exports.row_of(self.book.state, e) for e in events]
            return {"total": self.book.state.last, "events": rows}

        return self._looking(page)

    def log_csv(self) -> str:
        """The audit trail as a table, oldest event first."""
        with self.book.lock:
            self.book.sync()
            return exports.log_csv(self.book.state)

    def replay(self) -> list[tuple[int, str | None]]:
        """The label after each event, worked out again from the journal alone."""
        return self.acts.replay()

    def model(self) -> JSON:
        """The whole: what was measured, concept quality, curves, the card."""
        return self._looking(lambda: model_page.model_page(self.opened, self.book.state))

    def weights(self) -> JSON:
        """The head's weight matrix `[class][unit]` with the edits in force, or why none."""
        return self._looking(lambda: heads.weights(self.book))

    def preview(self, edits: Sequence[Mapping[str, Any]]) -> JSON:
        """What further edits would change on the validation rows; nothing is kept."""
        return self._looking(lambda: heads.preview(self.book, edits))

    def edit(self, edits: Sequence[Mapping[str, Any]], who: str = "") -> JSON:
        """Keep further edits."""
        return self.acts.edit(edits, who)

    def corrections_csv(self, form: str = "table") -> str:
        """The corrections as a `table` of all rows for `narrows fit`, or as a `list`."""
        with self.book.lock:
            self.book.sync()
            return exports.corrections_csv(self.book, form)

    def import_corrections(self, text: str, who: str = "") -> JSON:
        """Take over corrections from a `list`: all of them, or none where one is wrong."""
        rows = exports.parse_list(self.book, text)
        return self.acts.take_over(rows, who)

    def report_html(self) -> str:
        """The run's report with a model card, as one page that opens offline."""
        return report_file.report_html(self.opened, self.book)

    @cached_property
    def _can(self) -> dict[str, bool]:
        return about.abilities(self.book)

    def _looking(self, answer: Callable[[], JSON]) -> JSON:
        """Answer from the state as it is now in the journal."""
        with self.book.lock:
            self.book.sync()
            return answer()
