"""What the claims of post-hoc concept bottlenecks are measured on: corners, captions, kinds."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import roc_auc_score

from narrows.claims import pcbm
from narrows.claims.pcbm import CORNER, Towers, painted
from narrows.data import Concepts, Examples


def pictures(n: int = 400) -> Examples:
    """Half of them light up at the bottom, which is their one concept; classes are drawn."""
    source = torch.Generator().manual_seed(0)
    x = 0.3 * torch.rand(n, 1, 8, 8, generator=source)
    low = torch.arange(n) % 2 == 0
    x[low, :, 6:] = 0.9
    y = torch.randint(4, (n,), generator=source)
    return Examples(x, y, low.float()[:, None], ("a", "b", "c", "d"), Concepts(("low light",)))


@pytest.mark.parametrize("tied", [0.05, 0.5, 0.95])
def test_a_corner_is_what_its_concept_says_and_tells_the_class_as_often_as_asked(
    tied: float,
) -> None:
    rows = pictures(2_000)
    before = rows.x.clone()
    made = painted(rows, tied, torch.Generator().manual_seed(1))
    said = made.c[:, made.concepts.index(CORNER)]
    assert torch.equal(made.x[:, 0, :4, :4], said[:, None, None].expand(-1, 4, 4))
    agrees = (said == 1) == (rows.y < 2)
    assert abs(float(agrees.double().mean()) - tied) < 5 * 0.5 / 2_000**0.5
    assert torch.equal(made.x[:, :, 4:], rows.x[:, :, 4:])
    assert torch.equal(made.x[:, :, :, 4:], rows.x[:, :, :, 4:])
    assert torch.equal(rows.x, before)


def test_words_find_the_pictures_they_describe_among_others_than_they_were_learned_from() -> None:
    rows = painted(pictures(), 0.5, torch.Generator().manual_seed(1))
    towers = Towers(rows[:300], 0)
    bank = towers.text_bank()
    assert bank.names == ("low light", CORNER)
    assert bank.unit_norm
    distances = bank.distances(towers.see(rows.x[300:]))
    for j in range(2):
        assert roc_auc_score(rows.c[300:, j].numpy(), distances[:, j].numpy()) > 0.9


def test_a_concept_needs_as_many_examples_of_each_kind_as_all_others() -> None:
    rows = painted(pictures(), 0.5, torch.Generator().manual_seed(1))
    c = rows.c.clone()
    c[50:, 1] = 0.0
    kept = pcbm._sets(Examples(rows.x, rows.y, c, rows.classes, rows.concepts))
    assert list(kept) == ["low light"]
    positive, negative = kept["low light"]
    assert len(positive) == len(negative) == 100
    assert (positive[:, :, 6:] == rows.x[0, 0, 6, 0]).all()
    assert (negative[:, :, 6:] < 0.5).all()


@pytest.mark.parametrize("size", ["gpu", "full"])
def test_sizes_without_data_say_why_for_every_claim(size: str) -> None:
    evidence = pcbm.run(size, 5)
    assert not evidence.values
    assert set(evidence.reasons) == {claim.key for claim in pcbm.CLAIMS}
