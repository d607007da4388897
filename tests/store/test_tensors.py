"""A model file is plain safetensors, comes back exactly, and any damage is seen (R04)."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from narrows import store
from narrows.errors import FileRefused, InvalidInput, InvalidType, NarrowsError

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.uint16,
    torch.int32,
    torch.uint32,
    torch.int64,
    torch.uint64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
]
SPECIAL = {
    "nan": torch.tensor([math.nan, -0.0, math.inf, -math.inf, 5e-324], dtype=torch.float64),
    "big": torch.tensor([2**63 - 1, -(2**63)]),
    "scalar": torch.tensor(3.5),
    "empty": torch.empty(0),
    "empty axis": torch.empty(3, 0, 2, dtype=torch.int64),
    "é 😀 <b>\n": torch.tensor([True, False]),
    "": torch.tensor([1], dtype=torch.uint8),
}
same_folder = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(
        found[k].dtype == wanted[k].dtype
        and found[k].shape == wanted[k].shape
        and bits(found[k]) == bits(wanted[k])
        for k in wanted
    )


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(
    lambda name: name not in ("__metadata__", "sha256")
)
json_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
json_values = st.recursive(
    json_scalars,
    lambda inside: (
        st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=6), inside, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def tensor_maps(draw: st.DrawFn) -> dict[str, torch.Tensor]:
    def tensor() -> torch.Tensor:
        dtype = draw(st.sampled_from(DTYPES))
        shape = draw(st.lists(st.integers(0, 4), max_size=4))
        size = math.prod(shape) * dtype.itemsize
        raw = draw(st.binary(min_size=size, max_size=size))
        if dtype is torch.bool:
            raw = bytes(value & 1 for value in raw)
        flat = torch.tensor(list(raw), dtype=torch.uint8)
        found = flat.view(dtype).reshape(shape)
        return found.t().contiguous().t() if len(shape) == 2 else found

    return {name: tensor() for name in draw(st.sets(names, max_size=4))}


@same_folder
@given(tensors=tensor_maps(), metadata=st.dictionaries(names, json_values, max_size=3))
def test_every_bit_comes_back_here_and_in_the_plain_reader(
    tmp_path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, object]
) -> None:
    path = tmp_path / "a.safetensors"
    seal = store.save(path, tensors, metadata)
    found, notes = store.load(path)
    assert same(found, tensors)
    assert notes == metadata
    assert same(load_file(path), tensors)
    with safe_open(path, "pt") as plain:
        raw = plain.metadata()
    assert raw.pop("sha256") == seal == store.fingerprint(tensors, metadata)
    assert {key: json.loads(text) for key, text in raw.items()} == metadata


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_dtype_comes_back(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.arange(12).reshape(3, 4).to(dtype)
    store.save(tmp_path / "a", {"x": tensor})
    assert same(store.load(tmp_path / "a")[0], {"x": tensor})


def test_special_values_shapes_and_names_come_back(tmp_path: Path) -> None:
    store.save(tmp_path / "a", SPECIAL)
    assert same(store.load(tmp_path / "a")[0], SPECIAL)
    assert same(load_file(tmp_path / "a"), SPECIAL)
    store.save(tmp_path / "a", {})
    assert store.load(tmp_path / "a") == ({}, {}) == (load_file(tmp_path / "a"), {})


def test_strides_shared_memory_gradients_and_subclasses_make_no_difference(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    odd = {
        "transposed": base.t(),
        "strided": base[::2, ::3],
        "expanded": base[:1].expand(5, 6),
        "flipped view": torch.complex(base, -base).conj().imag,
        "lazy minus": torch._neg_view(base),
        "slice": base[1:],
        "whole": base,
        "again": base,
        "parameter": torch.nn.Parameter(base.clone()),
        "needs grad": base.clone().requires_grad_() * 2,
        "of numpy": torch.from_numpy(np.arange(6.0)[::-1].copy()),
    }
    plain = {
        name: torch.tensor(tensor.tolist(), dtype=tensor.dtype) for name, tensor in odd.items()
    }
    assert store.save(tmp_path / "a", odd) == store.save(tmp_path / "b", plain)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found, _ = store.load(tmp_path / "a")
    assert same(found, plain)
    found["again"].zero_()
    assert torch.equal(found["whole"], base), "loaded tensors must not share memory"


def test_equal_input_gives_equal_bytes_in_any_order(tmp_path: Path) -> None:
    tensors = {f"layer.{i}": torch.full((i + 1,), float(i), dtype=d) for i, d in enumerate(DTYPES)}
    metadata = {"b": [1, {"z": 1, "a": 2}], "a": "x"}
    store.save(tmp_path / "a", tensors, metadata)
    turned = {"a": "x", "b": (1, {"a": 2, "z": 1})}
    store.save(tmp_path / "b", dict(reversed(tensors.items())), turned)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_digest_is_that_of_the_documented_bytes(tmp_path: Path) -> None:
    """Computed here from the file with json and hashlib only."""
    path = tmp_path / "a"
    seal = store.save(path, SPECIAL, {"note": ["é", 1.5, None]})
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    assert header["__metadata__"].pop("sha256") == seal
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    assert hashlib.sha256(text + raw[8 + length :]).hexdigest() == seal


def test_tensors_are_aligned_to_their_item_size_in_the_file(tmp_path: Path) -> None:
    tensors = {f"{i}": torch.ones(3 + i, dtype=d) for i, d in enumerate(DTYPES)}
    store.save(tmp_path / "a", tensors)
    raw = (tmp_path / "a").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    for name, entry in json.loads(raw[8 : 8 + length]).items():
        if name != "__metadata__":
            assert (8 + length + entry["data_offsets"][0]) % tensors[name].itemsize == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda t, m: t.update(w=t["w"] + 1),
        lambda t, m: t.update(w=t["w"].reshape(2, 2)),
        lambda t, m: t.update(w=t["w"].view(torch.int32)),
        lambda t, m: t.update(v=t.pop("w")),
        lambda t, m: t.update(b=torch.zeros(0)),
        lambda t, m: t["w"].__setitem__(0, -0.0),
        lambda t, m: m.update(a=1.0),
        lambda t, m: m.update(a="1"),
        lambda t, m: m.update(a=True),
        lambda t, m: m.update(b=None),
    ],
)
def test_any_change_of_contents_changes_the_fingerprint(change: Callable[..., object]) -> None:
    tensors, metadata = {"w": torch.zeros(4)}, {"a": 1}
    before = store.fingerprint(tensors, metadata)
    change(tensors, metadata)
    assert store.fingerprint(tensors, metadata) != before


@pytest.fixture
def small(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "encoder.weight": torch.randn(20, 30, generator=generator),
        "encoder.bias": torch.randn(30, generator=generator, dtype=torch.float64),
        "mask": torch.rand(100, generator=generator) > 0.5,
        "code": torch.randint(0, 512, (64,), generator=generator),
    }
    metadata = {"concepts": [f"wing {i} é" for i in range(40)], "rate": 0.125}
    store.save(tmp_path / "model.safetensors", tensors, metadata)
    return tmp_path / "model.safetensors"


def refused(path: Path, data: bytes | bytearray) -> bool:
    with path.open("r+b") as file:
        file.write(data)
        file.truncate(len(data))
    try:
        store.load(path)
    except FileRefused:  # anything else is a defect and fails the test
        return True
    return False


@pytest.mark.slow
def test_no_truncation_and_no_bit_flip_is_read(small: Path) -> None:
    whole = small.read_bytes()
    assert 4000 < len(whole) < 6000
    rng = np.random.default_rng(0)
    assert not refused(small, whole)
    for length in rng.choice(len(whole), 1000, replace=False):
        assert refused(small, whole[: int(length)]), f"cut to {length} bytes"
    for _ in range(10_000):
        bit = int(rng.integers(8 * len(whole)))
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        assert refused(small, data), f"bit {bit} flipped"
    assert not refused(small, whole)


def test_no_other_damage_is_read(small: Path) -> None:
    whole = small.read_bytes()
    rng = np.random.default_rng(1)
    assert refused(small, whole + b"\0")
    assert refused(small, whole + whole)
    assert refused(small, whole[1:])
    assert refused(small, whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    for _ in range(300):
        start, other = sorted(int(k) for k in rng.choice(len(whole), 2, replace=False))
        data = bytearray(whole)
        data[start:other] = rng.bytes(other - start)
        assert refused(small, data)
        a, b = rng.choice(len(whole), 2, replace=False)
        data = bytearray(whole)
        data[a], data[b] = data[b], data[a]
        assert refused(small, data) == (bytes(data) != whole)


def test_the_plain_format_without_a_digest_is_refused_with_advice(tmp_path: Path) -> None:
    save_file({"w": torch.ones(3)}, tmp_path / "plain.safetensors", {"format": "pt"})
    with pytest.raises(FileRefused, match=r"no digest.*load_file.*narrows\.store\.save"):
        store.load(tmp_path / "plain.safetensors")


def test_a_larger_tensor_crosses_the_steps_of_reading_and_writing(tmp_path: Path) -> None:
    tensor = torch.randint(0, 256, (9_000_001,), dtype=torch.uint8)
    store.save(tmp_path / "a", {"x": tensor})
    assert torch.equal(store.load(tmp_path / "a")[0]["x"], tensor)


@pytest.mark.parametrize(
    ("tensors", "metadata", "kind", "words"),
    [
        ({"x": torch.zeros(1, dtype=torch.complex64)}, {}, InvalidType, "found torch.complex64"),
        ({"x": torch.zeros(2, 2).to_sparse()}, {}, InvalidType, "dense"),
        ({"x": torch.zeros(2, device="meta")}, {}, InvalidType, "meta"),
        ({"x": np.zeros(2)}, {}, InvalidType, "found ndarray, wanted a torch.Tensor"),
        ({"x": [1.0]}, {}, InvalidType, "found list"),
        (torch.nn.Linear(1, 1), {}, InvalidType, "tensors: found Linear, wanted a mapping"),
        ({}, [1], InvalidType, "metadata: found list, wanted a mapping"),
        ({3: torch.zeros(2)}, {}, InvalidType, "keys that are text"),
        ({"__metadata__": torch.zeros(2)}, {}, InvalidInput, "__metadata__"),
        ({"\ud800": torch.zeros(2)}, {}, InvalidInput, "Unicode"),
        ({}, {"sha256": "x"}, InvalidInput, "sha256"),
        ({}, {"\udfff": 1}, InvalidInput, "Unicode"),
        ({}, {1: 1}, InvalidType, "keys that are text"),
        ({}, {"a": math.nan}, InvalidInput, r"metadata\['a'\]"),
        ({}, {"a": torch.zeros(1)}, InvalidType, r"metadata\['a'\]: found a Tensor"),
        ({}, {"a": {1: 2}}, InvalidType, "key 1"),
        ({}, {"a": "x" * (9 << 20)}, InvalidInput, "at most 4,194,304"),
        ({}, {"a": [0] * 500_000}, InvalidInput, "at most 250,000"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_written(
    tmp_path: Path, tensors: object, metadata: object, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        store.save(tmp_path / "a", tensors, metadata)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_whatever_save_accepts_load_reads_at_the_cap(tmp_path: Path) -> None:
    tensors = {"x": torch.zeros(2)}
    most = 250_000 - 17  # marks of the rest of this header
    store.save(tmp_path / "a", tensors, {"a": [0] * most})
    assert len(store.load(tmp_path / "a")[1]["a"]) == most
    with pytest.raises(InvalidInput, match="250,001 JSON marks"):
        store.save(tmp_path / "a", tensors, {"a": [0] * (most + 1)})


def test_device_is_checked_and_obeyed(small: Path) -> None:
    tensors, _ = store.load(small, torch.device("cpu"))
    assert {t.device.type for t in tensors.values()} == {"cpu"}
    tensors, _ = store.load(small, "meta")
    assert {t.device.type for t in tensors.values()} == {"meta"}
    for absent in ("nowhere", 2.5, *([] if torch.cuda.is_available() else ["cuda"])):
        with pytest.raises(InvalidInput, match=f"device: found '?{absent}"):
            store.load(small, absent)  # type: ignore[arg-type]


def test_threads_that_save_and_load_one_file_see_whole_files_only(tmp_path: Path) -> None:
    path = tmp_path / "a"

    def work(number: int) -> int:
        wanted = {"w": torch.full((500,), float(number))}
        for _ in range(10):
            store.save(path, wanted, {"by": number})
            found, metadata = store.load(path)
            assert bits(found["w"]) == bits(torch.full((500,), float(metadata["by"])))
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))
    assert list(tmp_path.iterdir()) == [path]


def test_loading_works_under_another_default_device_and_dtype(small: Path) -> None:
    before = {k: bits(v) for k, v in store.load(small)[0].items()}
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            tensors, _ = store.load(small)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {k: bits(v) for k, v in tensors.items()} == before


def test_loaded_tensors_outlive_the_file_and_can_be_trained(small: Path) -> None:
    tensors, _ = store.load(small)
    before = tensors["encoder.weight"].clone()
    small.write_bytes(b"")
    small.unlink()
    assert torch.equal(tensors["encoder.weight"], before)
    weight = torch.nn.Parameter(tensors["encoder.weight"])
    weight.sum().backward()
    with torch.no_grad():
        weight.sub_(weight.grad)
    assert torch.equal(weight, before - 1)


def test_saving_and_loading_leave_random_states_and_inputs_alone(tmp_path: Path) -> None:
    tensors = {"w": torch.arange(6.0).reshape(2, 3).t()}
    copy, stride = tensors["w"].clone(), tensors["w"].stride()
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - reads the state
    store.save(tmp_path / "a", tensors)
    store.load(tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]  # noqa: NPY002 - reads the state
    assert torch.equal(tensors["w"], copy)
    assert tensors["w"].stride() == stride


@pytest.mark.parametrize(
    "dtype",
    [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e5m2],
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_check_finite_names_the_tensor_the_count_and_the_place(
    dtype: torch.dtype, value: float
) -> None:
    wide = torch.zeros(3, 4, 5)
    wide[1, 2, 3] = wide[2, 0, 0] = value
    tensors = {"fine": torch.ones(2), "count": torch.tensor([1]), "head.weight": wide.to(dtype)}
    words = r"tensors\['head.weight'\]: found 2 of 60 values .* first at \(1, 2, 3\)"
    with pytest.raises(InvalidInput, match=words):
        store.check_finite(tensors)


def test_check_finite_accepts_every_finite_tensor(tmp_path: Path) -> None:
    finite = {f"{d}": torch.ones(3, 2).to(d) for d in DTYPES}
    store.check_finite(finite | {"empty": torch.empty(0), "max": torch.tensor(3.4e38)})
    nan = {"x": torch.tensor(math.nan)}
    store.save(tmp_path / "a", nan)  # keeping values exactly and judging them are two things
    with pytest.raises(NarrowsError, match="first at \\(\\)"):
        store.check_finite(store.load(tmp_path / "a")[0])
