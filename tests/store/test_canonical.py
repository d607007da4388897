"""JSON has one spelling for each value, comes back exactly, and refuses what it cannot keep."""

from __future__ import annotations

import enum
import hashlib
import json
import math
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from narrows import store
from narrows.errors import FileRefused, InvalidInput, InvalidType
from narrows.store.canonical import canonical

json_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
values = st.recursive(
    json_scalars,
    lambda inside: (
        st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=6), inside, max_size=4)
    ),
    max_leaves=20,
)
same_folder = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@same_folder
@given(value=values)
def test_json_comes_back_and_its_file_digest_is_its_digest(tmp_path: Path, value: object) -> None:
    path = tmp_path / "a.json"
    store.write_json(path, value)
    assert store.read_json(path) == value
    assert repr(store.read_json(path)) == repr(json.loads(path.read_text())), "types differ"
    assert store.file_digest(path) == store.digest(value)
    assert path.read_bytes() == canonical(store.read_json(path))


@given(value=values)
def test_digest_is_the_sha256_of_sorted_json_without_blanks(value: object) -> None:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    assert store.digest(value) == hashlib.sha256(text.encode()).hexdigest()


@given(items=st.dictionaries(st.text(max_size=6), values, max_size=6), data=st.data())
def test_digest_does_not_depend_on_order_or_kind_of_container(
    items: dict[str, object], data: st.DataObject
) -> None:
    turned = dict(data.draw(st.permutations(list(items.items()))))
    assert store.digest(items) == store.digest(turned) == store.digest(MappingProxyType(turned))
    assert store.digest([1, [items]]) == store.digest((1, (turned,)))


@given(a=values, b=values)
def test_different_json_has_different_digests(a: object, b: object) -> None:
    spelled = [json.dumps(value, sort_keys=True) for value in (a, b)]
    assert (store.digest(a) == store.digest(b)) == (spelled[0] == spelled[1])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [1, {"a": [math.nan]}]])
def test_nan_and_infinity_are_not_written(tmp_path: Path, value: object) -> None:
    with pytest.raises(InvalidInput, match="finite"):
        store.write_json(tmp_path / "a", value)
    with pytest.raises(InvalidInput, match="finite"):
        store.digest(value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1: "a"}, "the key 1"),
        ({"a": [{None: 1}]}, "the key None"),
        ({("a", "b"): 1}, r"the key \('a', 'b'\)"),
        ({"a": torch.zeros(1)}, "a Tensor"),
        ([np.float32(1)], "a float32"),
        ([np.zeros(2)], "a ndarray"),
        (b"bytes", "a bytes"),
        ({1, 2}, "a set"),
        (Path("x"), "Path"),
        (1 + 2j, "a complex"),
    ],
)
def test_what_is_not_json_is_refused_by_name(tmp_path: Path, value: object, words: str) -> None:
    for write in (store.digest, lambda v: store.write_json(tmp_path / "a", v)):
        with pytest.raises(InvalidType, match=f"value: found .*{words}"):
            write(value)
    assert list(tmp_path.iterdir()) == []


def test_subclasses_of_json_types_are_written_as_their_base() -> None:
    class Colour(enum.IntEnum):
        RED = 3

    assert canonical([Colour.RED, np.float64(0.1), np.str_("a"), True]) == b'[3,0.1,"a",true]'


def test_64_levels_are_the_limit_of_writing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    store.write_json(path, nested(63))
    assert store.read_json(path) == nested(63)
    for depth in (64, 65, 900, 10_000):
        with pytest.raises(InvalidInput, match="deeper than 64"):
            store.write_json(path, nested(depth))
        path.write_text("[" * (depth + 1) + "]" * (depth + 1))
        with pytest.raises(FileRefused, match="deeper than 64"):
            store.read_json(path)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: dict[str, object] = {"a": [1, 2]}
    loop["self"] = loop
    wide: list[object] = []
    wide.extend([wide] * 10)
    for value in (loop, wide):
        with pytest.raises(InvalidInput, match="deeper than 64"):
            store.digest(value)


def test_the_size_caps_hold_for_writing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for value in ("x" * (64 << 20), [0] * 250_001):
        with pytest.raises(InvalidInput, match="at most"):
            store.write_json(path, value)
    assert not path.exists()
    store.write_json(path, [0] * 249_999)
    assert len(store.read_json(path)) == 249_999
    store.write_json(path, "," * 250_000)  # marks inside text count too: both sides must agree
    assert len(store.read_json(path)) == 250_000
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(FileRefused, match="67,108,865 bytes of JSON"):
        store.read_json(path)


def test_json_written_by_hand_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('\n{ "näme" : [ 1, 2.50, -0, 1e3 ],\r\n\t"b": "😀" }\n', encoding="utf-8")
    assert store.read_json(path) == {"näme": [1, 2.5, 0, 1000.0], "b": "😀"}


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.json: there is no such file"):
        store.read_json(tmp_path / "absent.json")
