"""Pictures hold the pixels they were given."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from narrows.report.picture import data_uri


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_picture_is_enlarged_without_mixing_pixels(channels: int) -> None:
    x = torch.rand(channels, 8, 16, generator=torch.Generator().manual_seed(0))
    shown = pixels(data_uri(x))
    factor = shown.shape[1] // 16
    assert shown.shape[:2] == (8 * factor, 16 * factor)
    assert factor >= 16
    expected = np.repeat(np.repeat((x * 255).round().numpy(), factor, 1), factor, 2)
    np.testing.assert_array_equal(shown.reshape(*shown.shape[:2], -1).transpose(2, 0, 1), expected)


def test_other_ranges_are_stretched() -> None:
    shown = pixels(data_uri(torch.tensor([[[-3.0, 5.0]]])))
    assert (shown.min(), shown.max()) == (0, 255)


def test_a_constant_picture_out_of_range_is_drawn() -> None:
    assert pixels(data_uri(torch.full((1, 2, 2), 7.0))).max() == 0


def test_a_large_picture_is_reduced() -> None:
    assert pixels(data_uri(torch.zeros(3, 600, 1200))).shape == (240, 480, 3)


def test_what_is_no_picture_gives_none() -> None:
    assert data_uri(torch.zeros(5)) is None
    assert data_uri(torch.zeros(2, 4, 4)) is None
