"""The code for rows of integers: every int64 round-trips, short, and refused when damaged."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from narrows.errors import FileRefused, InvalidInput, InvalidType
from narrows.functional.coder import FactorizedCode

_MOST = 2**63 - 1
integer = st.one_of(
    st.integers(-4, 4), st.integers(-5000, 5000), st.integers(-_MOST - 1, _MOST), st.just(_MOST)
)


def _rows(columns: int, max_size: int = 30) -> st.SearchStrategy[list[list[int]]]:
    row = st.lists(integer, min_size=columns, max_size=columns)
    return st.lists(row, min_size=1, max_size=max_size)


both = st.integers(1, 4).flatmap(lambda n: st.tuples(_rows(n), _rows(n)))


def _signal(n: int = 3000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scale = np.array([0.4, 3.0, 40.0])
    place = np.array([0, 100, -7])
    return np.round(rng.normal(size=(n, 3)) * scale).astype(np.int64) + place


@settings(max_examples=150, deadline=None)
@given(both)
def test_every_integer_comes_back_whatever_was_fitted(
    data: tuple[list[list[int]], list[list[int]]],
) -> None:
    train, test = data
    code = FactorizedCode.fit(np.array(train, np.int64))
    values = np.array(test, np.int64)
    stream = code.encode(values)
    assert code.decode(stream, len(values)).tolist() == values.tolist()
    escapes = stream[0] > 0
    assert len(stream) * 8 <= float(code.bits(values).sum()) * 1.001 + (64 + 128 * escapes)


@pytest.mark.parametrize("n", [0, 1, 50, 3000])
def test_without_escapes_the_stream_is_the_bits_and_64(n: int) -> None:
    values = _signal()
    code = FactorizedCode.fit(values)
    stream = code.encode(values[:n])
    assert len(stream) * 8 <= float(code.bits(values[:n]).sum()) * 1.001 + 64
    assert torch.equal(code.decode(stream, n), torch.from_numpy(values[:n]))


def test_the_bits_are_near_the_entropy_of_the_data() -> None:
    values = _signal(20_000)
    bits = FactorizedCode.fit(values[:10_000]).bits(values[10_000:])
    sigma = np.array([3.0, 40.0])
    gauss = np.log2(sigma * np.sqrt(2 * np.pi * np.e)).sum()
    share = np.unique(values[:, 0], return_counts=True)[1] / len(values)
    entropy = gauss - (share * np.log2(share)).sum()
    assert bits.shape == (10_000,)
    assert entropy - 0.05 <= float(bits.mean()) <= entropy * 1.01


def test_constant_columns_are_almost_free() -> None:
    values = np.full((1000, 50), 7)
    bits = FactorizedCode.fit(values).bits(values)
    assert float(bits.mean()) < 0.05


def test_an_outlier_does_not_widen_a_window() -> None:
    values = np.random.default_rng(0).integers(0, 4, (2000, 1))
    values[0] = 10**15
    code = FactorizedCode.fit(values)
    assert code.frequencies.shape[1] <= 257
    assert float(code.bits(values[1:]).mean()) < 2.03


def test_rare_values_far_apart_are_kept_in_one_window() -> None:
    values = np.random.default_rng(0).integers(0, 10, (2000, 1)) * 300
    code = FactorizedCode.fit(values)
    assert float(code.bits(values).mean()) < np.log2(10) + 0.1
    assert code.encode(values)[0] == 0  # no escapes


def test_escapes_learn_their_size() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**40, (3000, 1))
    bits = FactorizedCode.fit(values[:2000]).bits(values[2000:])
    assert 40 - 0.1 <= float(bits.mean()) <= 41.5


@settings(max_examples=25, deadline=None)
@given(both)
def test_the_bits_of_rows_add_up(data: tuple[list[list[int]], list[list[int]]]) -> None:
    train, test = data
    code = FactorizedCode.fit(np.array(train, np.int64))
    values = np.array(test, np.int64)
    alone = [float(code.bits(row[None])) for row in values]
    np.testing.assert_allclose(code.bits(values).numpy(), alone)
    assert (code.bits(values) > 0).all()


def test_each_flipped_bit_is_refused() -> None:
    values = _signal(40)
    code = FactorizedCode.fit(values)
    for rows in (values[:6], np.concatenate([values[:4], [[10**6, -(2**50), 100]]])):
        stream = code.encode(rows)
        for bit in range(8 * len(stream)):
            damaged = bytearray(stream)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(FileRefused):
                code.decode(bytes(damaged), len(rows))


def test_each_truncation_and_a_wrong_number_of_rows_are_refused() -> None:
    values = np.concatenate([_signal(8), [[10**6, -(2**50), 100]]])
    code = FactorizedCode.fit(values[:8])
    stream = code.encode(values)
    for end in range(len(stream)):
        with pytest.raises(FileRefused):
            code.decode(stream[:end], len(values))
    for n in (0, 1, 8, 10):
        with pytest.raises(FileRefused):
            code.decode(stream, n)
    with pytest.raises(FileRefused):
        code.decode(stream + b"\0", len(values))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=50), st.integers(0, 5))
def test_any_bytes_are_decoded_or_refused(stream: bytes, n: int) -> None:
    code = FactorizedCode.fit([[0, 5], [1, 5], [2, 9]])
    try:
        values = code.decode(stream, n)
    except FileRefused:
        return
    assert values.shape == (n, 2)


def test_a_code_lives_in_a_file_and_another_process_reads_its_streams(tmp_path) -> None:
    values = np.concatenate([_signal(500), [[10**6, -(2**50), 100]]])
    code = FactorizedCode.fit(values)
    save_file(code.to_tensors(), tmp_path / "code.safetensors")
    (tmp_path / "stream").write_bytes(code.encode(values))
    script = (
        "import sys; from pathlib import Path; from safetensors.torch import load_file; "
        "from narrows.functional.coder import FactorizedCode; folder = Path(sys.argv[1]); "
        "code = FactorizedCode.from_tensors(load_file(folder / 'code.safetensors')); "
        "print(code.decode((folder / 'stream').read_bytes(), 501).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(values.tolist())
    again = FactorizedCode.from_tensors(load_file(tmp_path / "code.safetensors"))
    assert again.encode(values) == code.encode(values)


def test_a_stream_written_once_decodes_for_ever() -> None:
    """The format: a change that breaks stored streams must not pass unseen."""
    code = FactorizedCode.fit([[0, 7], [1, 7], [0, 8]])
    values = [[1, 7], [0, -(2**40)], [0, 8]]
    stream = bytes.fromhex("0107000a97adba3db70000000007584662be00365be21d4a49")
    assert code.encode(values) == stream
    assert code.decode(stream, 3).tolist() == values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("offset", torch.zeros(3, dtype=torch.int64)),
        ("offset", torch.zeros(2)),
        ("offset", torch.full((2,), _MOST)),
        ("frequencies", torch.tensor([[65535, 1, 0], [65534, 1, 0]])),
        ("frequencies", torch.tensor([[65535, 0, 1], [65535, 0, 1]])),
        ("frequencies", torch.tensor([[65536, 0, 0], [65536, 0, 0]])),
        ("frequencies", torch.tensor([[0, 65535, 1], [0, 65535, 1]])),
        ("frequencies", torch.full((2, 3), 0.5)),
        ("kinds", torch.full((64,), 1024)),
        ("kinds", torch.cat([torch.full((127,), 516), torch.tensor([4])]) * 0),
        ("kinds", torch.tensor([65536])),
    ],
)
def test_tables_that_are_none_are_refused(name: str, value: torch.Tensor) -> None:
    tensors = FactorizedCode.fit([[0, 5], [1, 5], [2, 9]]).to_tensors()
    with pytest.raises(FileRefused, match="code"):
        FactorizedCode.from_tensors(tensors | {name: value})
    del tensors[name]
    with pytest.raises(FileRefused, match=f"found no .'{name}'"):
        FactorizedCode.from_tensors(tensors)


def test_bad_values_are_named() -> None:
    code = FactorizedCode.fit([[0, 5], [1, 5]])
    for call in (FactorizedCode.fit, code.encode, code.bits):
        with pytest.raises(InvalidType, match="values"):
            call(torch.zeros(2, 2))
        with pytest.raises(InvalidInput, match="values: found shape"):
            call(np.zeros(2, int))
    for call in (code.encode, code.bits):
        with pytest.raises(InvalidInput, match="values: found shape"):
            call(np.zeros((2, 3), int))
    for shape in ((0, 3), (3, 0)):
        with pytest.raises(InvalidInput, match="values: found shape"):
            FactorizedCode.fit(np.zeros(shape, int))
    with pytest.raises(InvalidInput, match="n_rows"):
        code.decode(b"", -1)
