"""The four-block encoder by its shapes and by what a test example may depend on."""

from __future__ import annotations

import pytest
import torch

from narrows.blueprint import build
from narrows.errors import InvalidInput
from narrows.prototypes import Conv4


@pytest.mark.parametrize(
    ("shape", "features"),
    [((1, 28, 28), 64), ((3, 84, 84), 1600), ((1, 8, 16), 128), ((1, 1, 1), 64), ((2, 1, 9), 576)],
)
def test_features_are_as_many_as_it_says(shape, features: int) -> None:
    encoder = Conv4(shape).eval()
    assert encoder.outputs == features
    assert encoder(torch.zeros(2, *shape)).shape == (2, features)


def test_a_test_example_does_not_depend_on_the_others() -> None:
    source = torch.Generator().manual_seed(0)
    encoder, x = Conv4((1, 8, 16), 8), torch.randn(6, 1, 8, 16, generator=source)
    encoder.train()
    alone_in_training = encoder(x[:2])[0]
    assert not torch.allclose(encoder(x)[0], alone_in_training, atol=1e-3)
    encoder.eval()
    assert torch.allclose(encoder(x)[:1], encoder(x[:1]), atol=1e-6)


def test_each_block_is_convolution_normalisation_relu_pooling() -> None:
    """Against the same blocks written out by hand, in evaluation."""
    source = torch.Generator().manual_seed(0)
    encoder, x = Conv4((1, 16, 16), 4).eval(), torch.randn(3, 1, 16, 16, generator=source)
    state, h = encoder.state_dict(), x
    for block in range(4):
        conv, norm = f"layers.{4 * block}", f"layers.{4 * block + 1}"
        h = torch.conv2d(h, state[f"{conv}.weight"], state[f"{conv}.bias"], padding=1)
        mean, var = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        scale, shift = state[f"{norm}.weight"], state[f"{norm}.bias"]
        view = (1, -1, 1, 1)
        h = (h - mean.view(view)) / (var.view(view) + 1e-5).sqrt() * scale.view(view)
        h = (h + shift.view(view)).relu()
        h = h.unfold(2, 2, 2).unfold(3, 2, 2).amax((-2, -1))
    assert torch.allclose(encoder(x), h.flatten(1), atol=1e-5)


def test_its_description_builds_it_again() -> None:
    encoder = Conv4((1, 8, 16), 8)
    again = build(encoder.describe())
    again.load_state_dict(encoder.state_dict())
    x = torch.ones(2, 1, 8, 16)
    assert torch.equal(again.eval()(x), encoder.eval()(x))


@pytest.mark.parametrize("arguments", [((8, 16),), ((1, 0, 8),), ((1, 8, 8), 0)])
def test_shapes_that_cannot_be_are_refused(arguments) -> None:
    with pytest.raises(InvalidInput, match=r"shape|channels"):
        Conv4(*arguments)
