"""What a check finds, by planting it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch
from torch import Tensor

from narrows.data import Concepts, Dataset, Examples, check
from narrows.data.data_report import DataReport
from narrows.errors import InvalidInput

NAN = float("nan")
SCHEMA = Concepts(("black", "white", "tall", "old"), ((0, 1),))


def split(rows: int, seed: int, **changes: Any) -> Examples:
    g = torch.Generator().manual_seed(seed)
    first = torch.randint(2, (rows, 1), generator=g).float()
    others = torch.randint(2, (rows, 3), generator=g).float()
    fields: dict[str, Any] = {
        "x": torch.randn(rows, 3, generator=g),
        "y": torch.randint(3, (rows,), generator=g),
        "c": torch.cat([first, (1 - first) * others[:, :1], others[:, 1:]], dim=1),
        "classes": ("a", "b", "c"),
        "concepts": SCHEMA,
        "ids": tuple(f"{seed}/{i}" for i in range(rows)),
    }
    return Examples(**{**fields, **changes})


def clean(**parts: Examples) -> Dataset:
    splits = {"train": split(60, 1), "val": split(40, 2), "test": split(40, 3), **parts}
    return Dataset("planted", **splits, settings={"features": ["f", "g", "h"]})


def with_c(rows: Examples, change: Any) -> Examples:
    c = rows.c.clone()
    change(c)
    return dataclasses.replace(rows, c=c)


def found(data: Dataset, severity: str) -> list[str]:
    return [text for kind, text in check(data).problems if kind == severity]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    report = check(clean())
    assert report.problems == ()
    assert report.ok
    assert "no problems found" in str(report)


def test_rows_in_two_splits_are_errors_counted_and_named() -> None:
    train = split(60, 1)
    x = split(40, 3).x.clone()
    x[[4, 9]] = train.x[[0, 7]]
    data = clean(train=train, test=split(40, 3, x=x))
    assert found(data, "error") == ["2 rows of test are also in train: id '3/4', '3/9'"]
    assert not check(data).ok


def test_repeated_rows_are_notes_and_their_disagreements_warnings() -> None:
    rows = split(60, 1)
    x, y, c = rows.x.clone(), rows.y.clone(), rows.c.clone()
    x[1], x[2], x[4] = x[0], x[0], x[3]
    y[:5], c[:5] = 0, 0
    assert "3 rows of train repeat another row of it" in found(
        clean(train=split(60, 1, x=x)), "note"
    )
    agreed = clean(train=split(60, 1, x=x, y=y, c=c))
    assert found(agreed, "warning") == []
    y[2], c[4, 2] = 1, 1
    noisy = clean(train=split(60, 1, x=x, y=y, c=c))
    assert found(noisy, "warning") == [
        "1 repeated contents have different labels",
        "1 repeated contents have different annotations",
    ]
    c[4, 2] = NAN
    unknown = clean(train=split(60, 1, x=x, y=y, c=c))
    assert found(unknown, "warning") == ["1 repeated contents have different labels"]


def test_exclusive_concepts_both_true_are_counted_and_named() -> None:
    def both(c: Tensor) -> None:
        c[[5, 8, 11], 0] = torch.tensor([1.0, 0.6, 1.0])
        c[[5, 8, 11], 1] = torch.tensor([1.0, 0.9, 0.5])

    (text,) = found(clean(val=with_c(split(40, 2), both)), "warning")
    assert text.startswith("2 rows of val have two exclusive concepts true, like ")
    assert text.endswith("'black' and 'white' in id '2/5', '2/8'")


def test_constant_concepts_are_named_also_with_gaps() -> None:
    def flat(c: Tensor) -> None:
        c[:, 2] = 1
        c[::2, 3], c[1::2, 3] = NAN, 0

    (text,) = found(clean(train=with_c(split(60, 1), flat)), "warning")
    assert text == (
        "2 concepts ('tall (always 1)', 'old (always 0)') constant in train: nothing to learn"
    )


def test_concepts_never_annotated_are_errors_and_gaps_are_counted() -> None:
    def forget(c: Tensor) -> None:
        c[:, 3] = NAN
        c[:6, 2] = NAN

    report = check(clean(train=with_c(split(60, 1), forget)))
    assert ("error", "1 concept ('old') never annotated in train") in report.problems
    assert report.missing["old"] == {"train": 60, "val": 0, "test": 0}
    assert report.missing["tall"]["train"] == 6
    assert (
        "note",
        "1 concepts partly annotated in train (27.5 % of all unknown)",
    ) in report.problems


def test_concepts_that_equal_a_class_or_one_another_are_named() -> None:
    rows = split(60, 1)

    def copy(c: Tensor) -> None:
        c[:, 2] = (rows.y == 1).float()
        c[:, 3] = 1 - c[:, 2]
        c[3:9, 3] = NAN

    data = clean(train=with_c(rows, copy))
    assert found(data, "warning") == ["1 concept ('tall = b') the same as a class in train"]
    assert "1 concept pair ('tall / old') opposite in train" in found(data, "note")
    same = clean(train=with_c(rows, lambda c: c[:, 3].copy_(c[:, 2])))
    assert found(same, "warning") == ["1 concept pair ('tall / old') the same in train"]


def test_a_probability_or_a_single_value_makes_no_equal_pair() -> None:
    def nearly(c: Tensor) -> None:
        c[:, 3] = c[:, 2]
        c[7, 3] = 0.5

    assert found(clean(train=with_c(split(60, 1), nearly)), "warning") == []


def test_classes_that_train_lacks_are_errors_and_rare_or_absent_ones_notes() -> None:
    y = torch.zeros(60, dtype=torch.int64)
    y[0] = 1
    data = clean(train=split(60, 1, y=y), val=split(40, 2, y=torch.arange(40) % 2))
    assert found(data, "error") == ["1 class ('c') in test but not in train"]
    assert "1 class ('b') rare in train: under a tenth of the largest" in found(data, "note")
    only = torch.zeros(40, dtype=torch.int64)
    absent = found(clean(val=split(40, 2, y=only)), "note")
    assert absent == ["2 classes ('b', 'c') in train but not in val"]
    empty = clean(train=split(60, 1, y=y), val=split(40, 2, y=only), test=split(40, 3, y=only))
    assert "1 class ('c') without a row" in found(empty, "note")


def test_data_without_concepts_or_ids_is_checked_by_row_number() -> None:
    bare = {"c": None, "concepts": Concepts(()), "ids": None}
    x = split(40, 2).x.clone()
    x[[1, 3]] = split(60, 1).x[0]
    data = clean(
        train=split(60, 1, **bare), val=split(40, 2, **{**bare, "x": x}), test=split(40, 3, **bare)
    )
    assert found(data, "error") == ["2 rows of val are also in train: rows 1, 3"]
    assert check(data).missing == {}


def test_constant_features_are_named() -> None:
    x = split(60, 1).x.clone()
    x[:, 1] = 4
    assert found(clean(train=split(60, 1, x=x)), "note") == ["1 feature ('g') constant in train"]


def test_counts_are_those_of_the_rows() -> None:
    data = clean()
    report = check(data)
    assert report.rows == {"train": 60, "val": 40, "test": 40}
    for name, rows in data.splits.items():
        assert report.classes[name] == {label: rows.labels.count(label) for label in "abc"}


def test_the_report_is_json_and_40_columns_wide_for_any_names() -> None:
    names = tuple(f"{'very ' * 12}long name {i} \u202e\n<b>🦜</b>" for i in range(30))
    c = torch.full((60, 30), NAN)
    schema = Concepts(names)
    parts = {
        name: split(60, seed, c=c, concepts=schema)
        for seed, name in enumerate(("train", "val", "test"), 1)
    }
    report = check(clean(**parts))
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 40
    assert any("and 10 more" in line for line in lines)
    assert all(line.isprintable() for line in lines)


def test_problems_come_with_the_worst_first() -> None:
    def worse(c: Tensor) -> None:
        c[:, 3] = NAN
        c[:, 2] = 1

    x = split(60, 1).x.clone()
    x[1] = x[0]
    train = with_c(split(60, 1, x=x, c=split(60, 1).c), worse)
    kinds = [kind for kind, _ in check(clean(train=train)).problems]
    assert kinds == sorted(kinds, key=["error", "warning", "note"].index)
    assert set(kinds) == {"error", "warning", "note"}


def test_a_source_is_loaded_with_its_options() -> None:
    report = check({"x": list(range(20)), "y": [0, 1] * 10}, target="y")
    assert isinstance(report, DataReport)
    assert report.rows["train"] == 14
    with pytest.raises(InvalidInput, match="one class"):
        check({"x": list(range(20)), "label": [0] * 20})


def test_clean_sets_of_ours_have_no_errors_and_no_warnings() -> None:
    for name, options in (
        ("digit_pairs", {"sizes": (3000, 500, 500)}),
        ("breast_cancer_nuclei", {}),
    ):
        assert {kind for kind, _ in check(name, **options).problems} <= {"note"}
    tied = check("digit_pairs", sizes=(3000, 500, 500), co_occurrence=1.0).problems
    assert any("10 concept pairs" in text for _, text in tied)
