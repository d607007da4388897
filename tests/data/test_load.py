"""One loader for everything, without surprises for the process around it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import narrows.data
from narrows.data import load
from narrows.errors import FileRefused, InvalidInput, InvalidType, UnknownName

TABLE = {"x": list(range(20)), "word": ["a", "b"] * 10, "label": ["no", "yes"] * 10}
ARRAYS = (np.arange(40.0).reshape(20, 2), [0, 1] * 10)


class Duck:
    @property
    def column_names(self) -> list[str]:
        return list(TABLE)

    def __getitem__(self, name: str) -> list[Any]:
        return TABLE[name]


def test_a_data_set_passes_through_but_takes_no_options() -> None:
    data = load(ARRAYS)
    assert load(data) is data
    with pytest.raises(InvalidInput, match="'seed'"):
        load(data, seed=1)


def test_each_kind_of_table_gives_the_same_data(tmp_path: Path) -> None:
    pd.DataFrame(TABLE).to_csv(tmp_path / "table.csv", index=False)
    sources = [TABLE, Duck(), pd.DataFrame(TABLE), tmp_path, tmp_path / "table.csv", str(tmp_path)]
    found = [load(source, seed=5) for source in sources]
    assert len({data.fingerprint for data in found}) == 1
    assert found[3].name == tmp_path.name
    assert found[4].name == "table"


def test_the_seed_of_a_table_moves_its_rows() -> None:
    assert load(TABLE, seed=1).fingerprint != load(TABLE, seed=2).fingerprint


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        (3, {}, InvalidType, "source: found int"),
        (None, {}, InvalidType, "NoneType"),
        ([[1.0], [2.0]], {}, InvalidType, "list"),
        ("nowhere.csv", {}, FileRefused, r"nowhere\.csv"),
        ("some/where", {}, FileRefused, "no such file"),
        (Path("plain"), {}, FileRefused, "plain"),
        (ARRAYS, {"tarrget": "y"}, UnknownName, "option: found 'tarrget'"),
        (TABLE, {"tarrget": "y"}, UnknownName, r"'tarrget'.*'target'"),
        ("digit_pairs", {"sizs": 3}, UnknownName, r"'sizs'.*'sizes'"),
    ],
)
def test_other_sources_and_options_are_refused_by_name(
    source: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(source, **options)


@pytest.mark.parametrize("source", ["digit_pairs", "breast_cancer_nuclei", TABLE, ARRAYS])
def test_no_global_random_state_is_touched(source: Any) -> None:
    before = (random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state())  # noqa: NPY002  # the state itself is what is tested
    load(source, seed=3)
    after = (random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state())  # noqa: NPY002  # as above
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


SCRIPT = """
import sys
for name in ("pandas", "pyarrow", "PIL"):
    sys.modules[name] = None
from narrows.data import check, load
from narrows.errors import MissingExtra
assert not {"sklearn", "scipy", "matplotlib"} & set(sys.modules)
check(load(sys.argv[1]))
try:
    load(sys.argv[2])
except MissingExtra as error:
    assert "narrows[data]" in str(error)
print(load(sys.argv[1]).fingerprint)
print(load("digit_pairs", sizes=(50, 10, 10), shift="noise:0.3").fingerprint)
"""


def test_without_optional_packages_csv_works_and_the_process_environment_is_no_input(
    tmp_path: Path,
) -> None:
    pd.DataFrame(TABLE).to_csv(tmp_path / "t.csv", index=False)
    pd.DataFrame(TABLE).to_parquet(tmp_path / "t.parquet")
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "tr_TR.UTF-8",
    }
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "t.csv", tmp_path / "t.parquet"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=True,
    )
    here = load("digit_pairs", sizes=(50, 10, 10), shift="noise:0.3")
    assert ran.stdout.split() == [load(tmp_path / "t.csv").fingerprint, here.fingerprint]


def test_public_names_are_there_and_documented() -> None:
    for name in narrows.data.__all__:
        assert getattr(narrows.data, name).__doc__
