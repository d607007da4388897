"""Capacity in closed form, by a second count, and what must not be compared."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import InvalidInput, InvalidType
from narrows.measure import CapacityReport, decoder_flops, fit_capacity_bias, information_capacity
from tiny_language import TEXTS, Bytes, Letters, byte_pairs, fast, llama

SETTINGS = {"max_tokens": 64, "bias": 0.0, "weighting": "tokens", "texts": "same"}


def uniform(size: int) -> Any:
    return lambda ids: torch.zeros(*ids.shape, size)


def report(log2_flops: float, gain: float, **changes: Any) -> CapacityReport:
    """A report of two documents of ten tokens and eight bits a token."""
    row = (1.0, 10.0, 80.0, 10 * (8 - gain), 8.0, gain, gain**2)
    return CapacityReport(2.0**log2_flops, (row, row), True, SETTINGS | changes)


def test_a_uniform_model_has_its_closed_form() -> None:
    found = information_capacity(
        uniform(28), Letters(), ["some words", "abc"], bias=-1.5, bos="add", flops_per_token=1e6
    )
    assert found.nll_bits_per_token == pytest.approx(math.log2(28), abs=1e-6)
    assert found.text_bits_per_token == 8.0
    assert found.value == pytest.approx((8 - math.log2(28) - 1.5) / math.log2(1e6), abs=1e-7)
    assert found.bits_per_byte == pytest.approx(math.log2(28), abs=1e-6)
    assert found.spread == pytest.approx(0.0, abs=1e-3)


def test_bytes_as_tokens_have_eight_bits_of_text_each() -> None:
    ascii_texts = [text for text in TEXTS if text.isascii()]
    found = information_capacity(uniform(256), Bytes(), ascii_texts, flops_per_token=1e6, bias=0.0)
    assert found.text_bits_per_token == 8.0
    assert found.bits_per_byte == pytest.approx(8.0, abs=1e-5)
    assert found.tokens == sum(len(text) - 1 for text in ascii_texts)
    assert any("no mark" in note for note in found.warnings)


def test_both_weightings_are_a_second_count_of_the_same_sums() -> None:
    model, tokenizer = llama(), fast(True)
    texts, losses, sizes = [], [], []
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"][:20]
        with torch.no_grad():
            share = model(torch.tensor([ids])).logits[0, :-1].double().log_softmax(1)
        losses.append(-float(share[range(len(ids) - 1), ids[1:]].sum()) / math.log(2))
        texts.append(8 * len(tokenizer.decode(ids[1:]).encode()))
        sizes.append(len(ids) - 1)
    assert not any("\ufffd" in tokenizer.decode(tokenizer(t)["input_ids"][:20]) for t in TEXTS)
    flops = decoder_flops(model.config, 20).per_token
    for weighting in ("tokens", "reference"):
        found = information_capacity(model, tokenizer, TEXTS, 20, -2.0, weighting)
        text = sum(texts) / sum(sizes)
        if weighting == "reference":
            text = round(float(np.mean(np.array(texts) / np.array(sizes))), 2)
        loss = sum(losses) / sum(sizes)
        assert found.text_bits_per_token == pytest.approx(text, rel=1e-12)
        assert found.nll_bits_per_token == pytest.approx(loss, rel=1e-5)
        assert found.value == pytest.approx((text - loss - 2) / math.log2(flops), rel=1e-5)
        assert found.bits_per_byte == pytest.approx(8 * sum(losses) / sum(texts), rel=1e-5)
        own = np.array(texts) / sizes - np.array(losses) / sizes
        assert found.spread == pytest.approx(own.std(), rel=1e-4)


def test_texts_twice_change_no_quantity() -> None:
    names = ("value", "text_bits_per_token", "nll_bits_per_token", "gain", "bits_per_byte",
             "flops_per_token", "spread")  # fmt: skip
    once, twice = (information_capacity(llama(), fast(True), TEXTS * n) for n in (1, 2))
    for name in names:
        assert getattr(twice, name) == pytest.approx(getattr(once, name), rel=1e-6), name
    assert twice.tokens == 2 * once.tokens


@pytest.mark.parametrize("weighting", ["tokens", "reference"])
def test_the_error_is_the_spread_over_samples_of_texts(weighting: str) -> None:
    """Documents whose loss a token is random, of random lengths: 300 samples of 200 each."""
    generator = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(300):
        tokens = generator.integers(5, 50, 200).astype(float)
        text = tokens * (8 + generator.normal(0, 1, 200))
        loss = tokens * (4 + generator.normal(0, 1, 200) + 0.02 * tokens)
        gain = (text - loss) / tokens
        rows = np.stack([np.ones(200), tokens, text, loss, text / tokens, gain, gain**2], 1)
        groups = [rows[i::64].sum(0) for i in range(64)]
        one = CapacityReport(2.0**30, tuple(map(tuple, groups)), True,
                             SETTINGS | {"weighting": weighting})  # fmt: skip
        values.append(one.value)
        errors.append(one.stderr)
    # C of the reference is rounded to two decimals, which adds little.
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_a_difference_of_two_models_is_surer_than_each() -> None:
    a = information_capacity(llama(), fast(True), TEXTS * 10)
    b = information_capacity(llama(width=32), fast(True), TEXTS * 10)
    value, error = a.compare(b)
    assert value == pytest.approx(a.value - b.value)
    assert error < math.hypot(a.stderr, b.stderr)
    assert a.compare(a) == (0.0, 0.0)


@pytest.mark.parametrize(
    "changes",
    [{"max_tokens": 12}, {"bias": -3.0}, {"weighting": "reference"}],
)
def test_reports_of_other_settings_or_texts_do_not_compare(changes: dict[str, Any]) -> None:
    a = information_capacity(llama(), fast(True), TEXTS)
    with pytest.raises(InvalidInput, match=f"reports: found {next(iter(changes))}"):
        a.compare(information_capacity(llama(), fast(True), TEXTS, **changes))
    with pytest.raises(InvalidInput, match="reports: found texts"):
        a.compare(information_capacity(llama(), fast(True), TEXTS[::-1]))


def test_a_report_tells_itself_and_as_json() -> None:
    found = information_capacity(llama(), fast(True), TEXTS)
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["value"] == found.value
    assert told["settings"]["bias"] == -24.0
    assert "bias -24" in repr(found)
    assert "fit_capacity_bias" in repr(found)  # -24 is larger than what a tiny model gains
    assert information_capacity(llama(), fast(True), TEXTS[:1]).to_dict()["stderr"] is None


@given(
    st.floats(0.1, 2),
    st.floats(-30, 30),
    st.lists(st.floats(20, 40), min_size=3, max_size=8, unique=True),
)
def test_a_series_on_a_line_gives_the_line(slope: float, bias: float, sizes: list[float]) -> None:
    if np.ptp(sizes) < 0.5:
        return
    series = fit_capacity_bias([report(x, slope * x - bias) for x in sizes])
    assert series.slope == pytest.approx(slope, rel=1e-5, abs=1e-6)
    assert series.bias == pytest.approx(bias, rel=1e-4, abs=1e-3)
    assert np.abs(series.values - slope).max() < 1e-5
    assert np.abs(series.left_out).max() < 1e-4
    assert series.predict_nll(2.0**33) == pytest.approx(8 - slope * 33 + bias, abs=1e-3)


def test_a_noisy_series_is_the_least_squares_line_and_its_siblings_are_predicted() -> None:
    generator = np.random.default_rng(0)
    x = np.linspace(28, 40, 9)
    noise = generator.normal(0, 0.05, 9)
    y = 0.7 * x - 15 + noise
    series = fit_capacity_bias([report(a, b) for a, b in zip(x, y, strict=True)])
    slope, start = np.polyfit(x, y, 1)
    assert (series.slope, -series.bias) == pytest.approx((slope, start))
    assert series.r2 == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
    by_hand = []
    for i in range(9):
        others = np.arange(9) != i
        by_hand.append(y[i] - np.polyval(np.polyfit(x[others], y[others], 1), x[i]))
    assert series.left_out == pytest.approx(by_hand)
    assert float(np.abs(by_hand).mean()) < 2 * 0.05
    assert json.loads(json.dumps(series.to_dict()))["slope"] == series.slope
    assert "9 models" in repr(series)


@pytest.mark.parametrize(
    ("reports", "said"),
    [
        ([report(20, 1)], "found 1, wanted 2"),
        ([report(20, 1), report(20, 2)], "models of one compute"),
        ([report(20, 1), report(21, 2, max_tokens=9)], "max_tokens 64 and 9"),
        ([report(20, 1), dataclasses.replace(
            report(21, 2), groups=((1.0, 10.0, 90.0, 10.0, 9.0, 8.0, 64.0),)
        )], "other tokenizers"),
    ],
)  # fmt: skip
def test_models_that_are_no_series_are_refused(reports: list[CapacityReport], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        fit_capacity_bias(reports)


def test_series_refuse_what_is_no_report_or_no_compute() -> None:
    with pytest.raises(InvalidType, match="reports: found int"):
        fit_capacity_bias([1, 2])  # type: ignore[list-item]
    pair = fit_capacity_bias([report(20, 1, bias=-1.0), report(22, 2, bias=-2.0)])
    with pytest.raises(InvalidInput, match="3 or more"):
        _ = pair.left_out
    for flops in (0.0, math.inf, math.nan):
        with pytest.raises(InvalidInput, match="flops_per_token"):
            pair.predict_nll(flops)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"texts": []}, InvalidInput, "texts: found none"),
        ({"texts": [""]}, InvalidInput, "an empty text"),
        ({"texts": [None]}, InvalidType, "found NoneType"),
        ({"texts": "abc"}, InvalidType, "texts: found str"),
        ({"model": lambda ids: torch.full((*ids.shape, 28), math.nan)}, InvalidInput, "nan"),
        ({"flops_per_token": None}, InvalidInput, "flops_per_token: found None"),
        ({"flops_per_token": 1.0}, InvalidInput, "2 or more"),
        ({"flops_per_token": math.inf}, InvalidInput, "finite"),
        ({"flops_per_token": "many"}, InvalidType, "found str"),
        ({"weighting": "bytes"}, InvalidInput, "weighting: found 'bytes'"),
        ({"bias": math.nan}, InvalidInput, "bias: found nan"),
        ({"bias": "-24"}, InvalidInput, "bias: found '-24'"),
    ],
)
def test_what_cannot_be_measured_is_refused(given: dict[str, Any], error: Any, said: str) -> None:
    whole = {"model": uniform(28), "tokenizer": Letters(), "texts": ["abc"], "flops_per_token": 1e6}
    with pytest.raises(error, match=said):
        information_capacity(**(whole | given))


def test_any_tokenizer_with_encode_and_decode_gives_the_same_bytes() -> None:
    """The Tokenizers library's own object, the Transformers library's, and a bare pair."""

    class Bare:
        def encode(self, text: str) -> list[int]:
            return byte_pairs().encode(text).ids

        def decode(self, ids: list[int]) -> str:
            return byte_pairs().decode(ids)

    found = [
        information_capacity(llama(), tokenizer, TEXTS, 24, bos="none")
        for tokenizer in (byte_pairs(), fast(False), Bare())
    ]
    assert len({one.text_bits_per_token for one in found}) == 1
    assert len({one.tokens for one in found}) == 1
