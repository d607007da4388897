"""RandInt: masks by their rate and mode, and the gradients that are left."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from narrows.concepts import CEM
from narrows.concepts.cem import randint_mask, randint_of
from narrows.data import load
from narrows.heads import LinearHead

from .cem_layers import inputs, labels, layer_of


@cache
def digits():
    return load("digit_pairs", seed=0, sizes=(400, 120, 120))


def test_randint_at_1_trains_the_head_on_true_concepts() -> None:
    """The head's gradient is that of a head on the vectors the truth picks."""
    layer, c, h = layer_of(), labels(), inputs()
    c[2, 1] = torch.nan
    heads = [LinearHead(15, 3).double() for _ in range(2)]
    heads[1].load_state_dict(heads[0].state_dict())
    y = torch.arange(11) % 3
    context = layer.embed(h)
    z = CEM(width=3, randint=1.0)._mix(layer, layer.logits(context), context, c)
    nn.functional.cross_entropy(heads[0](z), y).backward()
    halves = context.detach().view(11, 5, 2, 3)
    p = layer.read(h).units.detach()
    weight = torch.where(c.isnan(), p, c)[..., None]
    picked = weight * halves[:, :, 0] + (1 - weight) * halves[:, :, 1]
    nn.functional.cross_entropy(heads[1](picked.flatten(1)), y).backward()
    assert torch.allclose(heads[0].weight.grad, heads[1].weight.grad, atol=1e-14)
    assert torch.allclose(heads[0].bias.grad, heads[1].bias.grad, atol=1e-14)


def test_a_replaced_concept_sends_gradient_to_the_chosen_vector_only() -> None:
    layer, c = layer_of(), labels()
    context = layer.embed(inputs()).detach().requires_grad_()
    logits = layer.logits(context.detach()).detach().requires_grad_()
    z = CEM(randint=1.0)._mix(layer, logits, context, c)
    z.sum().backward()
    assert logits.grad.eq(0).all()
    on, off = context.grad[..., :3], context.grad[..., 3:]
    assert torch.equal(on, c[..., None].expand_as(on))
    assert torch.equal(off, 1 - on)


def test_randint_at_0_draws_no_number_and_changes_nothing() -> None:
    source = torch.Generator().manual_seed(3)
    before = source.get_state()
    for setting in (0.0, 0, "sample:0", "batch:0.0"):
        assert not randint_mask(labels(), setting, source).any()
    assert torch.equal(source.get_state(), before)
    randint_mask(labels(), 1e-9, source)
    assert not torch.equal(source.get_state(), before)


@pytest.mark.parametrize("p", [0.1, 0.25, 0.9])
def test_masks_have_the_asked_rate_and_their_mode(p: float) -> None:
    rows, k = 4_000, 50
    c = torch.zeros(rows, k)
    source = torch.Generator().manual_seed(4)
    per_example = randint_mask(c, p, source)
    deviation = (p * (1 - p) / (rows * k)) ** 0.5
    assert abs(per_example.double().mean() - p) < 3 * deviation
    by_concept = per_example.double().mean(0)
    assert (by_concept - p).abs().max() < 5 * (p * (1 - p) / rows) ** 0.5
    assert len(per_example.unique(dim=0)) > 1
    masks = torch.stack([randint_mask(c[:4], f"batch:{p}", source) for _ in range(rows)])
    assert torch.equal(masks, masks[:, :1].expand_as(masks))
    assert abs(masks[:, 0].double().mean() - p) < 3 * deviation


@pytest.mark.parametrize("setting", [1.0, "batch:1"])
def test_an_unknown_label_never_replaces_a_prediction(setting: float | str) -> None:
    c = labels()
    c[::2, 3] = torch.nan
    mask = randint_mask(c, setting, torch.Generator())
    assert torch.equal(mask, ~c.isnan())


def test_randint_modes_train_different_models_from_one_start() -> None:
    settings = (0.0, 0.25, "sample:0.25", "batch:0.25")
    none, plain, sample, batch = (
        CEM(width=2, randint=r, epochs=1).fit(digits()).model_.bottleneck.linear.weight
        for r in settings
    )
    assert torch.equal(plain, sample)
    for one, two in ((none, plain), (none, batch), (plain, batch)):
        assert not torch.equal(one, two)


@given(st.floats(0, 1), st.sampled_from(["", "sample:", "batch:"]))
def test_randint_settings_read_back(p: float, mode: str) -> None:
    assert randint_of(f"{mode}{p!r}") == (p, mode == "batch:")
