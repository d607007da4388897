"""What is taken away and brought back: tables, lists, the report."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from narrows import store
from narrows.cli import app
from narrows.data import load
from narrows.errors import InvalidInput, NarrowsError, UnknownName
from narrows.studio.comparing import compare
from narrows.studio.desk import Desk
from narrows.studio.exports import guarded, unguarded
from studio.small_runs import LABELS, fresh, make_run

HEADER = "split,row,id,unit,value\r\n"
DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@given(st.text(max_size=8))
def test_no_cell_is_a_formula_and_the_guard_comes_off_again(text: str) -> None:
    assert not guarded(text).lstrip(" ").startswith(DANGEROUS)
    assert unguarded(guarded(text)) == text


def test_the_table_is_the_data_with_the_corrections_in_place(desk: Desk, tmp_path: Path) -> None:
    data = desk.opened.data
    assert data is not None
    desk.correct("test", 3, {"colour=blue": 1.0})
    desk.correct("train", 5, {"large": 0.25})
    desk.correct("train", 6, {"large": 1.0})
    desk.undo()
    path = tmp_path / "corrections.csv"
    path.write_bytes(desk.corrections_csv().encode())
    again = load(path)
    assert again.settings["split"] == "column"
    assert again.classes == data.classes == tuple(sorted(LABELS))
    assert again.concepts == data.concepts
    for name, split in again.splits.items():
        old = data.splits[name]
        assert split.ids == old.ids
        assert split.labels == old.labels
        assert torch.equal(split.x, old.x)
        assert split.c is not None
        assert old.c is not None
        wanted = old.c.clone()
        place = data.concepts.names.index
        if name == "test":
            wanted[3, [place(f"colour={c}") for c in ("red", "green", "blue")]] = torch.tensor(
                [0.0, 0.0, 1.0]
            )
        if name == "train":
            wanted[5, place("large")] = 0.25
        np.testing.assert_array_equal(split.c.numpy(), wanted.numpy())


def test_narrows_fit_takes_the_table(desk: Desk, tmp_path: Path) -> None:
    desk.correct("train", 5, {"large": 1.0})
    path = tmp_path / "corrections.csv"
    path.write_bytes(desk.corrections_csv().encode())
    asked = ["fit", str(path), "--out", str(tmp_path / "again"), "--epochs", "2", "--json"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert store.read_json(tmp_path / "again" / "run.json")["data"]["rows"]["train"] == len(
        desk.opened.data.train  # type: ignore[union-attr]  # it is there
    )


def test_a_table_of_pictures_names_their_files(tmp_path: Path) -> None:
    home = tmp_path / "pictures"
    (home / "images").mkdir(parents=True)
    rows = []
    for n in range(60):
        bright = n % 2
        pixels = np.full((4, 4, 3), 40 + 120 * bright + n, dtype=np.uint8)
        Image.fromarray(pixels).save(home / "images" / f"p {n}.png")
        rows.append([f"images/p {n}.png", bright, "day" if bright else "night"])
    source = home / "rows.csv"
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([["image", "concept:bright", "label"], *rows])
    run = make_run(tmp_path / "run", "cbm", str(source), {}, epochs=1)
    with Desk(run) as desk:
        desk.correct("train", 2, {"bright": 0.0})
        path = home / "corrections.csv"
        path.write_bytes(desk.corrections_csv().encode())
        data = desk.opened.data
    assert data is not None
    again = load(path)
    assert again.train.ids == data.train.ids
    assert torch.equal(again.train.x[torch.arange(3)], data.train.x[torch.arange(3)])
    assert again.train.c is not None
    assert float(again.train.c[2, 0]) == 0.0


def test_units_that_are_no_concepts_give_a_list_but_no_table(pictures: Desk) -> None:
    name = pictures.about()["units"][0]["name"]
    pictures.correct("test", 1, {name: -0.125})
    with pytest.raises(InvalidInput, match="no concepts"):
        pictures.corrections_csv()
    (row,) = table(pictures.corrections_csv("list"))
    assert (row["unit"], float(row["value"])) == (name, -0.125)
    with pytest.raises(UnknownName):
        pictures.corrections_csv("chart")


def test_a_list_brought_to_another_desk_gives_the_same_answers(
    desk: Desk, table_run: Path, tmp_path: Path
) -> None:
    for row in range(6):
        desk.correct("test", row, {"large": row / 7, "colour=green": float(row % 2)})
    desk.correct("val", 1, {"colour=red": 1.0})
    (tmp_path / "other").mkdir()
    with Desk(fresh(table_run, tmp_path / "other")) as other:
        text = desk.corrections_csv("list")
        assert other.import_corrections(text)["events"] == 13
        assert other.corrections_csv("list") == text
        for split in ("test", "val"):
            assert other.cases(split, limit=1000) == desk.cases(split, limit=1000)
        labels = [event["label_after"] for event in other.log()["events"]][::-1]
        assert [label for _, label in other.replay()] == labels
        told = [
            {(e["split"], e["row"], e["unit"]): e["before"] for e in d.log()["events"]}
            for d in (desk, other)
        ]
        assert told[0] == told[1]
        assert other.import_corrections(text)["events"] == 0  # nothing is new
        other.undo()
        assert other.corrections_csv("list") == HEADER
        other.redo()
        assert other.corrections_csv("list") == text


@pytest.mark.parametrize(
    "lines",
    [
        3,
        "",
        "split,row\r\n",
        "split,row,unit,value,extra\r\n",
        HEADER + "holdout,0,,large,1\r\n",
        HEADER + "test,99999,,large,1\r\n",
        HEADER + "test,one,,large,1\r\n",
        HEADER + "test,0,someone else,large,1\r\n",
        HEADER + "test,0,,lager,1\r\n",
        HEADER + "test,0,,large,many\r\n",
        HEADER + "test,0,,large,nan\r\n",
        HEADER + "test,0,,large,1e999\r\n",
        HEADER + "test,0,,large,3\r\n",
        HEADER + "test,0,,large\r\n",
        HEADER + "test,0,,large,1\r\ntest,0,,large,0\r\n",
        HEADER + "test,0,,colour=red,1\r\ntest,0,,colour=blue,1\r\n",
        HEADER + 'test,0,,"large,1\r\n',
        HEADER + "test,0,,large,1\r\n" * 1_000_000,
    ],
    ids=range(18),
)
def test_an_import_that_is_wrong_anywhere_changes_nothing(desk: Desk, lines: Any) -> None:
    desk.correct("test", 1, {"large": 1.0})
    start, _, rest = str(lines).partition(HEADER)
    text = f"{start}{HEADER}test,2,,large,1\r\n{rest}" if rest else lines
    before = desk.cases(limit=1000)
    with pytest.raises(NarrowsError):
        desk.import_corrections(text)
    assert desk.cases(limit=1000) == before
    assert desk.log()["total"] == 1


def test_an_empty_cell_takes_a_correction_back(desk: Desk) -> None:
    desk.correct("test", 1, {"large": 1.0})
    desk.import_corrections(HEADER + "test,1,,large,\r\n")
    assert desk.cases(filter="corrected")["total"] == 0


def test_the_log_as_a_table_holds_every_event_in_order(desk: Desk) -> None:
    desk.correct("test", 1, {"large": 1.0})
    desk.note("test", 1, "=HYPERLINK(1)")
    desk.undo()
    rows = table(desk.log_csv())
    events = desk.log()["events"][::-1]
    assert [int(row["event"]) for row in rows] == [1, 2, 3]
    assert [row["kind"] for row in rows] == ["correction", "note", "undo"]
    assert rows[1]["text"] == "'=HYPERLINK(1)"
    assert [row["label_after"] for row in rows] == [guarded(e["label_after"]) for e in events]
    assert [row["undone"] for row in rows] == [str(e["undone"]) for e in events]


def test_the_report_has_a_card_and_no_script(desk: Desk) -> None:
    attack = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    desk.note("test", 1, attack)
    desk.correct("test", 1, {"large": 1.0})
    (desk.opened.home / "report.html").write_text("<script>alert(2)</script>")
    page = desk.report_html()
    assert "<script" not in page.lower()
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)" in page
    for text in ("Model card", "What people said", "known limit", desk.opened.digest):
        assert text in page
    assert page.count("</main>") == 1
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_model_page_tells_the_numbers_of_the_run(desk: Desk) -> None:
    page, metrics = desk.model(), desk.opened.metrics
    told = {row[0]: row[1] for row in page["tables"][0]["rows"]}
    accuracy = metrics["accuracy"]["test"]
    assert float(told["accuracy on test rows"].split()[0]) == pytest.approx(
        100 * accuracy, abs=0.06
    )
    plots = {plot["title"]: plot for plot in page["plots"]}
    (point,) = plots["Accuracy and bits"]["series"]
    assert (point["x"], point["y"]) == ([metrics["bits"]["value"]], [accuracy])
    for curve, series in zip(
        metrics["interventions"], plots["Interventions"]["series"], strict=True
    ):
        orders = np.array(curve["accuracy"])
        np.testing.assert_allclose(series["y"], orders.mean(0))
        spread = orders.std(0, ddof=1) / np.sqrt(len(orders)) if len(orders) > 1 else 0
        np.testing.assert_allclose(series["error"], spread + np.zeros(orders.shape[1]), atol=1e-12)
    history = [
        json.loads(line) for line in (desk.opened.home / "log.jsonl").read_text().splitlines()
    ]
    trained = [plot for title, plot in plots.items() if title.startswith("Training")]
    assert sum(len(p["series"][0]["x"]) for p in trained) == len(history)
    rows = desk.opened.record["data"]["rows"]["test"]
    error = 100 * np.sqrt(accuracy * (1 - accuracy) / rows)
    assert any(f"{rows} rows" in note and f"{error:.1f}" in note for note in page["notes"])


def test_runs_are_compared_case_by_case(
    desk: Desk, table_run: Path, pictures: Desk, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    with Desk(fresh(table_run, tmp_path / "second")) as other:
        assert compare(desk, other)["disagree"] == {"total": 0, "cases": []}
        units = [u["name"] for u in other.about()["units"]]
        other.edit([{"kind": "prune", "unit": u} for u in units])
        mine, theirs = (d.cases(limit=1000)["cases"] for d in (desk, other))
        wanted = [
            {"row": a["row"], "id": a["id"], "truth": a["truth"], "a": a["prediction"],
             "b": b["prediction"]}
            for a, b in zip(mine, theirs, strict=True)
            if a["prediction"] != b["prediction"]
        ]  # fmt: skip
        found: dict[str, Any] = compare(desk, other)
        assert found["disagree"] == {"total": len(wanted), "cases": wanted}
        assert compare(desk, other, offset=1, limit=2)["disagree"]["cases"] == wanted[1:3]
        assert {"name": "method", "a": "cbm", "b": "cbm"} in found["rows"]
    strangers = compare(desk, pictures)
    assert strangers["disagree"]["total"] == 0
    assert "other data" in strangers["disagree"]["reason"]
    assert {"name": "method", "a": "cbm", "b": "prototypes"} in strangers["rows"]
