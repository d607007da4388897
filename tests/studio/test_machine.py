"""Corrections, notes, edits, undo, redo, reopening and a second window, in any order (W12).

The oracle is a plain list of acts; what the model should say comes from `NarrowModel.correct` on
a copy whose weights the oracle edits itself.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from narrows.errors import InvalidInput
from narrows.model import NarrowModel
from narrows.studio.desk import Desk
from narrows.studio.journal import Event

ROWS = 4
UNITS = ("colour=red", "colour=green", "colour=blue", "large")


class Argument(RuleBasedStateMachine):
    """A person, and somebody in a second window, with one run."""

    run: ClassVar[Path]

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        shutil.copytree(self.run, self.folder / "run")
        self.desks = [Desk(self.folder / "run") for _ in range(2)]
        self.model = copy.deepcopy(self.desks[0].opened.model)
        self.x = self.desks[0].opened.data.test.x[:ROWS]  # type: ignore[union-attr]  # it is there
        self.done: list[dict[str, Any]] = []
        self.undone: list[dict[str, Any]] = []
        self.events = 0

    def teardown(self) -> None:
        if hasattr(self, "desks"):
            for desk in self.desks:
                desk.close()
            shutil.rmtree(self.folder)

    @rule(
        window=st.integers(0, 1),
        row=st.integers(0, ROWS - 1),
        unit=st.sampled_from(UNITS),
        value=st.sampled_from([None, 0.0, 0.25, 1.0]),
    )
    def correct(self, window: int, row: int, unit: str, value: float | None) -> None:
        before = self.known(row)
        after = dict(before)
        after.pop(unit, None)
        if value is not None:
            after[unit] = value
            for other in UNITS[:3] if unit != "large" and value else ():
                if other != unit and (value == 1 or after.get(other) == 1):
                    after.pop(other, None)
        done = self.desks[window].correct("test", row, {unit: value})
        changed = sum(before.get(u) != after.get(u) for u in UNITS)
        assert (done["event"] is None) == (changed == 0)
        if changed:
            self.act({"row": row, "known": after, "events": changed})
        assert done["now"]["label"] == self.said(row)

    @rule(window=st.integers(0, 1), row=st.integers(0, ROWS - 1), text=st.text(min_size=1))
    def note(self, window: int, row: int, text: str) -> None:
        try:
            text.encode()
            fine = bool(text.strip())
        except UnicodeEncodeError:
            fine = False
        if not fine:
            with pytest.raises(InvalidInput):
                self.desks[window].note("test", row, text)
            return
        self.desks[window].note("test", row, text)
        self.act({"row": row, "note": text.strip(), "events": 1})

    @rule(
        window=st.integers(0, 1),
        unit=st.sampled_from(UNITS),
        label=st.sampled_from([None, "leaf"]),
        value=st.sampled_from([None, -2.0, 0.5]),
    )
    def edit(self, window: int, unit: str, label: str | None, value: float | None) -> None:
        kind = "prune" if value is None else "rescale"
        self.desks[window].edit([{"kind": kind, "unit": unit, "label": label, "value": value}])
        self.act({"edit": (unit, label, value or 0.0), "events": 1})

    @rule(window=st.integers(0, 1), kind=st.sampled_from(["undo", "redo"]))
    def turn(self, window: int, kind: str) -> None:
        source, drain = (self.done, self.undone)[:: 1 if kind == "undo" else -1]
        if not source:
            with pytest.raises(InvalidInput, match="nothing"):
                getattr(self.desks[window], kind)()
            return
        told = getattr(self.desks[window], kind)()
        drain.append(source.pop())
        assert told["row"] == drain[-1].get("row")
        self.events += 1

    @rule(window=st.integers(0, 1))
    def reopen(self, window: int) -> None:
        self.desks[window].close()
        self.desks[window] = Desk(self.folder / "run")

    @rule(window=st.integers(0, 1))
    def open_a_third(self, window: int) -> None:
        """A window that opens while both others are open."""
        lost = self.desks[window]
        self.desks[window] = Desk(self.folder / "run")
        lost.close()

    @rule(window=st.integers(0, 1), row=st.integers(0, ROWS - 1))
    def die_before_the_commit(self, window: int, row: int) -> None:
        """The connection ends as it does when the process is killed: nothing was acknowledged."""
        journal = self.desks[window].book._journal
        journal._base.execute("BEGIN IMMEDIATE")
        journal.append([Event("correction", split="test", row=row, unit="large", after=1.0)])
        journal._base.close()
        self.desks[window] = Desk(self.folder / "run")

    @invariant()
    def both_windows_say_what_the_oracle_says(self) -> None:
        if not hasattr(self, "desks"):
            return
        for desk in self.desks:
            cases = desk.cases(limit=ROWS)["cases"]
            assert [c["prediction"] for c in cases] == [self.said(r) for r in range(ROWS)]
            assert [c["corrections"] for c in cases] == [len(self.known(r)) for r in range(ROWS)]
            assert [c["noted"] for c in cases] == [bool(self.notes(r)) for r in range(ROWS)]
            shown = desk.case("test", 0)
            assert [n["text"] for n in shown["notes"]] == self.notes(0)
            assert {u["name"] for u in shown["units"] if u["corrected"]} == set(self.known(0))
            assert (shown["undo"], shown["redo"]) == (bool(self.done), bool(self.undone))
            assert desk.log()["total"] == self.events

    @invariant()
    def replay_gives_the_labels_of_the_log(self) -> None:
        if not hasattr(self, "desks"):
            return
        log = self.desks[0].log(limit=1000)["events"][::-1]
        assert self.desks[0].replay() == [(e["event"], e["label_after"]) for e in log]

    def act(self, one: dict[str, Any]) -> None:
        self.done.append(one)
        self.undone.clear()
        self.events += one["events"]

    def known(self, row: int) -> dict[str, float]:
        own = [act["known"] for act in self.done if act.get("row") == row and "known" in act]
        return own[-1] if own else {}

    def notes(self, row: int) -> list[str]:
        return [act["note"] for act in self.done if act.get("row") == row and "note" in act]

    def said(self, row: int) -> str:
        model = NarrowModel(
            self.model.encoder,
            self.model.bottleneck,
            copy.deepcopy(self.model.head),
            self.model.classes,
        )
        with torch.no_grad():
            for act in self.done:
                if "edit" in act:
                    unit, label, factor = act["edit"]
                    rows = [model.classes.index(label)] if label else slice(None)
                    model.head.weight[rows, model.bottleneck.names.index(unit)] *= factor
            x = self.x[row : row + 1]
            known = self.known(row)
            out = model.correct(x, known) if known else model(x)
        return str(model.classes[int(out.prediction.argmax())])


def test_any_argument_ends_as_it_should(table_run: Path) -> None:
    Argument.run = table_run
    state = Argument.TestCase()
    Argument.TestCase.settings = settings(
        max_examples=12,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    state.runTest()
