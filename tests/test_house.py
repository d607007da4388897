"""The house rules that a machine can hold: light imports, layers, three places, public names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import narrows
from narrows import registry
from narrows.baselines import BlackBox
from narrows.registry import MethodInfo, methods
from narrows.testing import check_bottleneck

SRC = Path(narrows.__file__).parent
# Lowest first; a module may import from its own layer's package and from layers before it.
LAYERS = (
    ("errors", "py.typed"),
    ("distributed", "store"),
    ("functional",),
    ("reading",),
    ("blueprint",),
    ("bottleneck",),
    ("heads", "encoders", "wire", "explanation"),
    ("model",),
    ("data",),
    ("explain",),
    ("train", "measure", "cost", "embedding"),
    ("registry",),
    ("method",),
    registry.ROOMS,
    ("comparison", "claims", "testing"),
    ("report",),
    ("runs",),
    ("studio",),
    ("cli",),
)


def _imports(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports when it is imported, type checking left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "narrows":
            names = (alias.name for alias in node.names)
            yield from (f"narrows.{name}" for name in names if not name.startswith("__"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("narrows."):
            yield str(node.module)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("narrows."))


def _room(module: str) -> str:
    return module.split(".")[1]


def test_imports_run_downwards_and_rooms_do_not_import_one_another() -> None:
    level = {name: i for i, layer in enumerate(LAYERS) for name in layer}
    wrong = []
    for path in SRC.rglob("*.py"):
        parts = path.relative_to(SRC).with_suffix("").parts
        if parts == ("__init__",):
            continue
        own = parts[0]
        assert own in level, f"{own} has no layer"
        for module in _imports(path):
            other = _room(module)
            allowed = other == own or level[other] < level[own]
            within = {own, other} <= {"heads", "encoders", "wire", "explanation"}
            within |= {own, other} <= {"train", "measure", "cost"}
            within |= {own, other} <= {"comparison", "claims", "testing"}
            if not (allowed or within):
                wrong.append(f"{own} imports {module} ({path.name})")
    assert not wrong, "\n".join(wrong)


def test_importing_narrows_loads_torch_and_numpy_only() -> None:
    code = (
        "import sys, narrows; "
        "heavy = {'sklearn', 'scipy', 'pandas', 'pyarrow', 'PIL', 'matplotlib', 'jinja2', 'typer', "
        "'rich', 'huggingface_hub', 'constriction'} & set(sys.modules); print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_the_listed_ones_and_all_of_them_load() -> None:
    for name in narrows.__all__:
        assert getattr(narrows, name) is not None
    with pytest.raises(AttributeError, match="CBN"):
        narrows.CBN  # noqa: B018  # the attribute access is what is tested


def test_loading_a_name_twice_gives_the_same_thing() -> None:
    """A module of the same name would take a public function's place once it is imported."""
    for name in narrows.__all__:
        first = getattr(narrows, name)
        assert getattr(narrows, name) is first, name
    assert callable(narrows.compare)


def test_files_stay_short() -> None:
    lines = sorted(len(p.read_text(encoding="utf-8").splitlines()) for p in SRC.rglob("*.py"))
    assert lines[-1] <= 700
    assert lines[len(lines) // 2] <= 150


def test_a_new_method_needs_no_place_but_its_file_its_export_and_its_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "_METHODS", dict(methods()))

    class Dummy(BlackBox):
        """A method that exists for this test."""

        info = MethodInfo("dummy", "Dummy", "none", "Exists for a test.", "none", lossy=False)

    check_bottleneck(Dummy(epochs=1))
    assert narrows.Dummy is Dummy
    assert registry.method("dummy") is Dummy
    from typer.testing import CliRunner

    from narrows.cli import app

    assert "dummy" in CliRunner().invoke(app, ["list"]).output
    assert "Exists for a test." in CliRunner().invoke(app, ["info", "dummy"]).output


def test_no_file_but_its_own_its_export_and_its_claim_names_a_method() -> None:
    for method in methods().values():
        if method.__module__.startswith("narrows.baselines"):
            continue  # every table needs them
        own = SRC.joinpath(*method.__module__.split(".")[1:]).with_suffix(".py")
        allowed = {own, own.parent / "__init__.py", *(SRC / "claims").glob("*.py")}
        naming = re.compile(rf"import .*\b{method.__name__}\b")
        named = {p for p in SRC.rglob("*.py") if naming.search(p.read_text(encoding="utf-8"))}
        doctests = {
            p
            for p in named
            if f">>> from {method.__module__.rpartition('.')[0]}" in p.read_text(encoding="utf-8")
        }
        assert named - doctests <= allowed, method.__name__


def test_two_methods_of_one_name_are_refused() -> None:
    with pytest.raises(narrows.NarrowsError, match="already"):

        class Second(BlackBox):
            info = BlackBox.info


def test_a_broken_plug_in_is_listed_and_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name = "bad"

        def load(self) -> None:
            raise RuntimeError("no such wheel")

    monkeypatch.setattr(registry, "_loaded", False)
    monkeypatch.setattr(registry, "_BROKEN", {})
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Entry()])
    assert "cbm" in methods()
    assert registry.broken() == {"bad": "RuntimeError: no such wheel"}
