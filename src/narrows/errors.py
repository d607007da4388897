"""The few errors Narrows raises, and the one wording they share.

Every message says which argument was wrong, what was found and what was wanted.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class NarrowsError(Exception):
    """Anything Narrows raises on purpose."""


class InvalidInput(NarrowsError, ValueError):
    """A value has the wrong shape, range or contents."""


class InvalidType(NarrowsError, TypeError):
    """A value has a type or dtype that is not accepted."""


class UnknownName(InvalidInput):
    """A name that does not exist; the message offers the nearest ones."""


class FileRefused(NarrowsError, ValueError):
    """A file is damaged, incomplete or of a kind that is not safe to open."""


class RunLocked(NarrowsError, RuntimeError):
    """Another process is writing the same run folder."""


class MissingExtra(NarrowsError, ImportError):
    """An optional package is needed for this call."""


def wrong(argument: str, found: object, wanted: str) -> InvalidInput:
    """Build the error for a wrong value.

    Example:
        >>> raise wrong("x", "shape (3,)", "shape (batch, 128)")
        Traceback (most recent call last):
        ...
        narrows.errors.InvalidInput: x: found shape (3,), wanted shape (batch, 128)
    """
    return InvalidInput(f"{argument}: found {found}, wanted {wanted}")


def wrong_type(argument: str, found: object, wanted: str) -> InvalidType:
    """Build the error for a wrong type or dtype, worded like `wrong`."""
    return InvalidType(f"{argument}: found {found}, wanted {wanted}")


def unknown(kind: str, name: object, names: Iterable[str]) -> UnknownName:
    """Build the error for a name that does not exist, with the nearest names.

    Example:
        >>> str(unknown("concept", "left is 33", ["left is 3", "right is 3"]))
        "concept: found 'left is 33', wanted one of 2 names; nearest: 'left is 3', 'right is 3'"
    """
    known = [str(n) for n in names]
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4) or known[:3]
    offered = ", ".join(repr(n) for n in near)
    return UnknownName(
        f"{kind}: found {name!r}, wanted one of {len(known)} names; nearest: {offered}"
    )


def require(module: str, extra: str) -> ModuleType:
    """Import an optional package where it is used, or say how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(f"{module} is needed here: pip install 'narrows[{extra}]'") from error
