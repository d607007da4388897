"""Codes are the non-negative least-squares ones, and planted atoms are found again."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from narrows.errors import InvalidInput, InvalidType
from narrows.measure.complexity import (
    FeatureDictionary,
    dictionary_stability,
    feature_dictionary,
    nonnegative_codes,
)


def planted(n: int = 300, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    atoms = np.eye(4, 9) + np.eye(4, 9, 4)
    codes = rng.exponential(size=(n, 4)) * (rng.random((n, 4)) < 0.5)
    return torch.tensor(codes @ atoms), torch.tensor(codes), torch.tensor(atoms)


def test_codes_are_the_best_over_all_active_sets() -> None:
    rng = np.random.default_rng(1)
    atoms, a = rng.random((4, 3)), rng.standard_normal((12, 3)) + 0.5
    found = nonnegative_codes(a, atoms).numpy()
    assert (found >= 0).all()
    for row, code in zip(a, found, strict=True):
        least = float(row @ row)
        for size in range(1, 4):
            for active in itertools.combinations(range(4), size):
                z = np.linalg.lstsq(atoms[list(active)].T, row, rcond=None)[0]
                if (z >= 0).all():
                    least = min(least, float(((row - z @ atoms[list(active)]) ** 2).sum()))
        assert float(((row - code @ atoms) ** 2).sum()) == pytest.approx(least, abs=1e-9)


def test_planted_atoms_are_found_again_and_explain_all() -> None:
    a, _, atoms = planted()
    found = feature_dictionary(a, 4)
    assert dictionary_stability(atoms, found.atoms).min() > 0.99
    assert found.r2 > 0.999
    torch.testing.assert_close(found.atoms.norm(dim=1), torch.ones(4).double())
    Z, D = found
    torch.testing.assert_close(Z @ D, a, atol=0.05, rtol=0.05)
    new, codes, _ = planted(50, seed=9)
    encoded = found.encode(new)
    torch.testing.assert_close(encoded @ D, new, atol=0.05, rtol=0.05)
    # The codes themselves up to the order of the atoms.
    assert dictionary_stability(codes.T, encoded.T).min() > 0.99


def test_with_labels_each_class_has_atoms_of_its_own() -> None:
    a, _, _ = planted()
    labels = np.array(["x", "y"])[(np.arange(300) % 2)]
    found = feature_dictionary(a, 8, labels=labels)
    assert found.classes == ("x",) * 4 + ("y",) * 4
    assert found.codes.shape == (300, 8)
    own = feature_dictionary(a[labels == "y"], 4)
    torch.testing.assert_close(found.atoms[4:], own.atoms)


def test_more_atoms_than_units_are_possible_and_codes_stay_sparse() -> None:
    a = torch.rand(80, 3, generator=torch.Generator().manual_seed(0))
    found = feature_dictionary(a, 7, max_iter=2000)
    assert found.r2 > 0.99
    assert (found.codes > 0).sum(1).max() <= 3


def test_stability_matches_one_to_one_and_ignores_order_and_scale() -> None:
    atoms = torch.rand(5, 8, generator=torch.Generator().manual_seed(0))
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(
        dictionary_stability(atoms, 7 * atoms[order]), torch.ones(5).double()
    )
    # Two atoms cannot share one partner: brute force over all matchings.
    a, b = torch.rand(3, 4).double(), torch.rand(4, 4).double()
    cosine = torch.nn.functional.normalize(a) @ torch.nn.functional.normalize(b).T
    best = max(
        sum(float(cosine[i, p[i]]) for i in range(3)) for p in itertools.permutations(range(4), 3)
    )
    assert float(dictionary_stability(a, b).sum()) == pytest.approx(best)


def test_what_a_reader_must_know_is_told() -> None:
    a, _, _ = planted(60)
    found = feature_dictionary(a, 4, max_iter=2)
    assert "had not converged after 2 iterations" in found.warnings[0]
    found = feature_dictionary(torch.cat([a, torch.zeros(30, 9)]), 4, labels=[0] * 60 + [1] * 30)
    assert "2 atoms are used by no row" in found.warnings[-1]
    assert isinstance(found, FeatureDictionary)
    assert "% of the sum of squares" in repr(found)


@pytest.mark.parametrize(
    ("a", "k", "changes", "error", "named"),
    [
        ([[1.0, -1.0]], 1, {}, InvalidInput, "A: found -1.0 at row 0, column 1"),
        ([[1.0, math.nan]], 1, {}, InvalidInput, "A: found nan"),
        ([[0.0, 0.0]], 1, {}, InvalidInput, "A: found zeros"),
        ([[1.0, 2.0]], 2, {}, InvalidInput, "k: found 2 atoms, wanted 1 to 1"),
        ([[1.0, 2.0]], 0, {}, InvalidInput, "k"),
        ([[1.0, 2.0]], 1.0, {}, InvalidType, "k"),
        ([[1.0], [2.0]], 1, {"labels": [0, 1]}, InvalidInput, "k: found 1, wanted a multiple"),
        ([[1.0], [2.0]], 2, {"labels": [0]}, InvalidInput, "labels"),
        ([[1.0], [2.0]], 1, {"method": "sae"}, InvalidInput, "method"),
        ([["a"]], 1, {}, InvalidType, "A"),
    ],
)
def test_bad_input_is_named(
    a: object, k: object, changes: dict[str, object], error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        feature_dictionary(a, k, **changes)  # type: ignore[arg-type]


def test_atoms_of_another_width_are_refused() -> None:
    with pytest.raises(InvalidInput, match="A: found 1 columns"):
        nonnegative_codes([[1.0]], [[1.0, 2.0]])
    with pytest.raises(InvalidInput, match="second"):
        dictionary_stability([[1.0], [1.0]], [[1.0]])
