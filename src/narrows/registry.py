"""All methods by name; the command line, the reports and the tests read this table.

A method registers by being defined: a `Method` subclass with an `info`. Other packages add
theirs through the entry-point group `narrows.methods`.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
from typing import TYPE_CHECKING

from narrows.errors import InvalidInput, unknown

if TYPE_CHECKING:
    from narrows.method import Method

ROOMS = ("baselines", "concepts", "prototypes", "codes", "information", "channel")

_METHODS: dict[str, type[Method]] = {}
_BROKEN: dict[str, str] = {}
_loaded = False


@dataclasses.dataclass(frozen=True)
class MethodInfo:
    """What a method says about itself.

    Attributes:
        name: how the command line calls it.
        title: the paper's title, or what it is.
        paper: authors, venue, year and identifier.
        summary: what it does, in one sentence.
        bottleneck: concept, prototype, code, information, channel or none.
        needs_concepts: whether training needs concept labels.
        lossy: whether its reading loses information that the encoder had.
    """

    name: str
    title: str
    paper: str
    summary: str
    bottleneck: str
    needs_concepts: bool = False
    lossy: bool = True


def register(method: type[Method]) -> None:
    """Add a method; a second one of the same name is refused."""
    name = method.info.name
    other = _METHODS.get(name)
    if other is not None and other.__qualname__ != method.__qualname__:
        raise InvalidInput(f"method: {name!r} is already {other.__module__}.{other.__qualname__}")
    _METHODS[name] = method


def methods() -> dict[str, type[Method]]:
    """Every method by name, in the order of the rooms; plug-ins last."""
    global _loaded  # the table fills once, on first use
    if not _loaded:
        _loaded = True
        for room in ROOMS:
            importlib.import_module(f"narrows.{room}")
        for entry in importlib.metadata.entry_points(group="narrows.methods"):
            try:
                entry.load()
            except Exception as error:  # a plug-in's failure of any kind must not break the rest
                _BROKEN[entry.name] = f"{type(error).__name__}: {error}"
    return dict(_METHODS)


def broken() -> dict[str, str]:
    """Plug-ins that failed to load, with their errors."""
    methods()
    return dict(_BROKEN)


def method(name: str) -> type[Method]:
    """One method by name.

    Example:
        >>> method("cbm").__name__
        'CBM'
    """
    table = methods()
    if name not in table:
        raise unknown("method", name, table)
    return table[name]
