"""Heat maps: where in a picture a unit looks."""

from __future__ import annotations

import io

import torch
from torch import Tensor

from narrows.data.texts import TextColumn
from narrows.errors import InvalidInput, UnknownName, require
from narrows.explain import attribute, heat
from narrows.studio.evidence import evidence_of
from narrows.studio.inputs import is_picture, pixels
from narrows.studio.readings import Readings

_STEPS = 16  # of the path of an attribution
_FOR, _AGAINST = (230, 120, 0), (0, 100, 200)  # orange and blue: apart for every kind of sight


def heat_of(readings: Readings, case: tuple[str, int], unit: str) -> Tensor:
    """`(height, width)` where a unit looks: its own evidence, else integrated gradients.

    Raises:
        UnknownName: no picture, or a unit whose score has no gradient.
    """
    split, row = case
    examples, model = readings.examples(split), readings.model
    x = None if isinstance(examples.x, TextColumn) else pixels(examples, row)
    if x is None or not is_picture(x):
        raise UnknownName("heat map: the rows of this run are no pictures")
    found = evidence_of(readings, case, unit)
    if found.kind == "map" and found.value is not None:
        return found.value[0].detach().float()
    bottleneck = model.bottleneck
    if readings.row(split, row).indices is not None or bottleneck.columns != bottleneck.names:
        raise UnknownName(f"heat map: {unit!r} is picked, not scored; it has no map of its own")

    def score(images: Tensor) -> Tensor:
        return bottleneck.scores(model.read(images))

    place = bottleneck.names.index(unit)
    try:
        return heat(attribute(score, x[None], [place], steps=_STEPS))[0, 0]
    except InvalidInput as error:
        raise UnknownName(f"heat map: {error}") from error


def has_heat(readings: Readings) -> bool:
    """Whether there is a heat map of the first unit for the first test row."""
    try:
        heat_of(readings, ("test", 0), readings.model.bottleneck.names[0])
    except UnknownName:
        return False
    return True


def heat_png(weights: Tensor, size: tuple[int, int]) -> bytes:
    """Weights `(height, width)` as a transparent PNG of this `(width, height)`.

    Orange speaks for the unit, blue against it; the strongest place is opaque to nine tenths.
    """
    image = require("PIL.Image", "studio")
    most = weights.abs().amax().clamp_min(1e-30)
    share = (weights / most).clamp(-1, 1)
    colours = torch.where((share >= 0)[..., None], torch.tensor(_FOR), torch.tensor(_AGAINST)).to(
        torch.uint8
    )
    alpha = (230 * share.abs()).round().to(torch.uint8)
    picture = image.fromarray(torch.cat([colours, alpha[..., None]], -1).numpy())
    buffer = io.BytesIO()
    picture.resize(size, image.Resampling.NEAREST).save(buffer, format="PNG")
    return buffer.getvalue()


def png_size(file: bytes) -> tuple[int, int]:
    """Width and height of a PNG file."""
    return int.from_bytes(file[16:20], "big"), int.from_bytes(file[20:24], "big")
