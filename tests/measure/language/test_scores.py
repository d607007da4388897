"""Scores are the log-probabilities of a plain loop, whatever the batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import InvalidInput, InvalidType
from narrows.functional.coder import decode, encode, frequencies
from narrows.measure import score_text
from narrows.measure.language.tokens import Reader
from tiny_language import TEXTS, Bytes, Letters, byte_pairs, fast, llama


def by_loop(model: Any, ids: list[int]) -> float:
    """One text, one position after the other, in float64."""
    total = 0.0
    for end in range(1, len(ids)):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids[:end]])).logits[0, -1].double()
        total += float(logits.softmax(0)[ids[end]].log())
    return total


@pytest.mark.parametrize("mark", [True, False])
def test_it_is_the_loop_over_positions_in_the_order_of_the_texts(mark: bool) -> None:
    tokenizer, model = fast(mark), llama()
    found = list(score_text(model, tokenizer, TEXTS, batch_tokens=64))
    for text, score in zip(TEXTS, found, strict=True):
        ids = tokenizer(text)["input_ids"]
        assert score.tokens == len(ids) - 1
        assert score.log_likelihood == pytest.approx(by_loop(model, ids), rel=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 37, 10**6])
def test_batches_and_padding_change_nothing(batch_tokens: int) -> None:
    one = list(score_text(llama(), fast(True), TEXTS, batch_tokens=1))
    other = list(score_text(llama(), fast(True), TEXTS * 60, batch_tokens=batch_tokens))
    for a, b in zip(one * 60, other, strict=True):
        assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=1e-5)
        assert (a.tokens, a.bytes) == (b.tokens, b.bytes)


def test_logits_beyond_the_vocabulary_are_cut_before_the_softmax() -> None:
    wide = llama(400)

    def narrow(ids: torch.Tensor) -> torch.Tensor:
        return wide(input_ids=ids).logits[..., :330]

    def loud(ids: torch.Tensor) -> torch.Tensor:
        logits = wide(input_ids=ids).logits.clone()
        logits[..., 330:] = 50.0
        return logits

    wanted = [s.log_likelihood for s in score_text(narrow, byte_pairs(), TEXTS)]
    found = [s.log_likelihood for s in score_text(loud, byte_pairs(), TEXTS)]
    assert found == pytest.approx(wanted, rel=1e-5)


def test_half_precision_logits_are_summed_in_float32() -> None:
    """Softmax in half precision gives rare tokens 0; here their log-probability is -20."""

    def model(ids: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*ids.shape, 28, dtype=torch.bfloat16)
        logits[..., 1] = 20.0
        return logits

    (score,) = score_text(model, Letters(), ["bcd"], bos="add")
    wanted = -3 * math.log(27 + math.exp(20.0))
    assert score.log_likelihood == pytest.approx(wanted, rel=1e-6)


def test_a_text_is_decoded_again_from_as_many_bits_as_its_loss_promises() -> None:
    """The library's own entropy coder, driven by the model's probabilities, within 2 bits.

    The coder keeps 52 bits at most for itself (its head and checksum), and its tables are of
    16 bits; what the symbols cost under those tables is what is compared.
    """
    tokenizer, model = fast(True), llama()
    for text, score in zip(TEXTS, score_text(model, tokenizer, TEXTS), strict=True):
        ids = tokenizer(text)["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].double()
        tables = frequencies(logits.softmax(1).numpy())
        symbols, rows = np.array(ids[1:]), np.arange(len(ids) - 1)
        stream = encode(symbols, rows, tables)
        assert tokenizer.decode(decode(stream, rows, tables).tolist()) == text
        bits = -score.log_likelihood / math.log(2)
        slots = tables[rows, symbols].astype(float)
        exact = logits.log_softmax(1)[torch.from_numpy(rows), torch.from_numpy(symbols)]
        rounding = float((-np.log2(slots / 2**16) + exact.numpy() / math.log(2)).sum())
        assert len(stream) * 8 <= bits + rounding + 52 + 0.001 * bits
        assert float(-np.log2(slots / 2**16).sum()) == pytest.approx(bits + rounding, abs=1e-3)


def test_a_coder_of_wide_integers_needs_the_loss_and_two_bits() -> None:
    """An arithmetic coder of unbounded integers, written here, within 2 bits a text."""
    tokenizer, model = fast(True), llama()
    for text, score in zip(TEXTS, score_text(model, tokenizer, TEXTS), strict=True):
        ids = tokenizer(text)["input_ids"]
        with torch.no_grad():
            share = model(input_ids=torch.tensor([ids])).logits[0, :-1].double().softmax(1)
        weights = [[max(int(p * 2**52), 1) for p in row] for row in share.tolist()]
        code, length = _interval_code(ids[1:], weights)
        assert _interval_decode(code, length, weights) == ids[1:]
        assert abs(length + score.log_likelihood / math.log(2)) <= 2.0


def _interval_code(symbols: list[int], weights: list[list[int]]) -> tuple[int, int]:
    """The shortest binary fraction inside the interval of a message, exact."""
    low, width, total = 0, 1, 1
    for symbol, row in zip(symbols, weights, strict=True):
        whole = sum(row)
        low, width, total = (
            low * whole + width * sum(row[:symbol]),
            width * row[symbol],
            total * whole,
        )
    length = 0
    while True:
        length += 1
        code = -(-(low << length) // total)
        if (code + 1) * total <= (low + width) << length:
            return code, length


def _interval_decode(code: int, length: int, weights: list[list[int]]) -> list[int]:
    low, width, total, found = 0, 1, 1, []
    for row in weights:
        whole = sum(row)
        low, total = low * whole, total * whole
        symbol = 0
        while code * total >= (low + width * row[symbol]) << length:
            low += width * row[symbol]
            symbol += 1
        width *= row[symbol]
        found.append(symbol)
    return found


@given(st.text(min_size=2, max_size=60), st.integers(2, 40))
@settings(max_examples=60, deadline=None)
def test_a_cut_text_ends_with_a_whole_character_and_its_bytes_are_counted(
    text: str, most: int
) -> None:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return
    for tokenizer in (byte_pairs(), Bytes()):
        reader = Reader(tokenizer, max(most, 6))
        try:
            document = reader.document(text)
        except InvalidInput:
            assert len(reader.ids(text)) < 2
            continue
        assert len(document.ids) <= max(most, 6)
        whole = tokenizer.decode(list(document.ids))
        first = tokenizer.decode(list(document.ids[:1]))
        if isinstance(tokenizer, Bytes):
            assert raw.startswith(bytes(document.ids))
            assert bytes(document.ids).decode()
            assert document.bytes == len(document.ids) - 1
        else:
            assert text.startswith(whole)
            if "\ufffd" not in first:
                assert document.bytes == len(whole.encode()) - len(first.encode())


def test_the_mark_decides_whether_the_first_token_is_scored() -> None:
    uniform = lambda ids: torch.zeros(*ids.shape, 28)  # noqa: E731  # one expression
    for bos, tokens in (("add", 4), ("none", 3), ("auto", 3)):  # it puts none by itself
        (score,) = score_text(uniform, Letters(), ["abca"], bos=bos)
        assert (score.tokens, score.bytes) == (tokens, tokens)
        assert score.log_likelihood == pytest.approx(-tokens * math.log(28))


def test_memory_does_not_grow_with_the_number_of_texts() -> None:
    """No more than a window of texts is asked for ahead of the results."""
    asked = 0

    def endless() -> Any:
        nonlocal asked
        while True:
            asked += 1
            yield "abc"

    uniform = lambda ids: torch.zeros(*ids.shape, 28)  # noqa: E731  # one expression
    scores = score_text(uniform, Letters(), endless())
    for _ in range(1000):
        next(scores)
    assert asked <= 1000 + 256


def test_a_model_is_left_in_the_mode_it_had() -> None:
    model = llama().train()
    try:
        list(score_text(model, fast(True), TEXTS))
        assert model.training
        assert all(part.training for part in model.modules())
    finally:
        model.eval()


@pytest.mark.parametrize(
    ("texts", "error", "said"),
    [
        ([], None, ""),
        (["abc", ""], InvalidInput, r"texts\[1\]: found an empty text"),
        (["abc", 3], InvalidType, r"texts\[1\]: found int"),
        ("abc", InvalidType, "texts: found str"),
        (5, InvalidType, "texts: found int"),
        (["abc", "a"], InvalidInput, r"texts\[1\]: found 1 tokens in 'a'"),
        (["ab\ud800"], InvalidInput, "half a character at 2"),
    ],
)
def test_texts_that_are_none_are_refused(texts: Any, error: Any, said: str) -> None:
    uniform = lambda ids: torch.zeros(*ids.shape, 28)  # noqa: E731  # one expression
    if error is None:
        assert list(score_text(uniform, Letters(), texts)) == []
        return
    with pytest.raises(error, match=said):
        list(score_text(uniform, Letters(), texts, bos="none"))


@pytest.mark.parametrize(
    ("model", "error", "said"),
    [
        (lambda ids: torch.full((*ids.shape, 28), math.nan), InvalidInput, "nan at row 0"),
        (lambda ids: torch.zeros(*ids.shape, 2), InvalidInput, "token 3, wanted tokens below 2"),
        (lambda ids: torch.zeros(*ids.shape), InvalidInput, r"logits: found shape \(1, 2\)"),
        (lambda ids: torch.zeros(*ids.shape, 28).long(), InvalidType, "an output of torch.int"),
        (lambda ids: "no", InvalidType, "found an output of str"),
        (lambda ids: torch.zeros(*ids.shape, 28).index_fill(2, torch.tensor([2]), -math.inf),
         InvalidInput, "-inf"),
        (7, InvalidType, "model: found int"),
    ],
)  # fmt: skip
def test_models_that_give_no_probabilities_are_refused(model: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        list(score_text(model, Letters(), ["abc"]))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_tokens": 1}, "max_tokens: found 1"),
        ({"max_tokens": True}, "max_tokens: found True"),
        ({"bos": "yes"}, "bos: found 'yes'"),
        ({"batch_tokens": 0}, "batch_tokens: found 0"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        list(score_text(lambda ids: ids, Letters(), ["abc"], **settings))


def test_tokenizers_without_encode_or_a_mark_are_refused() -> None:
    with pytest.raises(InvalidType, match="tokenizer: found no encode"):
        score_text(lambda ids: ids, object(), ["abc"])
    with pytest.raises(InvalidInput, match="bos: found 'add'"):
        score_text(lambda ids: ids, Bytes(), ["abc"], bos="add")
