"""Autoencoders keep what bends, train as a plain loop does, and leave no trace."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from narrows.errors import InvalidInput, NarrowsError
from narrows.measure import mutual_information
from narrows.measure.mi.compression import (
    AutoencoderCompressor,
    Compressor,
    FittedCompressor,
    PCACompressor,
    compressed_mi,
    relative_error,
)
from narrows.measure.mi.known.images import blob


def curve(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A bent line in six dimensions, on which one principal component must fail; and its place."""
    place = np.random.default_rng(seed).random(n)
    at = place[:, None] * np.arange(1, 4) * 2
    return np.concatenate([np.cos(at), np.sin(at)], axis=1), place


def test_on_a_bent_line_it_keeps_what_principal_components_lose() -> None:
    """The anti-PCA case: one number tells the place on the curve, no linear one does."""
    train, (x, place) = curve(2000, 0)[0], curve(2000, 1)
    y = place[:, None] + 0.05 * np.random.default_rng(2).standard_normal((2000, 1))
    truth = mutual_information(place, y, "ksg").value
    fitted = AutoencoderCompressor(1, hidden=32, epochs=60, rate=1e-2, loss="l2").fit(train)
    kept = compressed_mi(x, y, compress_x=fitted, estimator="ksg")
    linear = compressed_mi(x, y, compress_x=PCACompressor(1), estimator="ksg")
    assert kept.reconstruction_error["x"] < 0.05 < 0.3 < linear.reconstruction_error["x"]
    assert kept.value == pytest.approx(truth, abs=0.05)
    assert linear.value < truth - 0.2


def test_the_same_seed_gives_the_same_and_global_generators_stay() -> None:
    x = np.random.default_rng(0).random((100, 6))
    before = torch.random.get_rng_state()
    one, same = (AutoencoderCompressor(2, epochs=3).fit(x).encode(x) for _ in range(2))
    other = AutoencoderCompressor(2, epochs=3, seed=1).fit(x).encode(x)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.no_grad():
        assert np.array_equal(AutoencoderCompressor(2, epochs=3).fit(x).encode(x), one)


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 9, 11), (1, 28, 28)])
def test_pictures_go_through_convolutions_and_come_back_in_their_shape(shape) -> None:
    x = np.random.default_rng(0).random((20, *shape))
    fitted = AutoencoderCompressor(3, shape, epochs=1).fit(x)
    codes = fitted.encode(x)
    assert codes.shape == (20, 3)
    assert ((codes > 0) & (codes < 1)).all()
    assert fitted.decode(codes).shape == (20, math.prod(shape))
    convolutions = [m for m in fitted.encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [8, 16, 32]
    assert isinstance(fitted, FittedCompressor)
    assert isinstance(AutoencoderCompressor(3), Compressor)
    assert f"{math.prod(shape)} columns to 3" in repr(fitted)


def test_more_passes_lose_less() -> None:
    x = blob(np.random.default_rng(0).random((300, 2)))
    few, many = (AutoencoderCompressor(2, epochs=e, rate=1e-2, batch=64).fit(x) for e in (1, 25))
    assert relative_error(many, x) < 0.9 * relative_error(few, x)
    assert many.loss < few.loss


def test_of_several_starts_the_one_that_loses_least_is_kept() -> None:
    x = np.random.default_rng(0).random((60, 5))
    one, best = (AutoencoderCompressor(2, epochs=2, starts=n).fit(x) for n in (1, 6))
    assert best.loss < one.loss
    few = [AutoencoderCompressor(2, epochs=2, starts=n).fit(x).loss for n in (1, 2, 3, 4, 5, 6)]
    assert few == sorted(few, reverse=True)
    assert few[-1] == best.loss


def test_settings_and_rows_that_make_no_sense_are_refused() -> None:
    x = np.random.default_rng(0).random((20, 64))
    for match, call in (
        ("k: found 0", lambda: AutoencoderCompressor(0)),
        ("starts", lambda: AutoencoderCompressor(starts=0)),
        ("epochs", lambda: AutoencoderCompressor(epochs=0)),
        ("rate", lambda: AutoencoderCompressor(rate=math.nan)),
        ("loss", lambda: AutoencoderCompressor(loss="l3")),
        ("shape", lambda: AutoencoderCompressor(shape=(1, 4, 4))),
        ("at most the 64", lambda: AutoencoderCompressor(65).fit(x)),
        ("more than k", lambda: AutoencoderCompressor(4).fit(x[:4])),
        ("81 of shape", lambda: AutoencoderCompressor(4, (1, 9, 9)).fit(x)),
        ("all alike", lambda: AutoencoderCompressor(1).fit(np.ones((9, 3)))),
        ("3 columns", lambda: AutoencoderCompressor(2, epochs=1).fit(x).encode(x[:, :3])),
    ):
        with pytest.raises(InvalidInput, match=match):
            call()
    with pytest.raises(NarrowsError, match="not finite"):
        AutoencoderCompressor(2, epochs=9, rate=1e30, loss="l2").fit(x)
