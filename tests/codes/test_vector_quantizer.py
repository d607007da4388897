"""The vector quantiser against its published update, alone and as two processes."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from narrows.codes import VectorQuantizer
from narrows.errors import InvalidInput
from narrows.heads import LinearHead
from narrows.model import NarrowModel


def _rows(seed: int, n: int, dim: int = 3) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def _warm(codes: int = 5, dim: int = 3, **kwargs) -> VectorQuantizer:
    """A quantiser with all codes alive, so that nothing is moved at random."""
    layer = VectorQuantizer(dim, codes, **kwargs).train()
    layer.codebook.copy_(_rows(99, codes, dim))
    layer.counts.fill_(4.0)
    layer.sums.copy_(layer.codebook * 4.0)
    return layer


def test_in_evaluation_a_vector_becomes_the_nearest_code() -> None:
    layer, h = _warm().eval(), _rows(0, 40)
    gaps = ((h.numpy()[:, None].astype(float) - layer.codebook.numpy()) ** 2).sum(2)
    reading = layer.read(h)
    assert reading.indices[:, 0].tolist() == gaps.argmin(1).tolist()
    assert torch.equal(layer.write(reading), layer.codebook[reading.indices[:, 0]])
    assert reading.context == {}
    assert reading.penalty == 0


def test_ties_go_to_the_lowest_code() -> None:
    layer = VectorQuantizer(1, 3).eval()
    layer.codebook.copy_(torch.tensor([[1.0], [-1.0], [1.0]]))
    assert layer.read(torch.tensor([[0.0], [3.0]])).indices.tolist() == [[0], [0]]


def test_the_gradient_passes_straight_through_beside_the_commitment() -> None:
    layer, h = _warm(commitment=0.25), _rows(0, 8).requires_grad_()
    weight = _rows(1, 8)
    reading = layer.read(h)
    z = layer.write(reading)
    assert torch.equal(z, layer.codebook[reading.indices[:, 0]])
    (z * weight).sum().backward(retain_graph=True)
    assert torch.equal(h.grad, weight)
    h.grad = None
    reading.penalty.backward()
    expected = 0.25 * 2 * (h - z).detach() / h.numel()
    assert torch.allclose(h.grad, expected, atol=1e-7)
    square = (h - z).square().mean().item()
    assert reading.penalty.item() == pytest.approx(0.25 * square)


def test_the_code_book_follows_the_published_moving_averages() -> None:
    layer = _warm(decay=0.9)
    n, m = np.full(5, 4.0), 4.0 * layer.codebook.double().numpy()
    codes = layer.codebook.double().numpy().copy()
    for step in range(6):
        h = _rows(step, 20)
        nearest = ((h.double().numpy()[:, None] - codes) ** 2).sum(2).argmin(1)
        n = 0.9 * n + 0.1 * np.bincount(nearest, minlength=5)
        sums = np.stack([h.double().numpy()[nearest == j].sum(0) for j in range(5)])
        m = 0.9 * m + 0.1 * sums
        codes = m / ((n + 1e-5) / (n.sum() + 5e-5) * n.sum())[:, None]
        layer.read(h)
        np.testing.assert_allclose(layer.codebook.numpy(), codes, rtol=1e-4, atol=1e-5)
    share = n / n.sum()
    expected = math.exp(-(share * np.log(share)).sum())
    assert layer.perplexity() == pytest.approx(expected, rel=1e-4)
    assert int(layer.steps) == 6


def test_evaluation_moves_nothing() -> None:
    layer = _warm().eval()
    before = {name: b.clone() for name, b in layer.named_buffers()}
    layer.read(_rows(0, 20))
    assert all(torch.equal(before[name], b) for name, b in layer.named_buffers())


def test_the_code_book_starts_among_the_data_and_dead_codes_come_back() -> None:
    layer, h = VectorQuantizer(3, codes=8).train(), _rows(0, 100) + 50
    layer.read(h)
    assert torch.cdist(layer.codebook, h).min(1).values.max() < 2
    layer.codebook[2:] = 1e6
    layer.counts[2:], layer.sums[2:] = 0.0, 0.0
    for _ in range(3):
        layer.read(h)
    assert torch.cdist(layer.codebook, h).min(1).values.max() < 2
    assert layer.perplexity() > 5


def test_moves_follow_from_the_seed_and_the_step_alone() -> None:
    books = []
    for seed, noise in ((0, 1), (0, 2), (1, 3)):
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(noise)
            layer = VectorQuantizer(3, codes=8, seed=seed).train()
            state = torch.get_rng_state()
            layer.read(_rows(0, 50))
            assert torch.equal(torch.get_rng_state(), state)
        books.append(layer.codebook)
    assert torch.equal(books[0], books[1])
    assert not torch.equal(books[0], books[2])


def test_it_learns_clusters_inside_an_ordinary_loop() -> None:
    """Eight blobs through a linear encoder and decoder: the error falls to the blobs' own noise."""
    source = torch.Generator().manual_seed(0)
    angle = torch.arange(8) * math.pi / 4
    centres = torch.stack([angle.cos(), angle.sin()], 1)
    x = centres.repeat(40, 1) + 0.03 * torch.randn(320, 2, generator=source)
    layer = VectorQuantizer(2, codes=16, decay=0.9).train()
    encoder, decoder = nn.Linear(2, 2), nn.Linear(2, 2)
    for part in (encoder, decoder):
        nn.init.eye_(part.weight)
        nn.init.zeros_(part.bias)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 0.01)
    for _ in range(150):
        reading = layer.read(encoder(x))
        loss = (decoder(layer.write(reading)) - x).square().mean() + reading.penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    layer.eval()
    with torch.no_grad():
        error = (decoder(layer.write(layer.read(encoder(x)))) - x).square().mean().sqrt()
    assert error < 0.05
    assert layer.perplexity() >= 7.5


