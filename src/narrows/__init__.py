"""Narrows: build, measure and relieve the narrow places of neural networks.

Importing this package loads torch and numpy only; everything else is imported where it is used.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

__version__ = version("narrows")

# Where each public name lives. Names load on first use, so that the import stays light.
_HOME = {
    "NarrowModel": "narrows.model",
    "Bottleneck": "narrows.bottleneck",
    "Reading": "narrows.reading",
    "Output": "narrows.reading",
    "Evidence": "narrows.reading",
    "Method": "narrows.method",
    "MethodInfo": "narrows.registry",
    "NarrowsError": "narrows.errors",
    "Concepts": "narrows.data",
    "Examples": "narrows.data",
    "Dataset": "narrows.data",
    "load": "narrows.data",
    "compare": "narrows.comparison",
    "embed": "narrows.embedding",
    "from_pretrained": "narrows.method",
}
_ROOMS = (
    "data",
    "measure",
    "explain",
    "cost",
    "train",
    "functional",
    "testing",
    "registry",
    "store",
)

__all__ = sorted([*_HOME, *_ROOMS, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"narrows.{name}")
    if name[:1].isupper():  # a method: its class name is enough, the registry knows the rest
        from narrows.registry import methods

        for method in methods().values():
            if method.__name__ == name:
                return method
    raise AttributeError(f"module 'narrows' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
