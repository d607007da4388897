"""Directions in several layers are those of each layer alone, and bad layers are named."""

from __future__ import annotations

import pytest
import torch

from narrows.errors import InvalidInput, InvalidType
from narrows.functional.cav import KINDS
from narrows.functional.cav_layers import fit_layers

NAN = float("nan")


def layers_of(n: int = 60) -> dict[str, torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    return {f"layer {d}": torch.randn(n, d, generator=source) for d in (3, 7, 5)}


def labels(layers: dict[str, torch.Tensor]) -> torch.Tensor:
    c = torch.stack([h[:, 0] > 0.2 for h in layers.values()], 1).float()
    c[::7, 1] = NAN
    return c


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_concept_a_layer_shows_is_found_in_it_and_in_no_other(kind: str) -> None:
    layers = layers_of(600)
    found = fit_layers(layers, labels(layers), kind, cost=1.0)
    assert list(found) == list(layers)
    for i, (name, h) in enumerate(layers.items()):
        assert found[name].vectors.shape == (3, h.shape[1])
        for j in range(3):
            v = found[name].vectors[j]
            share = float(v[0].abs() / v.norm())
            assert (
                share > 0.95 if i == j else float(v.norm()) < float(found[name].vectors[i].norm())
            )


def test_the_order_and_company_of_layers_change_nothing() -> None:
    layers = layers_of()
    c = labels(layers)
    together = fit_layers(layers, c)
    turned = fit_layers(dict(reversed(layers.items())), c)
    for name, h in layers.items():
        alone = fit_layers({name: h}, c)[name]
        assert torch.equal(together[name].vectors, alone.vectors)
        assert torch.equal(turned[name].biases, alone.biases)


def test_settings_reach_every_layer() -> None:
    layers = layers_of()
    c = labels(layers)
    weak, strong = (fit_layers(layers, c, shrinkage=s) for s in (1e-3, 1e3))
    for name in layers:
        assert (weak[name].vectors.norm(dim=1) > 10 * strong[name].vectors.norm(dim=1)).all()


def test_bad_layers_are_named() -> None:
    layers = layers_of()
    c = labels(layers)
    with pytest.raises(InvalidInput, match=r"layers\['short'\]: found 4 rows, wanted 60"):
        fit_layers({**layers, "short": torch.zeros(4, 2)}, c)
    with pytest.raises(InvalidInput, match=r"layers\['holes'\]: found a value that is NaN"):
        fit_layers({**layers, "holes": torch.full((60, 2), NAN)}, c)
    with pytest.raises(InvalidInput, match=r"layers\['flat'\]: found shape \(60,\)"):
        fit_layers({**layers, "flat": torch.zeros(60)}, c)
    with pytest.raises(InvalidType, match=r"layers\['whole'\]: found torch\.int64"):
        fit_layers({**layers, "whole": torch.zeros(60, 2, dtype=torch.long)}, c)
    with pytest.raises(InvalidInput, match="layers: found none"):
        fit_layers({}, c)
    with pytest.raises(InvalidInput, match="kind: found 'cosine'"):
        fit_layers(layers, c, "cosine")
