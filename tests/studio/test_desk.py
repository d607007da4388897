"""A desk on runs of several kinds: what it shows, takes and refuses."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from narrows import store
from narrows.data import load
from narrows.errors import FileRefused, InvalidInput, InvalidType, NarrowsError, UnknownName
from narrows.explain import attribute
from narrows.reading import Evidence
from narrows.studio.desk import Desk
from narrows.studio.evidence import items
from narrows.studio.heat import heat_png, png_size
from studio.small_runs import fresh, make_run

BAD: list[tuple[dict[str, Any], type]] = [
    ({"large": float("nan")}, InvalidInput),
    ({"large": float("inf")}, InvalidInput),
    ({"large": 1e300}, InvalidInput),
    ({"large": 1.5}, InvalidInput),
    ({"large": -0.1}, InvalidInput),
    ({"large": "1"}, InvalidType),
    ({"large": True}, InvalidType),
    ({"lager": 1.0}, UnknownName),
    ({"colour=red": 1.0, "colour=blue": 1.0}, InvalidInput),
    ({}, InvalidType),
    ([1], InvalidType),  # type: ignore[list-item]  # wrong on purpose
]


@pytest.fixture
def codes(sparse_run: Path, tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(fresh(sparse_run, tmp_path))
    yield opened
    opened.close()


def everything(desk: Desk) -> list[dict[str, Any]]:
    return [
        desk.summary(),
        desk.about(),
        desk.cases(),
        desk.case("test", 0),
        desk.model(),
        desk.weights(),
        desk.log(),
    ]


@pytest.mark.parametrize("name", ["desk", "pictures", "codes"])
def test_every_answer_is_json_without_nan(name: str, request: pytest.FixtureRequest) -> None:
    desk: Desk = request.getfixturevalue(name)
    for answer in everything(desk):
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer


@pytest.mark.parametrize(("known", "error"), BAD)
def test_a_correction_that_is_refused_changes_nothing(
    desk: Desk, known: dict[str, Any], error: type
) -> None:
    before = desk.case("test", 1)
    with pytest.raises(error):
        desk.correct("test", 1, known)
    assert desk.case("test", 1) == before
    assert desk.log()["total"] == 0


@pytest.mark.parametrize(
    ("split", "row"), [("holdout", 0), ("test", -1), ("test", 10**6), ("test", True), ("test", 0.0)]
)
def test_cases_that_do_not_exist_are_refused_everywhere(desk: Desk, split: str, row: Any) -> None:
    for ask in (
        lambda: desk.case(split, row),
        lambda: desk.correct(split, row, {"large": 1.0}),
        lambda: desk.note(split, row, "a"),
        lambda: desk.why_not(split, row, "leaf"),
        lambda: desk.evidence(split, row, "large"),
        lambda: desk.heat_png(split, row, "large"),
        lambda: desk.input_png(split, row),
    ):
        with pytest.raises(UnknownName):
            ask()


def test_the_last_word_counts_in_a_group(desk: Desk) -> None:
    desk.correct("test", 2, {"colour=red": 1.0})
    desk.correct("test", 2, {"colour=blue": 0.0})
    assert [u["name"] for u in corrected(desk)] == ["colour=blue", "colour=red"]
    done = desk.correct("test", 2, {"colour=green": 1.0})
    assert [u["name"] for u in corrected(desk)] == ["colour=green"]
    shown = {u["name"]: u["now"] for u in done["units"]}
    assert [shown[f"colour={c}"] for c in ("red", "green", "blue")] == [0, 1, 0]
    taken = [e for e in desk.log()["events"] if e["after"] is None]
    assert {e["unit"] for e in taken} == {"colour=red", "colour=blue"}
    desk.undo()
    assert [u["name"] for u in corrected(desk)] == ["colour=blue", "colour=red"]


def corrected(desk: Desk) -> list[dict[str, Any]]:
    units = [unit for unit in desk.case("test", 2)["units"] if unit["corrected"]]
    return sorted(units, key=lambda unit: str(unit["name"]))


def test_a_correction_taken_back_leaves_the_answer_of_before(desk: Desk) -> None:
    before = desk.case("test", 2)
    assert desk.correct("test", 2, {"large": 0.0})["event"] == 1
    desk.correct("test", 2, {"large": None})
    after = desk.case("test", 2)
    assert after["now"] == before["now"] == after["before"]
    assert after["units"] == before["units"]
    assert desk.correct("test", 2, {"large": None})["event"] is None


def test_the_log_says_who_did_what_when_and_to_which_model(desk: Desk) -> None:
    unit = next(u for u in desk.case("test", 2)["units"] if u["name"] == "large")
    done = desk.correct("test", 2, {"large": 0.0}, who="Ada")
    (event,) = desk.log()["events"]
    before = desk.case("test", 2)["before"]
    assert event["who"] == "Ada"
    assert event["time"].endswith("+00:00")
    assert (event["split"], event["row"], event["id"]) == ("test", 2, desk.case("test", 2)["id"])
    assert (event["unit"], event["before"], event["after"]) == ("large", unit["now"], 0.0)
    assert (event["label_before"], event["label_after"]) == (before["label"], done["now"]["label"])
    model = desk.opened.home / "model.safetensors"
    assert event["digest"] == store.file_digest(model) == desk.about()["digest"]
    desk.undo()
    undo, first = desk.log()["events"]
    assert (undo["kind"], undo["target"], undo["undone"], first["undone"]) == (
        "undo", 1, False, True,
    )  # fmt: skip


def test_notes_are_kept_and_shown_as_they_were_written(desk: Desk) -> None:
    text = "<script>alert(1)</script> =1+1\n\u202eلا"
    desk.note("test", 4, f"  {text} ", "disagreement", who="Bo")
    (note,) = desk.case("test", 4)["notes"]
    assert (note["text"], note["kind"], note["who"]) == (text, "disagreement", "Bo")
    assert [case["row"] for case in desk.cases(filter="noted")["cases"]] == [4]
    bad: list[tuple[Any, Any, type]] = [
        ("", "note", InvalidInput),
        (" ", "note", InvalidInput),
        ("a" * 10_001, "note", InvalidInput),
        ("\ud800", "note", InvalidInput),
        (3, "note", InvalidType),
        ("a", "praise", UnknownName),
    ]
    for told, kind, error in bad:
        with pytest.raises(error):
            desk.note("test", 4, told, kind)
    assert desk.log()["total"] == 1


def test_rows_show_their_cells_and_have_no_picture(desk: Desk) -> None:
    data = desk.opened.data
    assert data is not None
    shown = desk.case("val", 3)["input"]
    assert [name for name, _ in shown["cells"]] == data.settings["features"]
    assert [value for _, value in shown["cells"]] == data.val.x[3].tolist()
    for ask in (lambda: desk.input_png("val", 3), lambda: desk.heat_png("val", 3, "large")):
        with pytest.raises(UnknownName, match="no pictures"):
            ask()


def test_units_speak_on_one_scale(desk: Desk, pictures: Desk, tmp_path: Path) -> None:
    for unit in desk.about()["units"]:
        assert (unit["spoken"], unit["low"], unit["high"]) == ("probability", 0, 1)
    data = pictures.opened.data
    assert data is not None
    scores = pictures.opened.method.transform(data.test)
    for unit, column in zip(pictures.about()["units"], scores.T, strict=True):
        assert unit["spoken"] == "number"
        assert unit["low"] == pytest.approx(column.min(), abs=1e-4)
        assert unit["high"] == pytest.approx(column.max(), abs=1e-4)
    pairs = {"sizes": [400, 40, 60]}
    run = make_run(tmp_path / "channel", "channel", "digit_pairs", pairs, units=4, epochs=1)
    with Desk(run) as symbols:
        assert all(unit["whole"] for unit in symbols.about()["units"])
        name = symbols.about()["units"][0]["name"]
        with pytest.raises(InvalidInput, match="whole numbers"):
            symbols.correct("test", 0, {name: 0.5})
        assert symbols.correct("test", 0, {name: 2.0})["event"] == 1


def test_pictures_and_heat_maps_are_files_of_one_size(pictures: Desk) -> None:
    data = pictures.opened.data
    assert data is not None
    shown = pictures.case("test", 5)["input"]
    assert (shown["width"], shown["height"]) == (data.test.x.shape[3], data.test.x.shape[2])
    picture = Image.open(io.BytesIO(pictures.input_png("test", 5)))
    scale = picture.width // shown["width"]
    pixels = np.asarray(picture)[scale // 2 :: scale, scale // 2 :: scale] / 255
    np.testing.assert_allclose(pixels, data.test.x[5, 0].numpy(), atol=0.01)
    assert pictures.about()["can"]["heat"]
    unit = pictures.about()["units"][0]["name"]
    heat = Image.open(io.BytesIO(pictures.heat_png("test", 5, unit)))
    assert (heat.size, heat.mode) == (picture.size, "RGBA")
    model = pictures.opened.model

    def score(x: torch.Tensor) -> torch.Tensor:
        return model.bottleneck.scores(model.read(x))

    weights = attribute(score, data.test.x[5:6], [0], steps=16)[0, 0].sum(0)
    alpha = np.asarray(heat)[scale // 2 :: scale, scale // 2 :: scale, 3]
    wanted = 230 * (weights / weights.abs().max()).abs().numpy()
    np.testing.assert_allclose(alpha, wanted, atol=1)


def test_heat_is_orange_for_and_blue_against() -> None:
    file = heat_png(torch.tensor([[1.0, -0.5, 0.0]]), (3, 1))
    for_it, against, nothing = np.asarray(Image.open(io.BytesIO(file)))[0]
    assert for_it[0] > for_it[2]
    assert for_it[3] == 230
    assert against[2] > against[0]
    assert against[3] == 115
    assert nothing[3] == 0
    assert png_size(file) == (3, 1)


def test_prototypes_show_the_training_row_they_resemble(pictures: Desk) -> None:
    data, model = pictures.opened.data, pictures.opened.model
    assert data is not None
    assert pictures.about()["can"]["evidence"]
    name = model.bottleneck.names[3]
    (item,) = pictures.evidence("test", 0, name)["items"]
    row = int(model.bottleneck.nearest[3])
    assert item["kind"] == "crop"
    assert item["image"] == f"/api/runs/pictures/cases/train/{row}/input.png"
    assert str(data.train.labels[row]) in item["title"]
    with pytest.raises(UnknownName):
        pictures.evidence("test", 0, "like a horse")


def test_evidence_of_every_kind_becomes_an_item(desk: Desk) -> None:
    data = desk.opened.data
    assert data is not None
    row = items(Evidence("u", "example", torch.tensor([2])), data, ("test", 0), "/a")
    assert row[0]["kind"] == "text"
    assert data.settings["features"][0] in row[0]["text"]
    there = items(Evidence("u?/ü", "map", torch.ones(1, 2, 2)), data, ("test", 7), "/a")
    assert there[0]["image"] == "/a/cases/test/7/heat.png?unit=u%3F%2F%C3%BC"
    assert items(Evidence("u"), data, ("test", 0), "/a") == []
    assert items(Evidence("u", "example", torch.tensor([10**6])), data, ("test", 0), "/a") == []


def test_sparse_readings_list_the_units_in_use(codes: Desk) -> None:
    about, shown = codes.about(), codes.case("test", 0)
    model, data = codes.opened.model, codes.opened.data
    assert data is not None
    reading = model.read(data.test.x[:1])
    assert {unit["name"] for unit in shown["units"]} == set(model.bottleneck.spoken(reading)[0])
    assert {unit["index"] for unit in shown["units"]} == set(reading.indices[0].tolist())  # type: ignore[union-attr]  # sparse
    assert len(about["units"]) == 32
    assert not about["can"]["correct"]
    assert not about["can"]["heat"]
    assert not about["can"]["why_not"]
    with pytest.raises(InvalidInput):
        codes.why_not("test", 0, shown["now"]["rival"])
    with pytest.raises(UnknownName, match="picked"):
        codes.heat_png("test", 0, about["units"][0]["name"])
    assert "reason" in codes.weights()


def test_a_run_without_its_data_says_why_and_still_lists_its_cases(
    table_run: Path, tmp_path: Path
) -> None:
    home = fresh(table_run, tmp_path)
    with Desk(home) as whole:
        wanted = whole.cases(limit=1000)["cases"]
        units = {u["name"]: u["value"] for u in whole.case("test", 3)["units"]}
        whole.correct("test", 5, {"large": 0.5})
    record = store.read_json(home / "run.json")
    record["data"]["source"] = str(tmp_path / "gone.csv")
    store.write_json(home / "run.json", record)
    desk = Desk(home)
    about = desk.about()
    assert "gone.csv" in about["notes"][0]
    assert not any(about["can"].values())
    found = desk.cases(limit=1000)["cases"]
    assert [case["row"] for case in found if case["corrections"]] == [5]
    large = next(u for u in desk.case("test", 5)["units"] if u["name"] == "large")
    assert (large["now"], large["corrected"]) == (0.5, True)
    for key in ("row", "id", "prediction", "truth", "wrong"):
        assert [case[key] for case in found] == [case[key] for case in wanted]
    shown = desk.case("test", 3)
    assert shown["input"] == {"kind": "none"}
    assert {u["name"]: pytest.approx(u["value"], abs=1e-6) for u in shown["units"]} == units
    desk.note("test", 3, "seen")
    assert desk.case("test", 3)["notes"][0]["text"] == "seen"
    for ask in (
        lambda: desk.correct("test", 3, {"large": 1.0}),
        lambda: desk.edit([{"kind": "prune", "unit": "large"}]),
        lambda: desk.input_png("test", 3),
        lambda: desk.corrections_csv(),
        lambda: desk.replay(),
    ):
        with pytest.raises(InvalidInput, match=r"gone\.csv"):
            ask()
    assert "reason" in desk.weights()
    assert "Model card" in desk.report_html()
    assert json.dumps(everything(desk), allow_nan=False)
    assert desk.log()["events"][0]["label_after"] == shown["now"]["label"]
    desk.close()


def test_the_runs_data_can_be_handed_in_and_no_others(table_run: Path, tmp_path: Path) -> None:
    home = fresh(table_run, tmp_path)
    record = store.read_json(home / "run.json")
    data = load(record["data"]["source"])
    record["data"]["source"] = None
    store.write_json(home / "run.json", record)
    with Desk(home, data=data) as desk:
        assert desk.about()["can"]["correct"]
    with pytest.raises(InvalidInput, match="other rows"):
        Desk(home, data=load("xor"))


def test_folders_that_hold_no_finished_run_are_refused(table_run: Path, tmp_path: Path) -> None:
    with pytest.raises(store.FileMissing, match="no run"):
        Desk(tmp_path)
    home = fresh(table_run, tmp_path)
    (home / "metrics.json").unlink()
    with pytest.raises(store.FileMissing, match="not finished"):
        Desk(home)
    shutil.copy(table_run / "metrics.json", home)
    (home / "metrics.json").write_text("[1]")
    with pytest.raises(FileRefused, match="accuracy"):
        Desk(home)
    shutil.copy(table_run / "metrics.json", home)
    (home / "model.safetensors").write_bytes(b"")
    with pytest.raises((FileRefused, NarrowsError)):
        Desk(home)
