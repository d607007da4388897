"""Shifts of images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.generated.shift import check_shift, shifted
from narrows.errors import InvalidInput

X = np.random.default_rng(0).random((3000, 1, 6, 6), dtype=np.float32)
Y = np.arange(3000) % 5


def moved(shift: str, test: bool = True, strength: float = 1.0) -> np.ndarray:
    return shifted(X, Y, 5, shift, test, strength, np.random.default_rng(1))


@given(
    st.sampled_from(["invert", "contrast:0.4", "contrast:0", "noise:1", "noise:0", "patch"]),
    st.booleans(),
)
def test_images_stay_float32_in_0_to_1_and_the_input_is_left_alone(shift: str, test: bool) -> None:
    before = X.tobytes()
    found = moved(shift, test)
    assert found.dtype == np.float32
    assert found.shape == X.shape
    assert found.min() >= 0
    assert found.max() <= 1
    assert X.tobytes() == before


def test_inverting_twice_gives_the_image_back() -> None:
    again = shifted(moved("invert"), Y, 5, "invert", True, 1, np.random.default_rng(0))
    assert np.allclose(again, X, atol=1e-6)


def test_contrast_scales_every_deviation_from_grey() -> None:
    assert np.allclose(moved("contrast:0.25") - 0.5, 0.25 * (X - 0.5), atol=1e-7)


def test_noise_has_the_asked_deviation_where_nothing_is_clipped() -> None:
    grey = np.full((3000, 1, 6, 6), 0.5, dtype=np.float32)
    found = shifted(grey, Y, 5, "noise:0.1", True, 1, np.random.default_rng(2)) - 0.5
    # 108,000 draws: the deviation itself is known to 0.0002.
    assert abs(found.std() - 0.1) < 0.0012
    assert abs(found.mean()) < 0.0016


def test_a_patch_of_full_strength_is_a_function_of_the_class() -> None:
    assert np.allclose(moved("patch", test=False)[:, 0, 0, 0], Y / 4)
    assert np.allclose(moved("patch", test=True)[:, 0, 1, 1], (Y + 2) % 5 / 4)
    assert np.array_equal(moved("patch")[:, :, 2:], X[:, :, 2:])
    assert np.array_equal(moved("patch")[:, :, :, 2:], X[:, :, :, 2:])


def test_a_patch_of_no_strength_is_independent_of_the_class() -> None:
    levels = np.rint(4 * moved("patch", test=False, strength=0.0)[:, 0, 0, 0]).astype(int)
    # Chance is 0.2; five standard deviations are 0.037.
    assert abs((levels == Y).mean() - 0.2) < 0.037


@pytest.mark.parametrize(
    "shift",
    [
        "",
        "blur",
        "contrast",
        "contrast:",
        "contrast:x",
        "contrast:2",
        "noise:-1",
        "invert:1",
        "noise:nan",
    ],
)
def test_unknown_shifts_are_refused(shift: str) -> None:
    with pytest.raises(InvalidInput, match="shift: found"):
        check_shift(shift)
