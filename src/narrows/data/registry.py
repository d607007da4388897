"""Data sets that have a name: a decorator for ours, an entry point for everybody's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import TypeVar

from narrows.data.record import Dataset
from narrows.errors import unknown, wrong

GROUP = "narrows.datasets"

Loader = Callable[..., Dataset]
L = TypeVar("L", bound=Loader)

_LOADERS: dict[str, Loader] = {}


def dataset(name: str) -> Callable[[L], L]:
    """Register the function below as the loader of a named data set.

    A package of its own registers by the entry point group `narrows.datasets` instead.

    Raises:
        InvalidInput: the name is taken.

    Example:
        >>> @dataset("digit_pairs")
        ... def mine(): ...
        Traceback (most recent call last):
        ...
        narrows.errors.InvalidInput: name: found 'digit_pairs' a second time, wanted a free name
    """

    def register(loader: L) -> L:
        if name in _LOADERS:
            raise wrong("name", f"{name!r} a second time", "a free name")
        _LOADERS[name] = loader
        return loader

    return register


def datasets() -> tuple[str, ...]:
    """Names of all data sets `load` knows, ours and those of installed packages.

    Example:
        >>> datasets()
        ('awa2', 'breast_cancer_nuclei', ...)
    """
    return tuple(sorted({*_LOADERS, *(point.name for point in entry_points(group=GROUP))}))


def find(name: str) -> Loader:
    """The loader of a named data set; ours win over a package's.

    Raises:
        UnknownName: with the nearest names.
    """
    if name in _LOADERS:
        return _LOADERS[name]
    for point in entry_points(group=GROUP, name=name):
        loader: Loader = point.load()
        return loader
    raise unknown("data set", name, datasets())


def check_options(loader: Loader, options: Iterable[str]) -> None:
    """Refuse options the loader does not have.

    Raises:
        UnknownName: with the nearest options.
    """
    parameters = inspect.signature(loader).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    known = [name for name in parameters if name != "source"]
    for name in options:
        if name not in known:
            raise unknown("option", name, known)
