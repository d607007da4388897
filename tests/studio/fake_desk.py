"""A desk without models or files: the JSON contract of the studio over a few random numbers.

It stands in for the real desk where the pages and the web layer are tested. Everything is a
linear head over random readings, written in numpy; state lives in memory and is derived, as in
the real one, by replaying a list of events that only grows.
"""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import unknown, wrong

Floats = NDArray[np.float64]
KINDS = ("image", "row", "sequence", "text", "none")
SORTS = ("row", "margin", "corrections")
FILTERS = ("all", "unsure", "wrong", "corrected", "noted")


class FakeDesk:
    """One pretended run.

    Args:
        name: its id and title.
        kind: what a case's input is: one of KINDS.
        units: names of the units.
        classes: labels.
        rows: how many test cases; a tenth of them again for validation.
        groups: mutually exclusive units.
        seed: of every number.
    """

    def __init__(
        self,
        name: str = "fake",
        kind: str = "image",
        units: Sequence[str] = tuple(f"unit {j}" for j in range(8)),
        classes: Sequence[str] = ("no", "maybe", "yes"),
        rows: int = 60,
        groups: Sequence[Sequence[int]] = (),
        seed: int = 0,
    ) -> None:
        self.id, self.title, self.kind = name, f"fake on {name}", kind
        self.names, self.classes = tuple(units), tuple(classes)
        self.groups = [list(g) for g in groups]
        self._sure = np.random.default_rng(seed)
        self._weights = self._sure.normal(size=(len(classes), len(units))) * 4
        self._weights[self._sure.random(self._weights.shape) < 0.3] = 0
        self._read = {
            split: self._readings(n) for split, n in (("val", rows // 10 + 1), ("test", rows))
        }
        noise = {s: self._sure.gumbel(size=(len(r), len(classes))) for s, r in self._read.items()}
        self._truth = {
            s: (r @ self._weights.T + 0.6 * noise[s]).argmax(1) for s, r in self._read.items()
        }
        self._events: list[dict[str, Any]] = []
        self._lock = threading.RLock()

    def _readings(self, rows: int) -> Floats:
        read = self._sure.beta(0.4, 0.6, size=(rows, len(self.names)))
        for group in self.groups:
            part = np.exp(4 * read[:, group])
            read[:, group] = part / part.sum(1, keepdims=True)
        return read

    # What is in force

    def _in_force(self) -> list[dict[str, Any]]:
        """Events that count: an undo takes the last one away, a redo brings it back."""
        done: list[dict[str, Any]] = []
        taken: list[dict[str, Any]] = []
        for event in self._events:
            if event["kind"] == "undo":
                taken.append(done.pop())
            elif event["kind"] == "redo":
                done.append(taken.pop())
            else:
                done.append(event)
                taken.clear()
        return done

    def _known(self, split: str, row: int) -> dict[str, float]:
        known: dict[str, float] = {}
        for event in self._in_force():
            if event["kind"] == "correction" and (event["split"], event["row"]) == (split, row):
                known |= event["known"]
        return {k: v for k, v in known.items() if v is not None}

    def _head(self, edits: Sequence[Mapping[str, Any]] | None = None) -> Floats:
        weights = self._weights.copy()
        done = [e for event in self._in_force() for e in event.get("edits", ())]
        for edit in [*done, *(edits or ())]:
            unit = self._unit(edit["unit"])
            rows = slice(None) if edit["label"] is None else self._label(edit["label"])
            if edit["kind"] == "prune":
                weights[rows, unit] = 0
            elif edit["value"] is None:
                raise wrong("value", None, f"a number for {edit['kind']}")
            elif edit["kind"] == "rescale":
                weights[rows, unit] *= edit["value"]
            else:
                weights[rows, unit] = edit["value"]
        return weights

    def _values(self, split: str, row: int) -> Floats:
        values = self._read[split][row].copy()
        for name, value in self._known(split, row).items():
            unit = self._unit(name)
            for group in self.groups:
                if unit in group and value == 1:
                    values[group] = 0
            values[unit] = value
        return values

    def _unit(self, name: str) -> int:
        if name not in self.names:
            raise unknown("unit", name, self.names)
        return self.names.index(name)

    def _label(self, name: str) -> int:
        if name not in self.classes:
            raise unknown("label", name, self.classes)
        return self.classes.index(name)

    def _check(self, split: str, row: int | None = None) -> None:
        if split not in self._read:
            raise unknown("split", split, self._read)
        if row is not None and not 0 <= row < len(self._read[split]):
            raise unknown("row", row, [f"0 to {len(self._read[split]) - 1}"])

    # Answers

    def _answer(self, split: str, row: int, corrected: bool = True) -> dict[str, Any]:
        values = self._values(split, row) if corrected else self._read[split][row]
        logits = self._head() @ values
        chances = np.exp(logits - logits.max())
        chances /= chances.sum()
        best = np.argsort(-chances, kind="stable")[:5]
        scores = [{"label": self.classes[i], "probability": float(chances[i])} for i in best]
        rival = scores[1]["label"] if len(scores) > 1 else None
        return {**scores[0], "scores": scores, "rival": rival}

    def _units(self, split: str, row: int) -> list[dict[str, Any]]:
        now, read = self._values(split, row), self._read[split][row]
        said = self._answer(split, row)
        head = self._head()
        weight = head[self._label(said["label"])]
        if said["rival"] is not None:
            weight = weight - head[self._label(said["rival"])]
        known = self._known(split, row)
        group = {j: g for g, members in enumerate(self.groups) for j in members}
        units = [
            {
                "index": j,
                "name": name,
                "group": group.get(j),
                "value": float(read[j]),
                "now": float(now[j]),
                "corrected": name in known,
                "truth": float(read[j] > 0.5) if j % 5 else None,
                "contribution": float(weight[j] * now[j]),
                "exact": True,
            }
            for j, name in enumerate(self.names)
        ]
        return sorted(units, key=lambda u: -abs(u["contribution"]))

    def _line(self, split: str, row: int) -> dict[str, Any]:
        said = self._answer(split, row)
        truth = self.classes[self._truth[split][row]] if row % 7 else None
        second = said["scores"][1]["probability"] if len(said["scores"]) > 1 else 0.0
        return {
            "split": split,
            "row": row,
            "id": f"case-{row:05d}",
            "prediction": said["label"],
            "probability": said["probability"],
            "margin": said["probability"] - second,
            "truth": truth,
            "wrong": None if truth is None else truth != said["label"],
            "corrections": len(self._known(split, row)),
            "noted": any(self._notes(split, row)),
        }

    def _notes(self, split: str, row: int) -> list[dict[str, Any]]:
        return [
            {"event": e["event"], "time": e["time"], "text": e["text"], "kind": e["note"]}
            for e in self._in_force()
            if e["kind"] == "note" and (e["split"], e["row"]) == (split, row)
        ]

    # The desk

    def summary(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "method": "fake",
            "data": self.id,
            "accuracy": self._accuracy(self._head(), "test"),
        }

    def about(self) -> dict[str, Any]:
        group = {j: g for g, members in enumerate(self.groups) for j in members}
        return {
            "id": self.id,
            "title": self.title,
            "subtitle": f"{len(self._read['test'])} test cases, {len(self.names)} units",
            "method": {
                "name": "fake",
                "paper": "None: random numbers.",
                "params": [["seed", "0"], ["epochs", "20"]],
            },
            "data": {
                "name": self.id,
                "rows": {s: len(r) for s, r in self._read.items()},
                "fingerprint": "0" * 64,
            },
            "classes": list(self.classes),
            "units": [
                {
                    "index": j,
                    "name": name,
                    "group": group.get(j),
                    "low": 0.0,
                    "high": 1.0,
                    "spoken": "probability",
                    "whole": False,
                    "correctable": True,
                }
                for j, name in enumerate(self.names)
            ],
            "groups": self.groups,
            "splits": list(self._read),
            "digest": "f" * 64,
            "notes": ["These numbers are random: a stand-in for tests."],
            "can": {
                "correct": True,
                "edit": True,
                "evidence": self.kind != "none",
                "why_not": True,
                "picture": self.kind == "image",
            },
        }

    def cases(
        self,
        split: str = "test",
        *,
        filter: str = "all",
        label: str | None = None,
        search: str = "",
        sort: str = "row",
        offset: int = 0,
        limit: int = 100,
    ) -> dict[str, Any]:
        self._check(split)
        if filter not in FILTERS:
            raise unknown("filter", filter, FILTERS)
        if sort not in SORTS:
            raise unknown("sort", sort, SORTS)
        with self._lock:
            total = len(self._read[split])
            if filter == "all" and not label and not search and sort == "row":
                # the long list: only what is shown
                shown = range(min(offset, total), min(offset + limit, total))
                cases = [self._line(split, row) for row in shown]
                return {"total": total, "offset": offset, "cases": cases}
            lines = [self._line(split, row) for row in range(total)]
        unsure = sorted(c["margin"] for c in lines)[max(0, total // 10 - 1)]
        keep = {
            "all": lambda c: True,
            "unsure": lambda c: c["margin"] <= unsure,
            "wrong": lambda c: bool(c["wrong"]),
            "corrected": lambda c: c["corrections"] > 0,
            "noted": lambda c: c["noted"],
        }[filter]
        found = [
            c
            for c in lines
            if keep(c)
            and (not label or label in (c["prediction"], c["truth"]))
            and search.lower() in c["id"].lower()
        ]
        if sort != "row":
            found.sort(key=lambda c: c["margin"] if sort == "margin" else -c["corrections"])
        return {"total": len(found), "offset": offset, "cases": found[offset : offset + limit]}

    def case(self, split: str, row: int, **query: Any) -> dict[str, Any]:
        self._check(split, row)
        with self._lock:
            return {
                **{k: v for k, v in self._line(split, row).items() if k in ("split", "row", "id")},
                "truth": self._line(split, row)["truth"],
                "input": self._input(split, row),
                "before": self._answer(split, row, corrected=False),
                "now": self._answer(split, row),
                "units": self._units(split, row),
                "notes": self._notes(split, row),
                "previous": row - 1 if row else None,
                "next": row + 1 if row + 1 < len(self._read[split]) else None,
                **self._steps(),
            }

    def _input(self, split: str, row: int) -> dict[str, Any]:
        wave = np.sin(np.arange(48) / 5 + row) + self._read[split][row].mean()
        return {
            "image": {"kind": "image", "width": 56, "height": 28},
            "row": {
                "kind": "row",
                "cells": [[f"column {i}", round(float(v), 3)] for i, v in enumerate(wave[:30])],
            },
            "sequence": {
                "kind": "sequence",
                "steps": 48,
                "series": [
                    {"name": "heart rate", "values": [float(v) for v in wave]},
                    {"name": "pressure", "values": [float(v) for v in wave[::-1]]},
                ],
            },
            "text": {"kind": "text", "text": f"A short report, number {row}.\nNothing else."},
            "none": {"kind": "none"},
        }[self.kind]

    def input_png(self, split: str, row: int) -> bytes:
        self._check(split, row)
        if self.kind != "image":
            raise unknown("picture", row, ["none: these cases are no pictures"])
        y, x = np.mgrid[:28, :56]
        return _png(127 + 127 * np.sin(x / (3 + row % 5)) * np.cos(y / (2 + row % 3)))

    def heat_png(self, split: str, row: int, unit: str) -> bytes:
        self._check(split, row)
        place = self._unit(unit)
        if self.kind != "image":
            raise unknown("heat map", row, ["none: these cases are no pictures"])
        y, x = np.mgrid[:28, :56]
        heat = np.exp(-((x - 7 * (place % 8)) ** 2 + (y - 14) ** 2) / 60.0)
        orange = np.broadcast_to([213.0, 94.0, 0.0], (28, 56, 3))
        return _png(np.concatenate([orange, 200 * heat[..., None]], axis=2))

    def evidence(self, split: str, row: int, unit: str) -> dict[str, Any]:
        self._check(split, row)
        place = self._unit(unit)
        empty = {"image": None, "box": None, "values": None, "text": None}
        here = f"/api/runs/{self.id}/cases/{split}/{row}/input.png"
        items = {
            "image": [
                {"kind": "crop", "title": "like this", **empty, "image": here},
                {"kind": "box", "title": "found here", **empty, "box": [4.0, 4.0, 20.0, 22.0]},
            ],
            "sequence": [
                {
                    "kind": "strip",
                    "title": "these steps",
                    **empty,
                    "values": [float(abs(np.sin(i / 4 + place))) for i in range(48)],
                }
            ],
            "text": [{"kind": "text", "title": "these words", **empty, "text": "short report"}],
            "row": [{"kind": "text", "title": "nearest", **empty, "text": f"case-{row:05d}"}],
            "none": [],
        }[self.kind]
        return {"items": items}

    def why_not(self, split: str, row: int, label: str) -> dict[str, Any]:
        self._check(split, row)
        goal, head = self._label(label), self._head()
        values = self._values(split, row)
        corrections = []
        left = np.ones(len(self.names))
        for _ in self.names:
            best = int((head @ values).argmax())
            if best == goal:
                break
            gain = np.where(
                head[goal] > head[best],
                (head[goal] - head[best]) * (1 - values),
                (head[best] - head[goal]) * values,
            )
            unit = int((gain * left).argmax())
            left[unit] = 0
            target = float(head[goal, unit] > head[best, unit])
            corrections.append(
                {"name": self.names[unit], "from": float(values[unit]), "to": target}
            )
            values[unit] = target
        text = f"{len(corrections)} corrections make it {label}."
        return {"label": label, "corrections": corrections, "proven": False, "text": text}

    def _steps(self) -> dict[str, bool]:
        done = len(self._in_force())
        undone = 0
        for event in self._events:
            undone += {"undo": 1, "redo": -1}.get(event["kind"], 0)
            undone = undone if event["kind"] in ("undo", "redo") else 0
        return {"undo": done > 0, "redo": undone > 0}

    def _append(self, kind: str, who: str, **what: Any) -> int:
        number = len(self._events) + 1
        time = f"2026-01-01T00:00:{number % 60:02d}+00:00"
        self._events.append({"event": number, "time": time, "kind": kind, "who": who, **what})
        return number

    def correct(
        self, split: str, row: int, known: Mapping[str, float | None], who: str = ""
    ) -> dict[str, Any]:
        self._check(split, row)
        if not known:
            raise wrong("known", "nothing", "at least one unit")
        for name, value in known.items():
            self._unit(name)
            if value is not None and not 0 <= value <= 1:
                raise wrong(f"known[{name!r}]", value, "a number from 0 to 1")
        with self._lock:
            before = self._answer(split, row)["label"]
            event = self._append("correction", who, split=split, row=row, known=dict(known))
            now = self._answer(split, row)
            self._events[-1] |= {"label_before": before, "label_after": now["label"]}
            return {"event": event, "now": now, "units": self._units(split, row), **self._steps()}

    def note(
        self, split: str, row: int, text: str, kind: str = "note", who: str = ""
    ) -> dict[str, Any]:
        self._check(split, row)
        if kind not in ("note", "disagreement"):
            raise unknown("kind", kind, ("note", "disagreement"))
        if not text.strip():
            raise wrong("text", "nothing", "a note of some words")
        with self._lock:
            return {"event": self._append("note", who, split=split, row=row, text=text, note=kind)}

    def undo(self, who: str = "") -> dict[str, Any]:
        return self._step("undo", who)

    def redo(self, who: str = "") -> dict[str, Any]:
        return self._step("redo", who)

    def _step(self, kind: str, who: str) -> dict[str, Any]:
        with self._lock:
            if not self._steps()[kind]:
                raise wrong(kind, "nothing left", f"something to {kind}")
            before = self._in_force()
            event = self._append(kind, who, split=None, row=None)
            after = self._in_force()
            moved = (before if kind == "undo" else after)[-1]
            where = {"split": moved.get("split"), "row": moved.get("row")}
            self._events[-1] |= where
            return {"event": event, "kind": moved["kind"], **where}

    def log(self, offset: int = 0, limit: int = 200) -> dict[str, Any]:
        with self._lock:
            counts = {e["event"] for e in self._in_force()}
            events = [self._logged(e, e["event"] in counts) for e in reversed(self._events)]
        return {"total": len(events), "events": events[offset : offset + limit]}

    def _logged(self, event: Mapping[str, Any], counts: bool) -> dict[str, Any]:
        known = next(iter(event.get("known", {}).items()), (None, None))
        row = event.get("row")
        return {
            "event": event["event"],
            "time": event["time"],
            "kind": event["kind"],
            "split": event.get("split"),
            "row": row,
            "id": None if row is None else f"case-{row:05d}",
            "unit": known[0],
            "before": None,
            "after": event.get("text", known[1]),
            "who": event["who"],
            "label_before": event.get("label_before"),
            "label_after": event.get("label_after"),
            "digest": "f" * 64,
            "undone": event["kind"] not in ("undo", "redo") and not counts,
        }

    def log_csv(self) -> str:
        return _csv(self.log(limit=10**9)["events"])

    def model(self) -> dict[str, Any]:
        steps = [float(i) for i in range(11)]
        rising = [0.6 + 0.04 * i for i in range(11)]
        return {
            "tables": [
                {
                    "title": "Ledger",
                    "header": ["split", "accuracy", "bits"],
                    "rows": [["val", "0.91", "11.3"], ["test", "0.90", "11.4"]],
                }
            ],
            "plots": [
                {
                    "title": "Corrections",
                    "x": "units corrected",
                    "y": "accuracy",
                    "kind": "line",
                    "series": [
                        {"name": "random", "x": steps, "y": rising, "error": [0.02] * 11},
                        {"name": "uncertainty", "x": steps, "y": rising[::-1], "error": None},
                    ],
                },
                {
                    "title": "Accuracy and bits",
                    "x": "bits",
                    "y": "accuracy",
                    "kind": "points",
                    "series": [{"name": "this run", "x": [11.3], "y": [0.9], "error": None}],
                },
                {
                    "title": "Quality",
                    "x": "unit",
                    "y": "AUC",
                    "kind": "bars",
                    "series": [
                        {
                            "name": "AUC",
                            "x": steps[: len(self.names)],
                            "y": rising[: len(self.names)],
                            "error": None,
                        }
                    ],
                },
            ],
            "notes": ["Made of random numbers."],
            "card": [["method", "fake"], ["data", self.id], ["known limits", "everything"]],
        }

    def weights(self) -> dict[str, Any]:
        with self._lock:
            edits = [e for event in self._in_force() for e in event.get("edits", ())]
            matrix = self._head().round(6).tolist()
        return {
            "units": list(self.names),
            "classes": list(self.classes),
            "matrix": matrix,
            "edits": edits,
        }

    def _accuracy(self, head: Floats, split: str) -> float:
        said = (self._read[split] @ head.T).argmax(1)
        return float((said == self._truth[split]).mean())

    def preview(self, edits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        if not edits:
            raise wrong("edits", "nothing", "at least one edit")
        with self._lock:
            old, new = self._head(), self._head(edits)
        read = self._read["val"]
        changed = int(((read @ old.T).argmax(1) != (read @ new.T).argmax(1)).sum())
        return {
            "before": {"accuracy": self._accuracy(old, "val")},
            "after": {"accuracy": self._accuracy(new, "val")},
            "changed": changed,
            "rows": len(read),
        }

    def edit(self, edits: Sequence[Mapping[str, Any]], who: str = "") -> dict[str, Any]:
        with self._lock:
            seen = self.preview(edits)
            return {"event": self._append("edit", who, edits=[dict(e) for e in edits]), **seen}

    def corrections_csv(self, form: str = "table") -> str:
        if form not in ("table", "list"):
            raise unknown("form", form, ("table", "list"))
        rows = []
        for split in self._read:
            for row in range(len(self._read[split])):
                for name, value in self._known(split, row).items():
                    rows.append({"split": split, "row": row, "unit": name, "value": value})
        return _csv(rows) or "split,row,unit,value\r\n"

    def import_corrections(self, text: str, who: str = "") -> dict[str, Any]:
        reader = csv.DictReader(io.StringIO(text))
        if reader.fieldnames != ["split", "row", "unit", "value"]:
            raise wrong("csv", f"columns {reader.fieldnames}", "split,row,unit,value")
        changes = []
        for line in reader:
            self._check(line["split"], int(line["row"]))
            self._unit(line["unit"])
            changes.append(line)
        with self._lock:
            for line in changes:
                known = {line["unit"]: float(line["value"])}
                self.correct(line["split"], int(line["row"]), known, who)
        return {"events": len(changes)}

    def report_html(self) -> str:
        return f"<!doctype html><meta charset=utf-8><title>{len(self.names)} units</title>"

    def warm(self, splits: Sequence[str] = ("test",)) -> None:
        for split in splits:
            self._check(split)

    def close(self) -> None:
        self._events = []


def compare(
    first: FakeDesk, second: FakeDesk, split: str = "test", offset: int = 0, limit: int = 200
) -> dict[str, Any]:
    """Two pretended runs side by side."""
    first._check(split)
    rows = [
        {
            "name": "accuracy",
            "a": first._accuracy(first._head(), split),
            "b": second._accuracy(second._head(), split),
        }
    ]
    cases = []
    for row in range(min(len(first._read[split]), len(second._read[split]), 50)):
        a, b = (d._answer(split, row)["label"] for d in (first, second))
        if a != b:
            truth = first._line(split, row)["truth"]
            cases.append({"row": row, "id": f"case-{row:05d}", "truth": truth, "a": a, "b": b})
    return {
        "rows": rows,
        "disagree": {"total": len(cases), "cases": cases[offset : offset + limit]},
    }


def _png(values: Floats) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.uint8(values)).save(out, "PNG")
    return out.getvalue()


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def gallery(only: Sequence[str] = ()) -> dict[str, FakeDesk]:
    """One pretended run of each kind of input, a hostile one and a large one; or some of them."""
    digits = [f"{side} is {i}" for side in ("left", "right") for i in range(10)]
    sums = [str(i) for i in range(19)]
    hostile = [
        "<script>window.pwned=1</script>",
        "<img src=x onerror=window.pwned=1>",
        "javascript:window.pwned=1",
        "'\"><svg/onload=window.pwned=1>",
        "a name so long that no column of any table will ever hold it on one line " * 3,
        "\u202eright to left\u202c",
        "{{7*7}}${7*7}",
        "line\nbreak\ttab",
    ]
    desks = [
        FakeDesk("digits", "image", digits, sums, 300, [range(10), range(10, 20)]),
        FakeDesk("table", "row", [f"nucleus {i}" for i in range(12)], ("benign", "malignant"), 120),
        FakeDesk("series", "sequence", ("high", "rising", "rhythm"), ("well", "ill", "unclear")),
        FakeDesk("texts", "text", ("happy", "long", "about food"), ("good", "bad")),
        FakeDesk("unseen", "none", ("u0", "u1"), ("a", "b")),
        FakeDesk("hostile", "row", hostile, hostile[:4], 40),
        FakeDesk(
            "large",
            "none",
            [f"concept {j}" for j in range(112)],
            [f"class {i}" for i in range(200)],
            10_000,
        ),
    ]
    return {desk.id: desk for desk in desks if not only or desk.id in only}
