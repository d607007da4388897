"""Runs that the tests of the studio open; each is trained once and copied before it is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from narrows.studio.desk import Desk
from studio.small_runs import fresh, make_run, write_table

PAIRS = {"sizes": [400, 40, 60]}


@pytest.fixture(scope="session")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A concept model on a table."""
    home = tmp_path_factory.mktemp("table")
    table = write_table(home / "rows.csv")
    return make_run(home / "table run", "cbm", str(table), {}, epochs=30)


@pytest.fixture(scope="session")
def picture_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prototypes on pictures: units with evidence."""
    home = tmp_path_factory.mktemp("pictures")
    return make_run(home / "pictures", "prototypes", "digit_pairs", PAIRS, epochs=1)


@pytest.fixture(scope="session")
def sparse_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Codes on pictures: a sparse reading."""
    home = tmp_path_factory.mktemp("codes")
    return make_run(
        home / "codes", "key-value", "digit_pairs", PAIRS, heads=4, pairs=8, epochs=1, key_epochs=1
    )


@pytest.fixture
def desk(table_run: Path, tmp_path: Path) -> Iterator[Desk]:
    """A desk on a fresh copy of the concept model."""
    opened = Desk(fresh(table_run, tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def pictures(picture_run: Path, tmp_path: Path) -> Iterator[Desk]:
    """A desk on a fresh copy of the prototypes."""
    opened = Desk(fresh(picture_run, tmp_path))
    yield opened
    opened.close()
