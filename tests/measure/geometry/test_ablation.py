"""Directions that go are gone, those that stay are untouched, and the model is as before."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure.geometry import (
    CovarianceStream,
    ablate_spectrum,
    leading_directions,
    project,
    spectrum_of,
)
from narrows.measure.watching import watch


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def x() -> Tensor:
    return draw(200, 6) @ draw(6, 6, seed=1) + 3


def test_what_is_kept_is_the_best_approximation_of_that_rank(x) -> None:
    stream = CovarianceStream(6).update(x)
    u, s, v = np.linalg.svd(x.numpy() - x.numpy().mean(0), full_matrices=False)
    best = (u[:, :2] * s[:2]) @ v[:2] + x.numpy().mean(0)
    kept = project(x, stream, keep=2)
    np.testing.assert_allclose(kept, best, atol=1e-9)
    rest = project(x, stream, remove=2)
    torch.testing.assert_close(kept + rest - stream.mean, x)
    values = spectrum_of(x)
    torch.testing.assert_close(spectrum_of(kept)[:2], values[:2])
    torch.testing.assert_close(spectrum_of(rest)[:4], values[2:])


def test_keeping_all_or_removing_none_changes_nothing_and_twice_is_once(x) -> None:
    stream = CovarianceStream(6).update(x)
    torch.testing.assert_close(project(x, stream, keep=6), x)
    torch.testing.assert_close(project(x, stream, remove=0), x)
    torch.testing.assert_close(project(x, stream, keep=0), stream.mean.expand_as(x))
    once = project(x, stream, keep=3)
    torch.testing.assert_close(project(once, stream, keep=3), once)
    basis = leading_directions(stream, 4)
    torch.testing.assert_close(basis.T @ basis, torch.eye(4, dtype=torch.float64))


def test_inside_the_block_the_layer_lacks_directions_and_after_it_nothing(x) -> None:
    with torch.random.fork_rng():
        model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 2)).double()
    with watch(model, "0", into=lambda name: CovarianceStream(5)) as w:
        plain = model(x)
    with ablate_spectrum(model, "0", w["0"], keep=1):
        less = model(x)
    torch.testing.assert_close(less, model[1](project(model[0](x), w["0"], keep=1)))
    torch.testing.assert_close(model(x), plain)
    with pytest.raises(RuntimeError), ablate_spectrum(model, "0", w["0"], keep=1):
        model(draw(3, 4))
    torch.testing.assert_close(model(x), plain)


def test_outputs_that_begin_with_a_tensor_keep_their_form(x) -> None:
    class Pair(nn.Module):
        def forward(self, h: Tensor) -> tuple[Tensor, str]:
            return h, "rest"

    class Text(nn.Module):
        def forward(self, h: Tensor) -> str:
            return "none"

    stream = CovarianceStream(6).update(x)
    model = Pair()
    with ablate_spectrum(model, "", stream, remove=6):
        first, rest = model(x)
    torch.testing.assert_close(first, stream.mean.expand_as(x))
    assert rest == "rest"
    text = Text()
    with pytest.raises(InvalidType), ablate_spectrum(text, "", stream, keep=1):
        text(x)


def test_contradictions_are_refused(x) -> None:
    stream = CovarianceStream(6).update(x)
    for more in ({}, {"keep": 1, "remove": 1}, {"keep": 7}):
        with pytest.raises(InvalidInput):
            project(x, stream, **more)
    with pytest.raises(InvalidInput, match="columns"):
        project(x[:, :3], stream, keep=1)
    with pytest.raises(UnknownName), ablate_spectrum(nn.Linear(2, 2), "head", stream, keep=1):
        pass