def test_rate_correction_and_message() -> None:
    layer = _warm().eval()
    model = NarrowModel(nn.Identity(), layer, LinearHead(3, 2)).eval()
    h = _rows(0, 6)
    assert torch.allclose(model.read(h).rate, torch.full((6,), math.log(5)))
    changed = model.correct(h, {"code 3": 1.0})
    assert torch.allclose(changed.prediction, model.head(layer.codebook[[3] * 6]))
    sender, receiver = model.split()
    assert torch.equal(receiver(sender(h)).prediction, model(h).prediction)
    assert torch.equal(receiver(sender(h)).reading.rate, model.read(h).rate)
    assert (layer.columns, layer.names[4]) == (("code",), "code 4")
    assert model.explain(h).exact


def test_batch_dimensions_are_free() -> None:
    layer, h = _warm().eval(), _rows(0, 12)
    folded = layer.read(h.view(2, 6, 3))
    assert folded.indices.shape == (2, 6, 1)
    assert torch.equal(layer.write(folded).flatten(0, 1), layer.write(layer.read(h)))


def test_two_ranks_hold_the_code_book_of_the_joined_batch(tmp_path) -> None:
    """Each rank reads half of every batch; all live codes must equal one process on the whole."""
    child = Path(__file__).with_name("quantizer_child.py")
    ranks = [subprocess.Popen([sys.executable, child, str(r), tmp_path]) for r in (0, 1)]
    assert [rank.wait(timeout=100) for rank in ranks] == [0, 0]
    alone = _warm(decay=0.8)
    for step in range(5):
        alone.read(_rows(step, 40))
    first, second = (np.load(tmp_path / f"{r}.npy") for r in (0, 1))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, alone.codebook, atol=1e-5)
    revived = [np.load(tmp_path / f"{r}-revived.npy") for r in (0, 1)]
    np.testing.assert_array_equal(*revived)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"dim": 0}, "dim"),
        ({"codes": 0}, "codes"),
        ({"decay": 1.0}, "decay"),
        ({"commitment": -1.0}, "commitment"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        VectorQuantizer(**({"dim": 3} | change))


@pytest.mark.parametrize(
    "bad", [torch.zeros(0, 3), torch.full((2, 3), torch.nan), torch.zeros(2, 4)]
)
def test_rows_it_cannot_learn_from_are_refused_and_nothing_moves(bad: torch.Tensor) -> None:
    layer = _warm()
    before = layer.codebook.clone()
    with pytest.raises(InvalidInput, match="h: found"):
        layer.read(bad)
    assert torch.equal(layer.codebook, before)
