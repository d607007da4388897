"""The audit trail: only added to, on the disk when acknowledged, one order for all who write."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import FileRefused, InvalidInput, RunLocked
from narrows.store import WriteFailed
from narrows.studio import journal
from narrows.studio.desk import Desk
from narrows.studio.journal import FILE, Event, Journal
from narrows.studio.state import State, folded
from studio.small_runs import fresh

CHILD = """
import sys
from narrows.studio.desk import Desk
desk = Desk(sys.argv[1])
row = 0
while True:
    value = row // 20 % 2
    done = desk.correct("test", row % 20, {"large": value})
    print(done["event"], row % 20, value, flush=True)
    row += 1
"""


def correction(row: int, unit: str, after: float | None) -> Event:
    return Event("correction", split="test", row=row, id=str(row), unit=unit, after=after)


def test_what_was_written_is_read_again_to_the_last_field(tmp_path: Path) -> None:
    book = Journal(tmp_path, "d1")
    told = Event(
        "correction", split="test", row=3, id="ü\n", unit="=1", label=None, before=0.1,
        after=1e-300, text="\0", label_before="a", label_after="b", digest="d", who="me",
    )  # fmt: skip
    with book.writing():
        written = book.append([told, correction(4, "u", None)])
    book.close()
    again = Journal(tmp_path, "d1")
    assert again.since(0) == written
    assert [(e.event, e.act) for e in written] == [(1, 1), (2, 1)]
    assert again.since(1) == written[1:]
    again.close()


def test_events_can_neither_be_changed_nor_removed(tmp_path: Path) -> None:
    book = Journal(tmp_path, "d1")
    with book.writing():
        book.append([correction(0, "u", 1.0)])
    other = sqlite3.connect(tmp_path / FILE)
    for question in ("UPDATE events SET after = 0", "DELETE FROM events", "DELETE FROM model"):
        with pytest.raises(sqlite3.IntegrityError, match="only added to"):
            other.execute(question)
        other.rollback()
    other.close()
    assert book.since(0)[0].after == 1.0
    book.close()


def test_an_act_that_fails_leaves_nothing(tmp_path: Path) -> None:
    book = Journal(tmp_path, "d1")

    def fail() -> None:
        with book.writing():
            book.append([correction(0, "u", 1.0)])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert book.since(0) == []
    with book.writing():
        (event,) = book.append([correction(0, "u", 1.0)])
    assert event.event == 1
    book.close()


def test_commits_are_flushed_to_the_disk(tmp_path: Path) -> None:
    book = Journal(tmp_path, "d1")
    ask = book._base.execute
    assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ask("PRAGMA synchronous").fetchone() == (2,)  # FULL
    book.close()


def test_another_models_journal_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path, "d1").close()
    with pytest.raises(FileRefused, match="another model"):
        Journal(tmp_path, "d2")


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"\1" * 500])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(FileRefused, match=FILE):
        Journal(tmp_path, "d1")


@pytest.mark.parametrize(
    "row",
    [
        {"event": 3},
        {"kind": "'drop'"},
        {"row": "'7; --'"},
        {"after": "9e999"},
        {"unit": "x'00'"},
        {"kind": "'redo'", "target": 1},
        {"unit": "'no such unit'"},
        {"row": 10**6},
        {"split": "'holdout'"},
        {"kind": "'edit'", "text": "'drop'"},
    ],
)
def test_a_journal_with_strange_events_is_refused(
    table_run: Path, tmp_path: Path, row: dict[str, object]
) -> None:
    home = fresh(table_run, tmp_path)
    Desk(home).close()
    own = {
        "event": 1, "act": 1, "time": "''", "who": "''", "kind": "'correction'",
        "split": "'test'", "row": 0, "unit": "'large'", "after": 1.0, "digest": "''",
    } | row  # fmt: skip
    other = sqlite3.connect(home / FILE)
    names = ", ".join(own)
    values = ", ".join(map(str, own.values()))
    other.execute(f"INSERT INTO events ({names}) VALUES ({values})")  # noqa: S608  # a test's own
    other.commit()
    other.close()
    with pytest.raises(FileRefused):
        Desk(home)


def test_who_waits_too_long_is_told_that_another_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_WAIT", 0.05)
    one, two = Journal(tmp_path, "d1"), Journal(tmp_path, "d1")
    with one.writing():
        one.append([correction(0, "u", 1.0)])
        with pytest.raises(RunLocked, match="another process"), two.writing():
            pass
    with two.writing():
        (event,) = two.append([correction(0, "u", 0.0)])
    assert event.event == 2
    one.close()
    two.close()


def test_threads_and_desks_that_write_at_once_lose_nothing(table_run: Path, tmp_path: Path) -> None:
    home = fresh(table_run, tmp_path)
    desks = [Desk(home), Desk(home)]
    told: list[tuple[int, int, float]] = []

    def work(number: int) -> None:
        for turn in range(8):
            value = float((number + turn) % 2)
            done = desks[number % 2].correct("test", number, {"large": value})
            told.append((done["event"], number, value))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event for event, _, _ in told) == list(range(1, 49))
    for desk in desks:
        events = {e["event"]: (e["row"], e["after"]) for e in desk.log(limit=1000)["events"]}
        assert events == {event: (row, value) for event, row, value in told}
        labels = [e["label_after"] for e in desk.log(limit=1000)["events"]][::-1]
        assert [label for _, label in desk.replay()] == labels
    one, two = (desk.cases(limit=1000) for desk in desks)
    assert one == two
    for desk in desks:
        desk.close()


def test_what_is_refused_spoils_nothing_that_is_written_beside_it(
    table_run: Path, tmp_path: Path
) -> None:
    with Desk(fresh(table_run, tmp_path)) as desk:
        ready = threading.Barrier(12)
        refused: list[int] = []

        def work(number: int) -> None:
            ready.wait()
            try:
                desk.correct("test", number, {"large": 7.0 if number % 3 == 0 else 1.0})
            except InvalidInput:
                refused.append(number)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
        with desk.book.lock:  # all of them wait, and one of them writes for all
            for thread in threads:
                thread.start()
        for thread in threads:
            thread.join()
        assert sorted(refused) == [0, 3, 6, 9]
        rows = [event["row"] for event in desk.log()["events"]]
        assert sorted(rows) == [1, 2, 4, 5, 7, 8, 10, 11]


def test_what_did_not_reach_the_disk_is_told_and_forgotten(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.correct("test", 1, {"large": 1.0})
    before = desk.cases(limit=1000)

    @contextlib.contextmanager
    def full() -> Iterator[None]:
        with Journal.writing(desk.book._journal):
            yield
            raise WriteFailed("the disk is full")

    monkeypatch.setattr(desk.book._journal, "writing", full)
    with pytest.raises(WriteFailed):
        desk.correct("test", 2, {"large": 1.0})
    with pytest.raises(WriteFailed):
        desk.undo()
    monkeypatch.undo()
    assert desk.cases(limit=1000) == before
    assert desk.log()["total"] == 1
    assert desk.correct("test", 2, {"large": 1.0})["event"] == 2


@pytest.mark.slow
def test_a_killed_server_loses_nothing_acknowledged(table_run: Path, tmp_path: Path) -> None:
    home = fresh(table_run, tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(home)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    told = [child.stdout.readline().split() for _ in range(25)]
    os.kill(child.pid, signal.SIGKILL)
    told += [line.split() for line in child.stdout.read().splitlines()]
    child.wait()
    child.stdout.close()
    desk = Desk(home)
    kept = {e["event"]: (e["row"], e["after"]) for e in desk.log(limit=1000)["events"]}
    for event, row, value in (line for line in told if len(line) == 3):
        assert kept[int(event)] == (int(row), float(value))
    labels = [e["label_after"] for e in desk.log(limit=1000)["events"]][::-1]
    assert [label for _, label in desk.replay()] == labels
    desk.close()


acts = st.lists(
    st.one_of(
        st.just("undo"),
        st.just("redo"),
        st.lists(
            st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.sampled_from([None, 0.0, 1.0])),
            min_size=1,
            max_size=3,
        ),
    ),
    max_size=25,
)


@given(acts)
def test_the_state_is_that_of_the_acts_that_were_not_undone(asked: list[object]) -> None:
    """An oracle with two plain stacks of acts."""
    state, done, undone, number = State(), [], [], 0
    for act in asked:
        if act in ("undo", "redo"):
            stacks = (done, undone) if act == "undo" else (undone, done)
            if not stacks[0]:
                continue
            number += 1
            target = state.done[-1] if act == "undo" else state.undone[-1]
            state.take([Event(str(act), event=number, act=number, target=target)])
            stacks[1].append(stacks[0].pop())
            continue
        first = number + 1
        events = []
        for row, unit, value in act:  # type: ignore[attr-defined]  # a list of triples
            number += 1
            one = correction(row, unit, value)
            events.append(Event(**{**vars(one), "event": number, "act": first}))
        state.take(events)
        done.append(events)
        undone.clear()
    for row in range(3):
        wanted: dict[str, float] = {}
        for events in done:
            for event in events:
                if event.row == row:
                    wanted.pop(event.unit, None)
                    if event.after is not None:
                        wanted[event.unit] = event.after
        assert state.known(("test", row)) == wanted
    assert (len(state.done), len(state.undone)) == (len(done), len(undone))
    standing = [e for e in state.events if e.kind == "correction" and state.stands(e)]
    assert standing == [e for events in done for e in events]
    assert folded(standing).keys() <= {"a", "b"}


def test_undoing_what_does_not_stand_last_is_refused() -> None:
    state = State()
    state.take([Event(**{**vars(correction(0, "a", 1.0)), "event": 1, "act": 1})])
    with pytest.raises(FileRefused, match="does not stand last"):
        state.take([Event("undo", event=2, act=2, target=7)])
