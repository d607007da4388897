"""What a request may bring: how much, how long, and JSON that means one thing."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

_TEXTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)  # texts of JSON


@dataclass(frozen=True)
class Limits:
    """How much one request may bring and how long it may take.

    Attributes:
        body: bytes of a request's body; all bodies at hand hold at most four times as many.
        structure: bytes of a body outside its texts.
        fields: members of one JSON object or list, and fields of one query.
        depth: of nested JSON.
        receive: seconds until the whole body is there.
        send: seconds the other side may leave one piece of an answer unread.
    """

    body: int = 32 << 20
    structure: int = 1 << 20
    fields: int = 1000
    depth: int = 8
    receive: float = 10.0
    send: float = 30.0


class Refusal(Exception):
    """An answer that ends a request: its status and what a person should read."""

    def __init__(
        self, status: int, error: str, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(error)
        self.status, self.error, self.headers = status, error, headers


def check_json(body: bytes, limits: Limits) -> None:
    """Refuse JSON that is broken, ambiguous or made to cost.

    Args:
        body: UTF-8 text.
        limits: of one request.

    Raises:
        Refusal: no JSON, NaN or infinities, a name twice in one object, too deep, too wide, too
            much of it outside texts (it would take many times its size when read).

    Example:
        >>> check_json(b'{"known": {"a": 1}}', Limits())
        >>> check_json(b'{"a": 1, "a": 2}', Limits())
        Traceback (most recent call last):
        ...
        narrows.studio.bodies.Refusal: JSON: found 'a' twice in one object
    """

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
            raise Refusal(400, f"JSON: found {twice!r} twice in one object")
        return found

    def constant(name: str) -> None:
        raise Refusal(400, f"JSON: found {name}, wanted a finite number")

    if len(body) > limits.structure and len(_TEXTS.sub(b"", body)) > limits.structure:
        raise Refusal(413, f"JSON: wanted at most {limits.structure} bytes outside texts")
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=members, parse_constant=constant)
    except (ValueError, RecursionError):
        raise Refusal(400, "JSON: found a body that is no JSON text in UTF-8") from None
    _check_shape(value, limits, 1)


def _check_shape(value: Any, limits: Limits, depth: int) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise Refusal(400, "JSON: found a number beyond what a float holds")
    inner = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(inner, list):
        return
    if len(inner) > limits.fields:
        raise Refusal(413, f"JSON: found {len(inner)} members, wanted at most {limits.fields}")
    if depth > limits.depth:
        raise Refusal(400, f"JSON: wanted at most {limits.depth} levels")
    for part in inner:
        _check_shape(part, limits, depth + 1)
