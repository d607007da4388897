"""JSON with one spelling for each value, small enough and flat enough to be read safely."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from narrows.errors import FileRefused, wrong, wrong_type
from narrows.store.atomic import AnyPath, fill, opened, write_bytes

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

DEEPEST = 64
MOST_BYTES = 64 << 20
MOST_MARKS = 250_000  # of `, : [ {`: a parsed value can take 30 times its text
_ADVICE = "large arrays belong in narrows.store.save"


def canonical(value: JSON, argument: str = "value") -> bytes:
    r"""Return `value` as ASCII JSON with sorted keys and no blanks: equal values, equal bytes.

    Args:
        value: None, bool, int, finite float, text, and lists, tuples and mappings of these.
        argument: the name that errors use.

    Raises:
        InvalidType: something else, or a key that is not text.
        InvalidInput: NaN, infinity, more than 64 levels.

    Example:
        >>> canonical({"b": (1, 2.0), "a": "é"})
        b'{"a":"\\u00e9","b":[1,2.0]}'
    """
    for depth, key in _keys(value):
        if depth > DEEPEST:
            raise wrong(argument, "nesting deeper than 64 levels", "at most 64 levels")
        if not isinstance(key, str):
            raise wrong_type(argument, f"the key {key!r}", "keys that are text")
    try:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_as_dict
        )
    except TypeError as error:
        raise wrong_type(argument, str(error), "JSON: numbers, text, lists, mappings") from error
    except ValueError as error:
        raise wrong(argument, str(error), "finite numbers") from error
    return text.encode("ascii")


def _as_dict(value: object) -> dict[str, Any]:
    """Let `json` write mappings that are not dictionaries."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__}")


def _keys(value: object) -> Iterator[tuple[int, object]]:
    """Yield (depth, key) of every value inside `value`; what stands in a list has the key ''.

    The depth counts containers: 0 for a number, 1 for a flat list and for what it holds. Memory:
    one iterator a level, so that a deep or cyclic value cannot exhaust it.
    """
    levels: list[Iterator[tuple[object, object]]] = [iter([("", value)])]
    while levels:
        for key, inside in levels[-1]:
            entries = _entries(inside)
            yield len(levels) - (entries is None), key
            if entries is not None:
                levels.append(entries)
                break
        else:
            levels.pop()


def _entries(value: object) -> Iterator[tuple[object, object]] | None:
    """Return the entries of a container, or None."""
    if isinstance(value, Mapping):
        return iter(value.items())
    return (("", item) for item in value) if isinstance(value, list | tuple) else None


def oversize(text: str, most: int) -> str | None:
    """Say in what JSON text is too large, or return None."""
    if len(text) > most:
        return f"{len(text):,} bytes of JSON, at most {most:,}: {_ADVICE}"
    marks = sum(text.count(mark) for mark in ",:[{")
    return (
        f"{marks:,} JSON marks, at most {MOST_MARKS:,}: {_ADVICE}" if marks > MOST_MARKS else None
    )


def parse(text: str, where: str) -> Any:
    """Parse JSON text from a stranger.

    Args:
        text: the JSON.
        where: the file's name, for messages.

    Raises:
        FileRefused: not JSON, NaN or infinity (also as 1e999), a key given twice, more than 64
            levels, more than 250,000 values.
    """
    try:
        if too_large := oversize(text, MOST_BYTES):
            raise ValueError(too_large)
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite
        )
        if any(depth > DEEPEST for depth, _ in _keys(value)):
            raise RecursionError
    except RecursionError:
        raise FileRefused(f"{where}: its JSON is nested deeper than {DEEPEST} levels") from None
    except ValueError as error:
        raise FileRefused(f"{where}: not JSON that can be trusted: {error}") from error
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key is given twice in one object")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is NaN or infinite")
    return number


def digest(value: JSON) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, in hexadecimal.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(canonical(value)).hexdigest()


def write_json(path: AnyPath, value: JSON) -> None:
    """Replace `path` by the canonical JSON of `value`, so that its file digest is `digest(value)`.

    Raises:
        InvalidInput: NaN or infinity, more than 64 levels, 64 MB or 250,000 values.
        InvalidType: not JSON.
        WriteFailed: the file could not be written; the earlier one is untouched.
    """
    text = canonical(value)
    if too_large := oversize(text.decode("ascii"), MOST_BYTES):
        raise wrong("value", too_large, "less")
    write_bytes(path, text)


def read_json(path: AnyPath) -> Any:
    """Read a JSON file in UTF-8, also one written by hand.

    Memory: twice the file for what is refused; up to nine times for what is accepted (text
    outside the basic plane takes four bytes a letter).

    Raises:
        FileMissing: there is no such file.
        FileRefused: see `parse`; more than 64 MB; not UTF-8.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise FileRefused(f"{path}: {size:,} bytes of JSON, at most {MOST_BYTES:,}")
        return parse(_text(file, size, str(path)), str(path))


def _text(file: io.FileIO, size: int, where: str) -> str:
    raw = bytearray(size)
    fill(file, memoryview(raw))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileRefused(f"{where}: not UTF-8 text: {error.reason}") from None
