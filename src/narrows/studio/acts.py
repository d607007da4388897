"""What people do: correct, note, edit, undo, redo, import. Each is one act in the journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from narrows.errors import InvalidInput, unknown, wrong, wrong_type
from narrows.model import NarrowModel
from narrows.studio import edits as heads
from narrows.studio.about import check_unit
from narrows.studio.answers import truth_of
from narrows.studio.book import Book, edit_of
from narrows.studio.heads import preview
from narrows.studio.journal import Event
from narrows.studio.standing import stand_corrected
from narrows.studio.state import Case, State, case_of

JSON = dict[str, Any]
NOTES = ("note", "disagreement")
_TEXT = 10_000  # characters of a note
_WHO = 200


class Acts:
    """Everything that adds to the journal of a run.

    Args:
        book: of the run.
    """

    def __init__(self, book: Book) -> None:
        self.book = book

    def correct(self, place: Case, known: Mapping[str, float | None], who: str) -> JSON:
        """Fix units of a case; None takes a correction back.

        Setting a member of a group to 1 takes back what was said of its other members.

        Raises:
            UnknownName: no such case or unit.
            InvalidInput: a value the bottleneck refuses, or nothing said at all.
        """
        book = self.book
        case = book.check_case(*place)
        given = _given(book, known)
        shown: JSON = {}

        def draft() -> list[Event]:
            now = book.known(case)
            new, changes = merged(now, given, book.model)
            before, after = book.question(case, now), book.question(case, new)
            read = before.values(before.now)
            said = before.answer(before.now)
            shown["now"] = after.answer(after.now)
            truth = truth_of(
                book.need_data().examples(case[0]), case[1], book.model.bottleneck.names
            )
            shown["units"] = after.units(truth)
            return [
                self._about(
                    case,
                    "correction",
                    who,
                    unit=unit,
                    before=read.get(unit, (0, 0.0))[1],
                    after=value,
                    label_before=said["label"],
                    label_after=shown["now"]["label"],
                )
                for unit, value in changes.items()
            ]

        done = book.write(draft)
        return {"event": done.last, **shown, **done.turns}

    def take_over(self, rows: Mapping[Case, Mapping[str, float | None]], who: str) -> JSON:
        """Take over corrections of many cases as one act, or none of them."""
        book = self.book

        def draft() -> Iterator[Event]:
            for split in sorted({split for split, _ in rows}):
                old = {row: book.known((s, row)) for s, row in rows if s == split}
                pairs = {r: merged(old[r], rows[split, r], book.model) for r in old}
                changed = {row: c for row, (_, c) in pairs.items() if c}
                said = self._labels(split, {row: old[row] for row in changed})
                then = self._labels(split, {row: pairs[row][0] for row in changed})
                for row, changes in changed.items():
                    was = book.question((split, row), old[row])
                    read = was.values(was.now)
                    for unit, value in changes.items():
                        yield self._about(
                            (split, row),
                            "correction",
                            who,
                            unit=unit,
                            before=read.get(unit, (0, 0.0))[1],
                            after=value,
                            label_before=said[row],
                            label_after=then[row],
                        )

        done = book.write(lambda: list(draft()))
        return {"events": len(done.events), **done.turns}

    def note(self, place: Case, text: str, kind: str, who: str) -> JSON:
        """Keep a note about a case.

        Raises:
            InvalidInput: an empty text, or one of more than 10,000 characters.
            UnknownName: another kind than `note` and `disagreement`.
        """
        case = self.book.check_case(*place)
        if kind not in NOTES:
            raise unknown("kind", kind, NOTES)
        clean = clean_text("text", text, _TEXT)
        if not clean:
            raise wrong("text", "an empty text", "a note")
        done = self.book.write(
            lambda: [self._about(case, kind, who, text=clean, **self._said(case))]
        )
        return {"event": done.last, **done.turns}

    def edit(self, given: Sequence[Mapping[str, Any]], who: str) -> JSON:
        """Keep edits of the head, with what they change on the validation rows."""
        book = self.book
        names = book.model.bottleneck.names
        chosen = heads.parse(given, names, book.labels)
        shown: JSON = {}

        def draft() -> list[Event]:
            shown.update(preview(book, given))
            return [
                Event(
                    "edit",
                    who=clean_text("who", who, _WHO),
                    unit=edit.unit,
                    label=edit.label,
                    after=edit.value,
                    text=edit.kind,
                    digest=book.digest,
                )
                for edit in chosen
            ]

        done = book.write(draft)
        return {"event": done.last, **shown, **done.turns}

    def turn(self, kind: str, who: str) -> JSON:
        """Undo the last act that stands, or redo the last that was taken back.

        Raises:
            InvalidInput: there is none.
        """
        book = self.book
        shown: JSON = {}

        def draft() -> list[Event]:
            state = book.state
            stack = state.done if kind == "undo" else state.undone
            if not stack:
                raise InvalidInput(f"{kind}: there is nothing to {kind}")
            first = state.act(stack[-1])[0]
            shown.update(split=first.split, row=first.row, kind=first.kind)
            if first.kind == "edit":
                event = Event(
                    kind, who=clean_text("who", who, _WHO), digest=book.digest, target=stack[-1]
                )
                return [event]
            case = case_of(first)
            then = self._label(case, state.known_after_turn(case, stack[-1]))
            said = {**self._said(case), "label_after": then}
            return [self._about(case, kind, who, target=stack[-1], **said)]

        done = book.write(draft)
        return {"event": done.last, **shown, **done.turns}

    def replay(self) -> list[tuple[int, str | None]]:
        """The label of each event's case after its act, from the journal alone.

        Raises:
            InvalidInput: there are corrections or edits, and the data are gone.
        """
        with self.book.lock:
            self.book.sync()
            events = list(self.book.state.events)
        if any(event.kind in ("correction", "edit") for event in events):
            self.book.need_data()
        past, found = State(), []
        models: dict[tuple[Any, ...], NarrowModel] = {}
        for act in _acts(events):
            past.take(act)
            chosen = tuple(map(edit_of, past.edits()))
            if chosen not in models:
                models[chosen] = self.book.edited(chosen)
            # Cases go through the model in the batches in which they went when it was done.
            cases = dict.fromkeys(case_of(e) for e in act if e.split is not None)
            labels: dict[Case, str | None] = {}
            for split in dict.fromkeys(split for split, _ in cases):
                known = {row: past.known((s, row)) for s, row in cases if s == split}
                own = self._labels(split, known, models[chosen])
                labels |= {(split, row): label for row, label in own.items()}
            found += [(e.event, None if e.split is None else labels[case_of(e)]) for e in act]
        return found

    def _about(self, case: Case, kind: str, who: str, **more: Any) -> Event:
        split, row = case
        return Event(
            kind,
            who=clean_text("who", who, _WHO),
            split=split,
            row=row,
            id=self.book.ids(split)[row],
            digest=self.book.digest,
            **more,
        )

    def _said(self, case: Case) -> JSON:
        label = self._label(case, self.book.known(case))
        return {"label_before": label, "label_after": label}

    def _label(self, case: Case, known: Mapping[str, float]) -> str | None:
        if self.book.readings is None:
            return self._labels(case[0], {case[1]: known})[case[1]]
        question = self.book.question(case, dict(known))
        return str(question.answer(question.now)["label"])

    def _labels(
        self,
        split: str,
        known: Mapping[int, Mapping[str, float]],
        model: NarrowModel | None = None,
    ) -> dict[int, str | None]:
        if not known:
            return {}
        if self.book.readings is None:  # what was said is kept, and nothing can change it
            said = self.book.standing(split).prediction
            return {row: self.book.labels[said[row]] if said[row] >= 0 else None for row in known}
        reading = self.book.readings.of(split)
        rows, now = stand_corrected(model or self.book.model, reading, known)
        labels = self.book.labels
        return dict(zip(rows.tolist(), (labels[i] for i in now.prediction.tolist()), strict=True))


def merged(
    now: Mapping[str, float], given: Mapping[str, float | None], model: NarrowModel
) -> tuple[dict[str, float], dict[str, float | None]]:
    """Corrections after something was said, and what changed, by unit.

    Args:
        now: the corrections in force.
        given: what is said: a value, or None to take a correction back.
        model: whose groups are kept.
    """
    names = model.bottleneck.names
    families = {names[i]: [names[j] for j in g] for g in model.bottleneck.groups for i in g}
    new: dict[str, float] = dict(now)
    for unit, value in given.items():
        new.pop(unit, None)
        if value is None:
            continue
        for other in families.get(unit, ()):
            # The last word counts: a truth replaces what was said of the others, and anything
            # but a zero takes another's truth back.
            if other not in given and other in new and (value == 1 or (value and new[other] == 1)):
                del new[other]
        new[unit] = value
    changes = {unit: new.get(unit) for unit in {**now, **new} if now.get(unit) != new.get(unit)}
    return new, changes


def clean_text(argument: str, text: object, most: int) -> str:
    """A text that can be kept: of valid characters, without space around it.

    Raises:
        InvalidType: no text.
        InvalidInput: too long, or half of a character pair.
    """
    if not isinstance(text, str):
        raise wrong_type(argument, type(text).__name__, "a text")
    if len(text) > most:
        raise wrong(argument, f"{len(text)} characters", f"at most {most}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise wrong(argument, "a character that is no text", "text in UTF-8") from None
    return text.strip()


def _given(book: Book, known: Mapping[str, float | None]) -> dict[str, float | None]:
    if not isinstance(known, Mapping) or not known:
        raise wrong_type("known", repr(known)[:60], "{unit name: number or null}, one at least")
    for unit in known:
        check_unit(book, unit)
    return {
        unit: None if value is None else heads.finite(f"known[{unit!r}]", value)
        for unit, value in known.items()
    }


def _acts(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Events in order, those of one act together."""
    act: list[Event] = []
    for event in events:
        if act and event.act != act[0].act:
            yield act
            act = []
        act.append(event)
    if act:
        yield act
