"""From tables to data sets."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from narrows.data import Dataset, Examples, load
from narrows.errors import InvalidInput, UnknownName


def frame(rows: int = 40, **columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    base = {"age": rng.normal(size=rows), "label": ["no", "yes"] * (rows // 2)}
    return pd.DataFrame({**base, **columns})


def by_id(data: Dataset) -> dict[str, tuple[list[float], Any, list[float]]]:
    """Every row by its id, whatever split it went to."""
    found = {}
    for split in data.splits.values():
        c = split.c.tolist() if split.c is not None else [[]] * len(split)
        for name, x, label, marks in zip(split.ids, split.x.tolist(), split.labels, c, strict=True):
            found[name] = (x, label, marks)
    return found


LABELS = st.one_of(
    st.lists(st.text(min_size=1), min_size=2, unique=True, max_size=5),
    st.lists(st.integers(), min_size=2, unique=True, max_size=5),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, unique=True, max_size=5),
    st.just([False, True]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(classes=LABELS, suffix=st.sampled_from(["frame", "csv"]))
def test_labels_of_any_type_come_back_on_their_rows(
    tmp_path: Path, classes: list[Any], suffix: str
) -> None:
    labels = [classes[i % len(classes)] for i in range(40)]
    ids = [f"r{i}" for i in range(40)]
    source: Any = {"id": ids, "x": list(range(40)), "label": labels}
    if suffix == "csv":
        path = tmp_path / "t.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerow(source)
            writer.writerows(zip(*source.values(), strict=True))
        source = path
    rows = by_id(load(source))
    found = [rows[name][1] for name in ids]
    if suffix == "csv" and isinstance(labels[0], str):
        found = [str(v) for v in found]
    assert found == labels
    assert {type(v) for v in found} == {type(v) for v in labels}


def test_empty_concept_cells_are_unknown_in_csv_never_zero(tmp_path: Path) -> None:
    lines = ["id,x,label,concept:tall,concept:wide"]
    for i in range(40):
        lines.append(f"r{i},{i},{'ab'[i % 2]},{'' if i % 2 else 1},{i % 4 // 2 if i % 3 else ''}")
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines))
    data = load(path)
    rows = by_id(data)
    for i in range(40):
        tall, wide = rows[f"r{i}"][2]
        assert np.isnan(tall) if i % 2 else tall == 1
        assert wide == i % 4 // 2 if i % 3 else np.isnan(wide)
    assert data.concepts.names == ("tall", "wide")


def test_a_concept_unknown_everywhere_stays_unknown() -> None:
    data = load(frame(**{"concept:never": [None] * 40}))
    assert not data.train.known.any()


NASTY = [
    "🦜 wing",
    "לבן",
    "<b>bold</b>",
    "two\nlines",
    "a|b;c",
    "=1+1",
    " edge ",
    "'\"\\",
    "\u202egnp.exe",
]


def test_concept_names_of_any_unicode_survive_csv_and_parquet(tmp_path: Path) -> None:
    table = frame(**{f"concept:{name}": [0.0, 1.0] * 20 for name in NASTY})
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    for suffix in ("csv", "parquet"):
        data = load(tmp_path / f"t.{suffix}")
        assert data.concepts.names == tuple(NASTY)


def test_a_frame_a_csv_and_a_parquet_of_one_table_give_one_fingerprint(tmp_path: Path) -> None:
    table = frame(
        id=[f"r{i}" for i in range(40)],
        colour=["red", "blue", "green", "red"] * 10,
        **{"concept:c": [0.0, 1.0, None, 0.25] * 10},
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    sources = [table, tmp_path / "t.csv", str(tmp_path / "t.parquet"), table.to_dict("list")]
    assert len({load(source).fingerprint for source in sources}) == 1


def test_concepts_that_share_the_text_before_the_mark_form_a_group() -> None:
    names = [
        "wing=black",
        "wing=white",
        "bill::long",
        "bill::short",
        "tall",
        "lone=x",
        "h>=2",
        "h>=3",
    ]
    data = load(frame(**{f"concept:{name}": [0, 1] * 20 for name in names}))
    groups = {tuple(names[i] for i in group) for group in data.concepts.groups}
    assert groups == {("wing=black", "wing=white"), ("bill::long", "bill::short")}


def test_groups_given_by_name_replace_the_marks() -> None:
    table = frame(**{f"concept:{name}": [0, 1] * 20 for name in ("w=a", "w=b", "c")})
    assert load(table, groups=[["c", "w=a"]]).concepts.groups == ((0, 2),)
    assert load(table, groups=[]).concepts.groups == ()
    with pytest.raises(UnknownName, match="w=z"):
        load(table, groups=[["c", "w=z"]])


def test_categories_come_from_training_rows_only() -> None:
    split = ["train"] * 20 + ["val"] * 10 + ["test"] * 10
    table = frame(colour=["red", "blue"] * 10 + ["green"] * 20, split=split)
    data = load(table.drop(columns="age"))
    assert data.settings["features"] == ["colour=blue", "colour=red"]
    assert data.train.x.sum(1).eq(1).all()
    assert not data.test.x.any()


def test_settings_tell_how_the_table_was_read() -> None:
    told = load(frame(**{"concept:c": [0, 1] * 20}), seed=4).settings
    assert told["features"] == ["age"]
    assert (told["target"], told["prefix"], told["seed"]) == ("label", "concept:", 4)
    assert told["sizes"] == {"train": 28, "val": 6, "test": 6}
    assert told["classes"] == ["no", "yes"]
    assert told["split"] == "random"


def test_options_choose_target_prefix_and_dropped_columns() -> None:
    table = frame(name=[f"n{i}" for i in range(40)], diagnosis=[1, 2] * 20, k_a=[0, 1] * 20)
    data = load(table, target="diagnosis", concepts="k_", drop=["name", "label"])
    assert data.classes == (1, 2)
    assert data.concepts.names == ("a",)
    assert data.settings["features"] == ["age"]


def test_rows_with_one_id_stay_in_one_split() -> None:
    data = load(frame(id=[f"patient {i // 4}" for i in range(40)]))
    homes = [set(split.ids) for split in data.splits.values()]
    assert sum(map(len, homes)) == len(set.union(*homes)) == 10


def test_a_table_without_concepts_has_none() -> None:
    data = load(frame())
    assert data.train.c is None
    assert len(data.concepts) == 0


def test_labels_with_gaps_negatives_and_unused_categories_are_sorted() -> None:
    kinds = pd.Categorical(["b", "a"] * 20, categories=["z", "b", "a"])
    assert load(frame(label=kinds)).classes == ("a", "b")
    data = load(frame(label=[7, -3] * 20))
    assert data.classes == (-3, 7)
    assert set(data.test.labels) <= {-3, 7}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": ["a"] * 40}, "one class only"),
        ({"label": ["a", None] * 20}, r"'label': found nothing in rows 2, 4"),
        ({"age": [1.0, None] * 20}, r"'age' 20 missing"),
        ({"age": [1.0, np.inf] * 20}, r"'age' 20 infinite"),
        ({"concept:c": [0, 2] * 20}, r"column 'concept:c', row 2: found 2"),
        ({"concept:c": ["0", "perhaps"] * 20}, r"row 2: found 'perhaps'"),
        ({"split": ["train", "later"] * 20}, "'later'"),
        ({"id": ["a", None] * 20}, "'id': found nothing"),
        (
            {"id": ["a", "b"] * 20, "split": ["train", "test", "val", "train"] * 10},
            "each id in one",
        ),
        ({"concept:": [0, 1] * 20}, "empty name"),
    ],
)
def test_bad_tables_are_refused_by_column_and_row(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        load(frame(**change))


def test_an_empty_prefix_would_make_every_column_a_concept() -> None:
    with pytest.raises(InvalidInput, match="concepts: found an empty prefix"):
        load(frame(), concepts="")


def test_a_target_among_the_concept_columns_is_no_concept() -> None:
    table = frame(**{"concept:a": [0, 1] * 20, "concept:b": [0, 1] * 20}).drop(columns="label")
    data = load(table, target="concept:b")
    assert data.concepts.names == ("a",)
    assert data.classes == (0, 1)


def test_unknown_columns_are_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"'lable'.*'label'"):
        load(frame(), target="lable")
    with pytest.raises(UnknownName, match=r"'agee'.*'age'"):
        load(frame(), drop=["agee"])


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_tiny_tables_are_refused_in_one_line(rows: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(frame().head(rows))
    assert "\n" not in str(caught.value)


def test_one_feature_one_concept_and_few_rows_work() -> None:
    data = load(frame(**{"concept:c": [0, 1] * 20}).head(4))
    assert [len(split) for split in data.splits.values()] == [2, 1, 1]


def test_the_source_frame_is_never_changed() -> None:
    table = frame(colour=["red", "blue"] * 20, **{"concept:c": [0.0, None] * 20})
    before = table.copy(deep=True)
    load(table)
    pd.testing.assert_frame_equal(table, before)


def test_features_and_labels_of_a_frame_reach_their_rows() -> None:
    table = frame(id=[str(i) for i in range(40)])
    rows = by_id(load(table))
    for i in range(40):
        x, label, _ = rows[str(i)]
        assert torch.tensor(x).allclose(torch.tensor([table["age"][i]], dtype=torch.float32))
        assert label == table["label"][i]


def test_splits_are_examples_that_share_the_schema() -> None:
    for split in load(frame()).splits.values():
        assert isinstance(split, Examples)
        assert split.classes == ("no", "yes")
