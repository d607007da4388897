"""Log densities and local information against torch's distributions, written out pair by pair."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Independent, Normal

from narrows.errors import UnknownName
from narrows.measure.generalization import densities
from narrows.measure.generalization.densities import local_information, log_densities


def drawn(seed: int, rows: int = 7, columns: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(seed)
    mean = torch.randn(rows, columns, generator=source, dtype=torch.float64) * 3
    std = torch.rand(rows, columns, generator=source, dtype=torch.float64) + 0.2
    return mean, std, torch.randn(rows, columns, generator=source, dtype=torch.float64)


def by_hand(mean: Tensor, std: Tensor, noise: Tensor, form: str, references: list[int]) -> Tensor:
    found = []
    for i in range(len(mean)):
        z = mean[i] + std[i] * noise[i]
        among = references if i in references else [*references[:-1], i]
        logs = torch.stack([Independent(Normal(mean[j], std[j]), 1).log_prob(z) for j in among])
        own = Independent(Normal(mean[i], std[i]), 1).log_prob(z)
        marginal = logs.exp().mean().log() if form == "marginal" else logs.mean()
        found.append(own - marginal)
    return torch.stack(found)


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_log_density_is_torchs_own(seed: int) -> None:
    mean, std, noise = drawn(seed)
    wanted = Normal(mean, std).log_prob(noise[:, None]).sum(-1)
    assert torch.allclose(log_densities(noise, mean, std), wanted, atol=1e-10)


@given(st.integers(0, 10**6), st.sampled_from(densities.FORMS))
@settings(max_examples=20, deadline=None)
def test_local_information_is_the_formula_written_out(seed: int, form: str) -> None:
    mean, std, noise = drawn(seed)
    chosen = torch.randperm(7, generator=torch.Generator().manual_seed(seed))[:4]
    for references in (chosen, torch.arange(7)):
        found = local_information(mean, std, noise, form, references)
        wanted = by_hand(mean, std, noise, form, references.tolist())
        assert torch.allclose(found, wanted, atol=1e-9)


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_no_row_passes_the_ceiling_and_the_jensen_form_is_never_below(seed: int) -> None:
    mean, std, noise = drawn(seed, rows=9)
    marginal = local_information(mean, std, noise)
    assert (marginal <= math.log(9) + 1e-9).all()
    assert (local_information(mean, std, noise, "jensen") >= marginal - 1e-9).all()


def test_several_nets_at_once_are_each_of_them_alone() -> None:
    nets = [drawn(seed) for seed in range(3)]
    mean, std, noise = (torch.stack(part) for part in zip(*nets, strict=True))
    for form in densities.FORMS:
        together = local_information(mean, std, noise, form)
        alone = torch.stack([local_information(*net, form) for net in nets])
        assert torch.allclose(together, alone, atol=1e-10)


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    mean, std, noise = drawn(3, rows=23)
    whole = local_information(mean, std, noise, references=torch.arange(5, 15))
    monkeypatch.setattr(densities, "_NUMBERS", 40)
    pieces = local_information(mean, std, noise, references=torch.arange(5, 15))
    assert torch.allclose(whole, pieces, atol=1e-12)


@pytest.mark.parametrize("form", densities.FORMS)
def test_gradients_are_those_of_finite_differences(form: str) -> None:
    mean, std, noise = drawn(1, rows=5)
    mean.requires_grad_()
    raw = std.log().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda m, r: local_information(m, r.exp(), noise, form), (mean, raw)
    )


def test_a_code_far_from_the_origin_loses_no_digits() -> None:
    mean, std, noise = drawn(2)
    near = local_information(mean, std, noise)
    assert torch.allclose(local_information(mean + 1e6, std, noise), near, atol=1e-5)


def test_another_form_is_refused() -> None:
    with pytest.raises(UnknownName, match="marginal"):
        local_information(*drawn(0), "mean")
