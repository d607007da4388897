"""The closed form a critic starts from, against the normal densities written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn

from narrows.measure.mi.neural.critics import Concatenated, Separable
from narrows.measure.mi.neural.start import Started, canonical


def drawn(n: int, dx: int, dy: int) -> tuple[np.ndarray, np.ndarray]:
    mixed = np.random.default_rng(0).standard_normal((dx + dy, dx + dy))
    both = np.random.default_rng(1).standard_normal((n, dx + dy)) @ mixed
    both = (both - both.mean(0)) / both.std(0)
    return both[:, :dx], both[:, dx:]


def silent(kind: type, dx: int, dy: int) -> nn.Module:
    critic = kind(1, dx, dy, 4, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for part in critic.parameters():
            part.zero_()
    return critic


@pytest.mark.parametrize("kind", [Separable, Concatenated])
@pytest.mark.parametrize(("dx", "dy"), [(1, 1), (2, 3), (3, 1)])
def test_before_training_scores_are_the_log_ratio_of_the_normal_fit(kind, dx, dy):
    x, y = drawn(200_000, dx, dy)  # so many that shrinking does not show
    rows = [torch.from_numpy(side).float()[None] for side in (x, y)]
    model = Started(silent(kind, dx, dy), *rows)
    joint, product = model(rows[0][:, :6], rows[1][:, :6])
    whole = np.cov(np.concatenate([x, y], 1).T).reshape(dx + dy, dx + dy)

    def ratio(i: int, j: int) -> float:
        both = multivariate_normal.logpdf(np.concatenate([x[i], y[j]]), cov=whole)
        of_x = multivariate_normal.logpdf(x[i], cov=whole[:dx, :dx])
        return float(both - of_x - multivariate_normal.logpdf(y[j], cov=whole[dx:, dx:]))

    for i, partners in enumerate(model.partners(6).tolist()):
        assert float(joint[0, i].detach()) == pytest.approx(ratio(i, i), abs=0.02)
        wanted = [ratio(i, j) for j in partners]
        assert product[0, i].tolist() == pytest.approx(wanted, abs=0.02)


def test_an_offset_is_added_to_every_score():
    rows = [torch.from_numpy(side).float()[None] for side in drawn(500, 2, 2)]
    plain, raised = (Started(silent(Separable, 2, 2), *rows, offset=o) for o in (0.0, 1.0))
    for here, there in zip(plain(*rows), raised(*rows), strict=True):
        assert torch.allclose(here + 1, there, atol=1e-5)


def test_correlations_of_few_rows_are_not_believed():
    rows = torch.randn(2, 3, 40, 5, generator=torch.Generator().manual_seed(0)).unbind()
    assert not canonical(*rows)[2].any()


def test_squared_correlations_are_shrunk_by_chance():
    rows = torch.randn(2, 50, 200, 2, generator=torch.Generator().manual_seed(0)).unbind()
    found, chance = canonical(*rows)[2], 4 / 200
    raw = torch.from_numpy(
        np.stack(
            [
                np.linalg.svd(np.linalg.qr(x)[0].T @ np.linalg.qr(y)[0], compute_uv=False) ** 2
                for x, y in zip(*(side.double().numpy() for side in rows), strict=True)
            ]
        )
    )
    wanted = ((raw - chance) / (1 - chance)).clamp(min=0)
    assert torch.allclose(found, wanted, atol=1e-4)


def test_directions_that_hardly_vary_are_left_to_the_network() -> None:
    source = torch.Generator().manual_seed(0)
    shared = torch.randn(1, 400, 2, generator=source)
    flat = 1e-3 * torch.randn(1, 400, 4, generator=source)
    x = torch.cat([shared, shared @ torch.ones(2, 4) + flat], -1)  # two directions, and dust
    left, _, squared = canonical(x, x + 0.1 * torch.randn(x.shape, generator=source))
    largest = float(torch.linalg.eigvalsh(x[0].T @ x[0] / 400)[-1])
    assert float(torch.linalg.matrix_norm(left[0], 2)) <= (0.01 * largest) ** -0.5
    assert int((squared[0] > 0.5).sum()) == 2
