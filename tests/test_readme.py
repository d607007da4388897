"""The README's script works as written, and its table can be trained on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


# The script itself is run as it stands, on a small draw and twenty epochs, to take a minute.
SMALL = """
import functools, narrows, narrows.data, narrows.train.steps
narrows.train.steps._LEAST_STEPS = 0
narrows.load = functools.partial(narrows.data.load, sizes=(1500, 300, 300))
"""


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found, language
    return found.group(1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_script_works_as_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SMALL + block("python")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    accuracy = float(done.stdout.splitlines()[0])
    assert accuracy > 0.3  # chance is 0.1
    assert "contributions" in done.stdout
    assert "bits" in done.stdout
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    for row in ("black-box", "random", "cbm joint", "vib"):
        assert row in page
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_links_to_files_of_the_repository_resolve() -> None:
    root = Path(__file__).parents[1]
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (root / link).exists()] == []


def test_nothing_is_left_to_fill_in() -> None:
    assert "DEMO OUTPUT" not in README
    assert "NUMBERS TABLE" not in README
