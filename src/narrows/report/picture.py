"""Inputs as pictures inside a page."""

from __future__ import annotations

import base64
import io

import torch
from torch import Tensor

from narrows.errors import require

_WIDTH = 288  # pixels a small image is enlarged to at least
_MOST = 480  # pixels a large image is reduced to at most


def data_uri(x: Tensor) -> str | None:
    """An image `(1 or 3, height, width)` as a PNG inside a URI; None for anything else.

    Values in [0, 1] are shown as they are; other ranges are stretched to it. Small images are
    enlarged by a whole factor, so that their pixels stay crisp.

    Example:
        >>> data_uri(torch.zeros(1, 2, 2))[:22], data_uri(torch.zeros(4))
        ('data:image/png;base64,', None)
    """
    if x.ndim != 3 or x.shape[0] not in (1, 3):
        return None
    image = require("PIL.Image", "report")
    pixels = x.detach().float().cpu()
    low, high = pixels.amin(), pixels.amax()
    if low < 0 or high > 1:
        pixels = (pixels - low) / (high - low).clamp_min(1e-12)
    levels = (pixels * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    picture = image.fromarray(levels[:, :, 0] if x.shape[0] == 1 else levels)
    height, width = x.shape[1:]
    if width > _MOST:
        picture = picture.resize((_MOST, max(1, round(height * _MOST / width))))
    elif width < _WIDTH:
        factor = -(-_WIDTH // width)
        picture = picture.resize((width * factor, height * factor), image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
