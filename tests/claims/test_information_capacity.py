"""The toy series of the claims train as they say, and judging them can say no."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import torch

from narrows.claims import information_capacity as claims
from narrows.claims.claim import UNTESTED
from narrows.measure.language import CapacityReport
from narrows.measure.language.shipped_texts import ShippedText, shipped_texts

SETTINGS = {"max_tokens": 128, "bias": 0.0, "weighting": "tokens", "texts": "same"}


def report(log2_flops: float, gain: float, text: float = 24.0) -> CapacityReport:
    row = (1.0, 10.0, 10 * text, 10 * (text - gain), text, gain, gain**2)
    return CapacityReport(2.0**log2_flops, (row, row), True, SETTINGS)


def test_judging_says_yes_to_a_line_and_no_to_its_reverse() -> None:
    good = [report(x, 0.5 * x) for x in (16, 17, 18, 19)]
    worse = [report(x, 0.5 * x - 4, 16.0) for x in (15, 16, 17, 18)]
    yes = claims.judged(good, worse)
    assert yes["falls_with_size"] == pytest.approx(0.5 / 3)  # of 24 bits, 3 bytes
    assert yes["linear"] == pytest.approx(1.0)
    assert yes["within_between"] < 0.1
    assert yes["worse_tokenizer"] > 0.2
    assert yes["predicts"] == pytest.approx(0.0, abs=1e-9)
    no = claims.judged([report(x, g) for x, g in zip((16, 17, 18, 19), (9, 7, 10, 8), strict=True)],
                       [report(x, 0.5 * x + 4) for x in (15, 16, 17, 18)])  # fmt: skip
    assert no["falls_with_size"] < 0
    assert no["linear"] < 0.9
    assert no["worse_tokenizer"] < 0
    assert no["predicts"] > 0.5


def test_modules_held_out_are_not_trained_on() -> None:
    pool = [ShippedText(f"m{i % 40}", f"text {i} " * 10) for i in range(400)]
    one = claims.draw_texts(pool, 1)
    held = {t.module for t in pool if t.text in set(one.test)}
    assert len(held) == 4
    assert not held & {t.module for t in pool if t.text in set(one.train)}
    assert claims.draw_texts(pool, 1) == one != claims.draw_texts(pool, 2)


def test_a_short_run_learns_and_gives_every_claim_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("transformers", reason="trains its models")
    pytest.importorskip("tokenizers")
    monkeypatch.setattr(claims, "WIDTHS", (16, 24, 32))
    monkeypatch.setattr(claims, "VOCABULARIES", (400, 300))
    monkeypatch.setattr(claims, "TRAIN_BYTES", 20_000)
    monkeypatch.setattr(claims, "TEST_TEXTS", 10)
    pool, _ = shipped_texts(["sklearn"])
    values: dict[str, list[float]] = defaultdict(list)
    rows: Any = defaultdict(lambda: defaultdict(list))
    claims._measure(claims.draw_texts(pool, 0), 0, values, rows)
    assert set(values) == {claim.key for claim in claims.CLAIMS}
    assert all(len(v) == 1 and math.isfinite(v[0]) for v in values.values())
    trained, untrained = rows["400 tokens, 32 units"], rows["400 tokens, 32 units, untrained"]
    assert trained["NLL"][0] < untrained["NLL"][0] - 0.5
    assert untrained["NLL"][0] == pytest.approx(math.log2(400), abs=0.1)
    assert 1 < rows["xz of the test texts"]["bits a byte"][0] < 5
    assert rows["400 tokens, token frequencies"]["NLL"][0] < math.log2(400)


def test_a_model_is_the_same_for_a_seed_whatever_ran_before() -> None:
    pytest.importorskip("transformers", reason="makes its models")
    a = claims.untrained(16, 300, 1)
    torch.randn(3, generator=torch.Generator().manual_seed(5))
    b, c = claims.untrained(16, 300, 1), claims.untrained(16, 300, 2)
    same = [torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True)]
    assert all(same)
    first = next(iter(a.parameters()))
    assert not torch.equal(first, next(iter(c.parameters())))
    assert float(first.detach().std()) == pytest.approx(0.02, rel=0.1)


def test_the_frequencies_row_is_the_entropy_of_the_counts() -> None:
    pytest.importorskip("transformers", reason="makes its models")
    pytest.importorskip("tokenizers")
    texts = ["the cat and the dog " * 5, "a dog and a cat " * 5]
    tokenizer = claims.train_tokenizer(texts, 270)
    stream = torch.tensor(tokenizer(texts[0] * 4)["input_ids"])[:128].view(1, -1)
    found = claims._by_frequency(stream, claims.untrained(16, 270, 0), tokenizer, texts)
    counts = np.bincount(stream.flatten().numpy(), minlength=len(tokenizer)) + 1.0
    ids = [i for t in texts for i in tokenizer(t)["input_ids"][1:]]
    wanted = -np.log2(counts / counts.sum())[ids].mean()
    assert found.nll_bits_per_token == pytest.approx(wanted, rel=1e-5)


def test_sizes_without_models_and_missing_packages_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "must be brought" in claims.run("gpu", 3).reasons["linear"]
    monkeypatch.setattr(claims.importlib.util, "find_spec", lambda name: None)
    evidence = claims.run("small", 3)
    assert "narrows[embed]" in evidence.reasons["linear"]
    assert claims.CLAIMS[0].verdict([]) == UNTESTED


def test_a_capacity_with_another_bias_is_the_papers_quotient() -> None:
    one = report(20, 10.0)
    assert claims._capacity(one, -4.0) == pytest.approx(6 / 20)
    assert dataclasses.replace(one).value == pytest.approx(10 / 20)
