"""Docstrings are those that Python itself sees, each once."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest

from narrows.errors import InvalidInput
from narrows.measure.language.shipped_texts import shipped_texts


def test_docstrings_of_a_package_are_those_of_its_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "made_up"
    (home / "tests").mkdir(parents=True)
    source = '"""The module."""\nclass A:\n    """A class.\n\n      More.\n    """\n'
    source += '    def f(self):\n        """Does f."""\n\ndef g():\n    """Does f."""\n'
    (home / "__init__.py").write_text(source)
    (home / "broken.py").write_text("def (")
    (home / "tests" / "__init__.py").write_text('"""Left out."""')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.0")
    texts, said = shipped_texts(["made_up"], least=1)
    import made_up

    try:
        wanted = [inspect.getdoc(o) for o in (made_up, made_up.A, made_up.A.f)]
    finally:
        del sys.modules["made_up"]
    assert sorted(t.text for t in texts) == sorted(wanted)
    assert {t.module for t in texts} == {"made_up.__init__"}
    assert said == "docstrings of made_up 1.0"
    assert [t.text for t in shipped_texts(["made_up"], least=11)[0]] == ["The module.", wanted[1]]


def test_a_package_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'no_such'"):
        shipped_texts(["no_such"])
