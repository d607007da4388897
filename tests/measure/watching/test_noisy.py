"""Noise before layers: its size, its place, its stream, and that it goes away."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure.watching import NoisyLayers, watch


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.set_rng_state(source(3).get_state())
        return nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.LeakyReLU(), nn.Flatten(), nn.Linear(8, 3), nn.Tanh()
        )


@pytest.mark.parametrize("kind", ["additive", "relative"])
def test_what_comes_in_is_the_input_plus_noise_of_the_stated_size(kind) -> None:
    model, x = net(), torch.rand(4000, 1, 4, 4, generator=source())
    x[:, :, 0] = 0
    noisy = NoisyLayers(model, "0", sigma=0.1, kind=kind, generator=source(1))
    with noisy, watch(model, "0", side="input") as seen:
        y = model(x)
    noise = seen["0"] - x
    assert torch.equal(model(seen["0"]), y)  # the noise is before the layer, and there alone
    assert abs(float(noise[:, :, 0].std()) - (0.1 if kind == "additive" else 0)) < 2e-3
    size = noise[:, :, 1:] / (x[:, :, 1:] if kind == "relative" else 1)
    assert float(size.mean()) == pytest.approx(0, abs=2e-3)
    assert float(size.std()) == pytest.approx(0.1, abs=2e-3)


def test_all_layers_with_weights_by_default_and_nothing_is_left_afterwards() -> None:
    model, x = net().eval(), torch.rand(5, 1, 4, 4, generator=source())
    plain = model(x)
    noisy = NoisyLayers(model, sigma=0.1, generator=source())
    assert noisy.layers == ("0", "3")
    with noisy:
        seen = model(x)
    assert not torch.equal(seen, plain)
    with pytest.raises(RuntimeError), noisy:
        model(x[0, 0, 0])
    assert torch.equal(model(x), plain)
    assert not any(m._forward_pre_hooks for m in model.modules())
    with noisy:  # and again
        assert not torch.equal(model(x), plain)


def test_the_generator_decides_and_looking_does_not_change_how_training_goes_on() -> None:
    x = torch.rand(5, 1, 4, 4, generator=source())

    def train(look: Callable[[nn.Module], None]) -> list[Tensor]:
        model = net().train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with NoisyLayers(model, sigma=0.5, generator=source(7)):
            for _ in range(3):
                look(model)
                model(x).square().sum().backward()
                optimizer.step()
        return [p.detach() for p in model.parameters()]

    def looking(model: nn.Module) -> None:
        model.eval()
        model(x)
        model.train()

    before = torch.random.get_rng_state()
    for a, b in zip(train(lambda _: None), train(looking), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_evaluation_draws_is_not_what_the_seed_beside_it_draws() -> None:
    """A stream by seed plus one would be the data of whoever counts seeds."""
    layer, x = nn.Identity().eval(), torch.zeros(8)
    plain = [torch.randn(8, generator=source(seed)) for seed in range(8)]
    for seed in range(4):
        with NoisyLayers(layer, "", sigma=1.0, generator=source(seed)):
            seen = layer(x)
        assert not any(torch.equal(seen, one) for one in plain)


def test_gradients_pass_as_through_the_input_itself() -> None:
    layer, x = nn.Linear(3, 1, bias=False), torch.ones(1, 3, requires_grad=True)
    with NoisyLayers(layer, "", sigma=0.1, generator=source()):
        layer(x).sum().backward()
    assert torch.equal(x.grad, layer.weight.detach())
    x.grad, drawn = None, torch.randn(1, 3, generator=source())
    with NoisyLayers(layer, "", sigma=0.1, kind="relative", generator=source()):
        layer(x).sum().backward()
    torch.testing.assert_close(x.grad, layer.weight.detach() * (1 + 0.1 * drawn))


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = Keyed()

    def forward(self, x: Tensor) -> Tensor:
        return self.part(scale=2, x=x)


class Keyed(nn.Module):
    def forward(self, scale: int = 1, x: Tensor | None = None) -> Tensor | None:
        return None if x is None else scale * x


def test_an_input_by_name_gets_noise_too_and_one_without_numbers_is_refused() -> None:
    x = torch.zeros(1000, 2)
    with NoisyLayers(Named(), "part", sigma=0.5, generator=source()) as noisy:
        model = noisy._modules["part"]
        assert 0.9 < float(model(scale=2, x=x).std()) < 1.1
        for call in (lambda: model(scale=2), lambda: model("x"), lambda: model(x.long())):
            with pytest.raises(InvalidType, match="layer 'part'"):
                call()


def test_settings_that_make_no_sense_are_refused() -> None:
    model = net()
    for sigma in (0, -1, math.nan, math.inf, True):
        with pytest.raises(InvalidInput, match="sigma"):
            NoisyLayers(model, sigma=sigma, generator=source())
    with pytest.raises(InvalidInput, match="kind"):
        NoisyLayers(model, kind="both", generator=source())
    with pytest.raises(InvalidType, match="generator"):
        NoisyLayers(model, generator=0)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="no dense or convolutional"):
        NoisyLayers(nn.Tanh(), generator=source())
    with pytest.raises(InvalidType, match="model"):
        NoisyLayers("net", generator=source())  # type: ignore[arg-type]
    with pytest.raises(UnknownName):
        NoisyLayers(model, "9", generator=source())
    elsewhere = torch.empty(5, 1, 4, 4, device="meta")
    with NoisyLayers(model, "0", generator=source()), pytest.raises(InvalidInput, match="on meta"):
        model[0](elsewhere)
    noisy = NoisyLayers(model, generator=source())
    with noisy, pytest.raises(InvalidInput, match="inside its own block"):
        noisy.__enter__()
