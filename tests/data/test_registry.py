"""Named data sets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from narrows.data import Dataset, datasets, load
from narrows.data.registry import dataset
from narrows.errors import InvalidInput, UnknownName


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that offers data sets by entry point."""
    (tmp_path / "strangers.py").write_text(
        "from narrows.data import load\n"
        "def iris_like(rows=30):\n"
        "    return load(([[float(i)] for i in range(rows)], [0, 1, 2] * (rows // 3)))\n"
        "def anything(**options): return iris_like(**options)\n"
    )
    info = tmp_path / "strangers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[narrows.datasets]\niris_like = strangers:iris_like\nany = strangers:anything\n"
        "digit_pairs = strangers:iris_like\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("strangers", None)


@pytest.mark.usefixtures("package")
def test_an_entry_point_is_found_and_imported_only_when_loaded() -> None:
    assert "iris_like" in datasets()
    assert "strangers" not in sys.modules
    assert len(load("iris_like", rows=60).train) == 42
    assert len(load("any", rows=60).train) == 42
    with pytest.raises(UnknownName, match=r"option: found 'row'.*'rows'"):
        load("iris_like", row=60)


@pytest.mark.usefixtures("package")
def test_a_package_cannot_replace_our_sets() -> None:
    assert load("digit_pairs", sizes=(5, 5, 5)).name == "digit_pairs"
    assert datasets().count("digit_pairs") == 1


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"data set: found 'digit_pear'.*'digit_pairs'"):
        load("digit_pear")


def test_a_name_is_given_once() -> None:
    with pytest.raises(InvalidInput, match="'digit_pairs' a second time"):

        @dataset("digit_pairs")
        def again() -> Dataset:
            raise AssertionError
