"""Where labels go in a figure, so that they stay apart."""

from __future__ import annotations

from collections.abc import Sequence

Box = tuple[float, float, float, float]  # left, bottom, right, top

_GAP = 7.0  # from a point's middle to its label
_MARK = 4.5  # half the side of a point


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Positions moved as little as needed so that any two are at least a gap apart.

    The order is kept. This is the least-squares solution: neighbours that are too close form a
    block around their mean (the pool-adjacent-violators algorithm).

    Example:
        >>> spread([0.0, 0.0, 10.0], 2.0)
        [-1.0, 1.0, 10.0]
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    blocks: list[tuple[float, int]] = []  # mean of (position - rank * gap), and size
    for rank, i in enumerate(order):
        mean, size = positions[i] - rank * gap, 1
        while blocks and blocks[-1][0] >= mean:
            other, count = blocks.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        blocks.append((mean, size))
    means = [mean for mean, size in blocks for _ in range(size)]
    placed = [0.0] * len(positions)
    for rank, (i, mean) in enumerate(zip(order, means, strict=True)):
        placed[i] = mean + rank * gap
    return placed


def beside(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], frame: Box
) -> list[Box]:
    """A box for the label of each point: right, left, above or below it, or at a corner.

    Labels are placed one after the other, each where it covers least: other points, labels
    placed before, the outside of the frame. Right is preferred where several are as good.

    Args:
        points: middles of the points.
        sizes: width and height of each label.
        frame: what the labels should stay in.

    Returns:
        One box a label.

    Example:
        >>> beside([(50, 50)], [(20, 10)], (0, 0, 100, 100))
        [(57.0, 45.0, 77.0, 55.0)]
    """
    marks = [(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in points]
    placed: list[Box] = []
    for i, (point, size) in enumerate(zip(points, sizes, strict=True)):
        others = [*marks[:i], *marks[i + 1 :], *placed]
        costs = [
            (sum(_shared(box, other) for other in others) + _outside(box, frame), turn, box)
            for turn, box in enumerate(_around(point, size))
        ]
        placed.append(min(costs)[2])
    return placed


def _around(point: tuple[float, float], size: tuple[float, float]) -> list[Box]:
    (x, y), (width, height) = point, size
    near, across, up = _GAP + width / 2, 0.7 * _GAP + width / 2, _GAP + height / 2
    middles = [(near, 0.0), (-near, 0.0), (0.0, up), (0.0, -up)]
    middles += [(side * across, high * 0.8 * up) for high in (1, -1) for side in (1, -1)]
    return [
        (x + dx - width / 2, y + dy - height / 2, x + dx + width / 2, y + dy + height / 2)
        for dx, dy in middles
    ]


def _shared(a: Box, b: Box) -> float:
    """The area two boxes share."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(wide, 0.0) * max(high, 0.0)


def _outside(box: Box, frame: Box) -> float:
    """The area of a box that lies outside a frame."""
    return (box[2] - box[0]) * (box[3] - box[1]) - _shared(box, frame)
