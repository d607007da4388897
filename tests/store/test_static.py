"""Nothing in the package can run code from a file (F02): a walk over every syntax tree."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import narrows

SOURCE = Path(narrows.__file__).parent
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    "torch.load",
    "torch.jit.load",
    "torch.hub.load",
    "torch.serialization.load",
    "joblib.load",
    "pandas.read_pickle",
    "yaml.load",
    "yaml.unsafe_load",
    "eval",
    "exec",
    "compile",
    "__import__",
    "builtins.eval",
    "builtins.exec",
}


def imported(tree: ast.AST) -> dict[str, str]:
    """Map each local name to the dotted name that an import gave it."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else "?"


def dangers(source: str) -> list[str]:
    """List what could run code from a file; names count also where they are not called."""
    tree = ast.parse(source)
    names = imported(tree)
    found = [name for name in names.values() if name.split(".")[0] in FORBIDDEN_MODULES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            name = dotted(node, names)
            found += [name] if name in FORBIDDEN_CALLS else []
        if isinstance(node, ast.Call):
            found += [
                "allow_pickle" for k in node.keywords
                if k.arg == "allow_pickle" and getattr(k.value, "value", True) is not False
            ]  # fmt: skip
            if dotted(node.func, names) in ("importlib.import_module", "narrows.errors.require"):
                first = getattr(node.args[0], "value", "") if node.args else ""
                found += [str(first)] if first in FORBIDDEN_MODULES else []
    return found


def test_no_source_file_can_run_code_from_a_file() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert SOURCE / "store" / "tensors.py" in files
    found = {str(path.relative_to(SOURCE)): dangers(path.read_text("utf-8")) for path in files}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load('x')",
        "import torch as t\nt.load('x', weights_only=True)",
        "from torch import load\nload('x')",
        "from torch import load as open_it\nopen_it('x')",
        "import torch\nread = torch.load",
        "import torch.serialization\ntorch.serialization.load('x')",
        "import pickle",
        "from pickle import loads as l",
        "def f():\n    import cloudpickle",
        "from joblib import load\nload('x')",
        "import joblib\njoblib.load('x')",
        "eval('1')",
        "f = exec",
        "import builtins\nbuiltins.eval('1')",
        "__import__('os')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=flag)",
        "import importlib\nimportlib.import_module('pickle')",
        "import pandas as pd\npd.read_pickle('x')",
    ],
)
def test_the_walk_sees_each_way_to_run_code(source: str) -> None:
    assert dangers(source)


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "import re\nre.compile('x')",
        "import torch\ntorch.compile(model)",
        "import json\njson.load(file)",
        "from narrows import store\nstore.load('x')",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "'torch.load and pickle.load in a message'",
    ],
)
def test_the_walk_leaves_harmless_code_alone(source: str) -> None:
    assert dangers(source) == []
