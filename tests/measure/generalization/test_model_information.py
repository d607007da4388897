"""I(S; theta) against drawn weights and closed forms (check 4 of the method)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import LowRankMultivariateNormal, kl_divergence

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure import SWAG, model_information


def swag(seed: int, shift: float = 0.0, spread: float = 0.3, floor: float = 1e-6) -> SWAG:
    source = torch.Generator().manual_seed(seed)
    found = SWAG(columns=4, floor=floor)
    for _ in range(8):
        moves = spread * torch.randn(6, generator=source)
        found.collect({"enc.weight": shift + moves[:4].reshape(2, 2), "cls.weight": moves[4:]})
    return found


def torchs(one: SWAG, name: str) -> LowRankMultivariateNormal:
    deviations = one.deviations[name].flatten(1).double()
    factor = deviations.T / math.sqrt(2 * (len(deviations) - 1))
    diagonal = one.variance[name].flatten().double() / 2
    return LowRankMultivariateNormal(one.mean[name].flatten().double(), factor, diagonal)


def far(swags: list[SWAG], names: tuple[str, ...]) -> Tensor:
    return torch.tensor(
        [[sum(float(kl_divergence(torchs(a, n), torchs(b, n))) for n in names) for b in swags]
         for a in swags]
    )  # fmt: skip


SWAGS = [swag(seed, 0.2 * seed) for seed in range(4)]
ALL, ENCODER = ("enc.weight", "cls.weight"), ("enc.weight",)


def test_swags_alike_have_no_information_in_any_form() -> None:
    for form in ("jensen", "marginal", "pairwise"):
        told = model_information([swag(0), swag(0), swag(0)], form=form)
        assert told.value == pytest.approx(0, abs=1e-6)


def test_the_jensen_form_is_the_mean_divergence_of_unlike_pairs_times_its_factor() -> None:
    wanted = far(SWAGS, ALL)
    unlike = wanted.sum() / (4 * 3)
    told = model_information(SWAGS)
    assert told.value == pytest.approx(float(unlike) * 3 / 4, rel=1e-4)
    assert (told.kind, told.samples, told.ceiling) == ("upper", 4, math.inf)


def test_the_jensen_form_is_that_of_drawn_weights() -> None:
    """E[log q_r - mean_r' log q_r'] over draws, as the paper takes it."""
    source = torch.Generator().manual_seed(0)
    total = []
    for one in SWAGS:
        drawn = one.sample(4000, source)
        logs = torch.stack([other.log_prob(drawn) for other in SWAGS])
        total.append((one.log_prob(drawn) - logs.mean(0)).mean())
    assert model_information(SWAGS).value == pytest.approx(float(sum(total)) / 4, rel=0.03)


def test_only_weights_up_to_the_layer_count() -> None:
    told = model_information(SWAGS, upto="enc")
    assert told.value == pytest.approx(float(far(SWAGS, ENCODER).mean()), rel=1e-4)
    assert told.value <= model_information(SWAGS).value


def test_the_pairwise_form_is_its_definition() -> None:
    wanted = -(torch.exp(-far(SWAGS, ALL)).mean(1).log()).mean()
    told = model_information(SWAGS, form="pairwise")
    assert told.value == pytest.approx(float(wanted), rel=1e-4)
    assert told.ceiling == pytest.approx(math.log(4))


def test_the_marginal_form_lies_under_both_others_and_agrees_with_many_draws() -> None:
    told = {f: model_information(SWAGS, form=f, draws=3000) for f in
            ("marginal", "pairwise", "jensen")}  # fmt: skip
    slack = 0.02
    assert told["marginal"].value <= told["pairwise"].value + slack
    assert told["pairwise"].value <= told["jensen"].value + 1e-9
    source = torch.Generator().manual_seed(1)
    found = []
    for one in SWAGS:
        drawn = one.sample(3000, source)
        logs = torch.stack([other.log_prob(drawn) for other in SWAGS])
        found.append((one.log_prob(drawn) - logs.logsumexp(0) + math.log(4)).mean())
    assert told["marginal"].value == pytest.approx(float(sum(found)) / 4, abs=0.03)


def test_capped_forms_stop_at_the_logarithm_of_the_data_sets_and_say_so() -> None:
    apart = [swag(i, 1000.0 * i) for i in range(3)]
    for form in ("marginal", "pairwise"):
        told = model_information(apart, form=form)
        assert told.value == pytest.approx(math.log(3), abs=1e-9)
        assert "ceiling" in told.warnings[0]
    assert model_information(apart).value > 1e4


def test_seeds_are_averaged_in_the_logarithm() -> None:
    """With two seeds a data set: mean over all pairs less mean over pairs of one data set."""
    table = [[SWAGS[0], SWAGS[1]], [SWAGS[2], SWAGS[3]]]
    pairs = far(SWAGS, ALL)
    own = (pairs[:2, :2].mean() + pairs[2:, 2:].mean()) / 2
    told = model_information(table)
    assert told.value == pytest.approx(float(pairs.mean() - own), rel=1e-3)
    assert (told.kind, told.settings["seeds"]) == ("estimate", 2)
    assert model_information([[one] for one in SWAGS]).value == model_information(SWAGS).value
    capped = model_information(table, form="marginal", draws=50)
    assert capped.value <= math.log(2)


def test_order_of_data_sets_changes_nothing() -> None:
    turned = model_information(SWAGS[::-1]).value
    assert turned == pytest.approx(model_information(SWAGS).value)


def test_weights_at_the_floor_are_told() -> None:
    still = [swag(i, spread=1e-6) for i in range(2)]
    told = model_information(still)
    assert "floor" in told.warnings[0]
    assert told.settings["floor"] == 1e-6


def test_what_is_not_comparable_is_refused() -> None:
    with pytest.raises(InvalidInput, match="1 data sets, wanted 2 or more"):
        model_information([swag(0)])
    with pytest.raises(InvalidInput, match="0 data sets"):
        model_information([])
    with pytest.raises(InvalidInput, match="as many for each"):
        model_information([[swag(0), swag(1)], [swag(2)]])
    with pytest.raises(InvalidInput, match="as many for each"):
        model_information([[], []])
    with pytest.raises(InvalidInput, match="pairwise"):
        model_information([[swag(0), swag(1)]] * 2, form="pairwise")
    with pytest.raises(InvalidInput, match="floor"):
        model_information([swag(0), swag(1, floor=1e-3)])
    other = SWAG()
    other.collect({"enc.weight": torch.zeros(3)})
    with pytest.raises(InvalidInput, match="one kind"):
        model_information([swag(0), other])
    with pytest.raises(InvalidType, match="SWAGs"):
        model_information([["swag"], [swag(0)]])  # type: ignore[list-item]
    with pytest.raises(UnknownName, match="jensen"):
        model_information(SWAGS, form="jenson")
    with pytest.raises(UnknownName, match="'enc'"):
        model_information(SWAGS, upto="encoder")
    with pytest.raises(InvalidInput, match="draws"):
        model_information(SWAGS, form="marginal", draws=0)
