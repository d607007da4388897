"""English technical prose that is on every machine: docstrings of installed packages.

Read from their source without importing it. Which texts there are depends on the versions
installed, so a number measured on them says which ones.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.metadata
import importlib.util
import inspect
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from narrows.errors import wrong

PACKAGES = ("numpy", "scipy", "sklearn")
_DISTRIBUTIONS = {"sklearn": "scikit-learn"}
_LEFT_OUT = ("tests", "_lib", "externals", "_core")


@dataclasses.dataclass(frozen=True)
class ShippedText:
    """A docstring.

    Attributes:
        module: where it stands, as `scipy.linalg._basic`.
        text: without the indentation of the code around it.
    """

    module: str
    text: str


def shipped_texts(
    packages: Sequence[str] = PACKAGES, least: int = 200
) -> tuple[list[ShippedText], str]:
    """Docstrings of installed packages, each once, in the order of their modules.

    Args:
        packages: by the name they are imported under; all must be installed.
        least: characters of a text.

    Returns:
        The texts, and in words whose they are.

    Raises:
        InvalidInput: a package that is not installed.

    Example:
        >>> texts, said = shipped_texts(["numpy"], least=2000)
        >>> said.startswith("docstrings of numpy"), any("array" in t.text for t in texts)
        (True, True)
    """
    found: dict[str, str] = {}
    versions = []
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise wrong("packages", f"{package!r}, which is not installed", "installed packages")
        home = Path(next(iter(spec.submodule_search_locations)))
        for path in sorted(home.rglob("*.py")):
            parts = path.relative_to(home).with_suffix("").parts
            if not set(parts) & set(_LEFT_OUT):
                for text in _docstrings(path):
                    if len(text) >= least:
                        found.setdefault(text, ".".join((package, *parts)))
        name = _DISTRIBUTIONS.get(package, package)
        versions.append(f"{name} {importlib.metadata.version(name)}")
    texts = [ShippedText(module, text) for text, module in found.items()]
    return texts, f"docstrings of {', '.join(versions)}"


def _docstrings(path: Path) -> Iterator[str]:
    """Those of a file's module, classes and functions, cleaned of their indentation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in other people's texts
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            text = ast.get_docstring(node, clean=False)
            if text:
                yield inspect.cleandoc(text)
