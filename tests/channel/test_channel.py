"""The channel: streams that come back whole, as long as the prior says, on any machine."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from narrows.channel import Channel, QuantizingBottleneck
from narrows.data import load
from narrows.errors import FileRefused, InvalidInput
from narrows.method import from_pretrained
from narrows.reading import Reading


@cache
def fitted() -> Channel:
    data = load("digit_pairs", seed=0, sizes=(600, 150, 150), task="parity")
    return Channel(units=6, epochs=4).fit(data)


def digits() -> torch.Tensor:
    return load("digit_pairs", seed=0, sizes=(600, 150, 150), task="parity").test.x


def ready(units: int = 3, reach: int = 20) -> QuantizingBottleneck:
    layer = QuantizingBottleneck(4, units, reach=reach).eval()
    layer.update(torch.zeros(1, units))
    return layer


symbols = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=7).map(lambda s: (*s[:-1], 3)),
    elements=st.integers(-(2**20), 2**20).map(float),
)


@settings(deadline=None)
@given(symbols)
def test_any_whole_numbers_come_back_from_the_stream(units: np.ndarray) -> None:
    layer = ready()
    back = layer.unpack(layer.pack(Reading(torch.tensor(units))))
    assert torch.equal(back.units, torch.tensor(units))


def test_the_stream_is_as_long_as_the_rate_says() -> None:
    model, x = fitted().model_, digits()
    reading = model.read(x)
    bits = 8 * model.bottleneck.pack(reading)["stream"].numel()
    ideal = float(reading.rate.sum()) / math.log(2)
    # The tables keep a share for escapes and round to 1/65536: a per cent beside the coder's own.
    assert bits <= 1.011 * ideal + 64
    assert bits >= 0.9 * ideal - 64


def test_the_rate_is_the_mass_of_the_prior_between_the_half_integers() -> None:
    model, x = fitted().model_, digits()[:20]
    reading, prior = model.read(x), model.bottleneck.prior.double()
    units = reading.units.double()
    with torch.no_grad():
        mass = prior.cumulative(units + 0.5) - prior.cumulative(units - 0.5)
    prior.float()
    assert torch.allclose(reading.rate.double(), -mass.log().sum(1), rtol=1e-3, atol=1e-3)


def test_a_dearer_rate_gives_fewer_bits() -> None:
    data = load("digit_pairs", seed=0, sizes=(600, 150, 150), task="parity")
    rates = [
        float(
            Channel(units=6, encoder="mlp", epochs=60, lr=0.01, rate_weight=w)
            .fit(data)
            .read(data.test)
            .rate.mean()
        )
        for w in (1e-4, 1.0)
    ]
    assert rates[1] < 0.5 * rates[0]


def test_a_saved_receiver_reads_an_older_stream(tmp_path: Path) -> None:
    sender, receiver = fitted().model_.split()
    message = sender(digits())
    fitted().save_pretrained(tmp_path)
    _, again = from_pretrained(tmp_path).model_.split()
    assert torch.equal(again(message).prediction, receiver(message).prediction)


def test_equal_priors_make_equal_tables() -> None:
    torch.random.set_rng_state(state := torch.random.get_rng_state())
    one = ready()
    torch.random.set_rng_state(state)
    two = ready()
    assert torch.equal(one.frequencies, two.frequencies)
    assert (one.frequencies.sum(1) == 2**16).all()


def test_damaged_messages_are_refused() -> None:
    sender, receiver = fitted().model_.split()
    message = sender(digits()[:5])
    for at in range(0, len(message), 7):
        broken = bytearray(message)
        broken[at] ^= 0x10
        with pytest.raises(FileRefused):
            receiver(bytes(broken))


def test_a_stream_for_other_tables_is_refused_or_differs() -> None:
    sent = ready(units=3).pack(Reading(torch.ones(4, 3)))
    with pytest.raises(FileRefused):
        ready(units=5).unpack(sent)


@pytest.mark.parametrize(
    "changes",
    [
        {"batch": torch.tensor([-1])},
        {"batch": torch.tensor([5])},
        {"batch": torch.tensor([2, 2, 2**30])},
        {"batch": torch.tensor([2**62])},
        {"batch": torch.tensor(4)},
        {"batch": torch.tensor([4.0])},
        {"stream": torch.tensor([300, 1, 2])},
        {"stream": torch.tensor([0.5])},
        {"stream": torch.zeros(0, dtype=torch.uint8)},
        {"stream": torch.zeros(2, 2, dtype=torch.uint8)},
    ],
    ids=str,
)
def test_crafted_messages_are_refused(changes: dict[str, torch.Tensor]) -> None:
    layer = ready()
    sent = dict(layer.pack(Reading(torch.ones(4, 3)))) | changes
    with pytest.raises(FileRefused):
        layer.unpack(sent)


def test_fractions_are_refused_by_name() -> None:
    layer = ready()
    reading = layer.read(torch.zeros(2, 4))
    with pytest.raises(InvalidInput, match=r"known\['s1'\]: found a fraction, wanted whole"):
        layer.condition(reading, {"s1": 0.5})
    with pytest.raises(InvalidInput, match=r"known\['s2'\]: found a number beyond"):
        layer.condition(reading, {"s2": -(2.0**21)})


def test_a_correction_is_written_priced_and_sent() -> None:
    layer = ready()
    reading = layer.read(torch.zeros(2, 4))
    corrected = layer.condition(reading, {"s1": 60.0})
    assert corrected.units[:, 1].eq(60).all()
    assert torch.equal(corrected.units[:, ::2], reading.units[:, ::2])
    assert (corrected.rate > reading.rate).all()  # 60 is far from the centre
    sent = layer.unpack(layer.pack(corrected))
    assert torch.equal(sent.units, corrected.units)
    assert torch.equal(sent.rate, corrected.rate)
    assert torch.equal(layer.write(sent), layer.write(corrected))


def test_training_noise_is_uniform_and_evaluation_has_none() -> None:
    layer = QuantizingBottleneck(4, 2)
    h = torch.zeros(20_000, 4)
    noise = layer.train().read(h).units - layer.linear(h) * layer.gain.exp()
    assert noise.abs().max() <= 0.5 + 1e-5
    assert noise.var().item() == pytest.approx(1 / 12, rel=0.05)
    assert torch.equal(layer.eval().read(h).units, layer.read(h).units.round())


def test_a_channel_that_was_not_made_ready_says_so() -> None:
    layer = QuantizingBottleneck(4, 2).eval()
    with pytest.raises(InvalidInput, match="update"):
        layer.pack(layer.read(torch.zeros(1, 4)))
