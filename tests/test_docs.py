"""The pages in docs/ say what the library says: their code runs and prints what stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(p.name for p in DOCS.glob("*.md") if "```python" in p.read_text("utf-8"))


def without_numbers(text: str) -> list[str]:
    """Words alone: the last digits differ between processors, and the clock always."""
    return re.sub(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?", "#", text).split()


@pytest.mark.parametrize("name", PAGES)
def test_code_runs_as_written_and_prints_what_the_page_shows(name: str, tmp_path: Path) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    blocks = re.findall(r"```(python|text)\n(.*?)```", page, re.DOTALL)
    code = "\n".join(block for language, block in blocks if language == "python")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shown = "\n".join(block for language, block in blocks if language == "text")
    assert without_numbers(done.stdout) == without_numbers(shown)


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_links_of_a_page_resolve(path: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (DOCS / link).exists()] == []
