"""The tasks by name: those of the literature, or those of a user's own dimensions."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from narrows.errors import wrong, wrong_type
from narrows.measure.mi.known import images, maps, noise
from narrows.measure.mi.known.normal import STRONG, dense, normal, paired, pairs, student
from narrows.measure.mi.known.task import Map, Task, mapped

RHO = 0.75
# A short list that meets every kind of variable and every way to fail, for a first look.
STANDARD = (
    "independent-1x1",
    "normal-0.75",
    "normal-0.99",
    "normal-0.75-half-cube",
    "uniform-noise-0.1",
    "student-1x1-df1",
    "swiss-roll-2x1",
    "dense-3x3",
    "2-pair-3x3-spiral",
    "dense-25x25",
    "integers-5",
    "classes-3",
    "symmetric-channel-0.1",
    "xor",
)


def tasks(dims: int | tuple[int, int] | None = None) -> dict[str, Task]:
    """Tasks of exactly known information, by name.

    Args:
        dims: columns of x and y, or one number for both: tasks of that size only, made for it.
            By default the fixed suite: forty after Czyz et al. (2023), and beside them pairs,
            channels, integers, classes and pictures.

    Raises:
        InvalidInput: less than one column.

    Example:
        >>> round(tasks()["normal-0.75"].truth, 6)
        0.413339
        >>> sorted(tasks((2, 1)))[:2]
        ['classes-2', 'dense-2x1']
    """
    found = _fixed() if dims is None else tuple(_sized(*_dims(dims)))
    return {task.name: task for task in found}


@functools.cache  # a tenth of a second, mostly for the dimensions of mapped tasks
def _fixed() -> tuple[Task, ...]:
    return (*_one_column(), *_several_columns(), *_heavy(), *_discrete(), *_pictures())


def _pictures() -> Iterator[Task]:
    for nats in (0.0, 1.0, 2.0, 5.0):
        yield images.pictures(f"blobs-{nats:g}", images.blob, 2, nats)
        yield images.pictures(f"rectangles-{nats:g}", images.rectangle, 4, nats)


def _one_column() -> Iterator[Task]:
    yield normal("independent-1x1", paired(1, 1, 0, 0), 1)
    for rho in (0.5, RHO, 0.9, 0.99):
        yield normal(f"normal-{rho}", paired(1, 1, 1, rho), 1)
    yield from _bent(normal(f"normal-{RHO}", paired(1, 1, 1, RHO), 1))
    for width in (0.1, 0.75):
        yield noise.uniform_noise(f"uniform-noise-{width}", width)


def _several_columns() -> Iterator[Task]:
    for d in (2, 3, 5, 10, 25):
        yield normal(f"pairs-{d}x{d}-2", pairs(d, d, 2.0), d)
    for d in (2, 3, 5, 25, 50):
        yield normal(f"dense-{d}x{d}", dense(d, d), d)
    for d in (2, 3, 5, 25):
        task = normal(f"2-pair-{d}x{d}", paired(d, d, 2, STRONG), d)
        yield task
        if d > 2:
            yield from _twisted(task)


def _heavy() -> Iterator[Task]:
    for d, df in ((1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (5, 2), (5, 3)):
        task = student(f"student-{d}x{d}-df{df}", paired(d, d, 0, 0), d, df)
        yield task
        if (d, df) in ((1, 1), (2, 1), (3, 2), (5, 2)):
            yield _both(task, "asinh", maps.asinh)


def _discrete() -> Iterator[Task]:
    yield noise.integers("integers-5", 5)
    for d in (1, 3):
        yield noise.classes(f"classes-{d}", d, 1.0)
    for error in (0.01, 0.1, 0.3):
        yield noise.symmetric_channel(f"symmetric-channel-{error}", error)
        yield noise.erasure_channel(f"erasure-channel-{error}", error)
    yield noise.exclusive_or("xor-one-input", 1)
    yield noise.exclusive_or("xor", 2)


def _bent(task: Task) -> Iterator[Task]:
    """A normal pair through the maps of one column."""
    yield _both(task, "normal-cdf", maps.normal_cdf)
    yield _both(task, "half-cube", maps.half_cube)
    yield mapped(task, f"{task.name}-wiggly", (maps.wiggly_x,), (maps.wiggly_y,))
    two = maps.bimodal((0.3, 0.7), (0, 5)), maps.bimodal((0.5, 0.5), (-1, 3))
    yield mapped(task, f"{task.name}-bimodal", two[:1], two[1:])
    yield mapped(task, "swiss-roll-2x1", (maps.normal_cdf, maps.swiss_roll), (maps.normal_cdf,))


def _twisted(task: Task) -> Iterator[Task]:
    """Normal vectors of two columns or more, through the maps of columns and of rows."""
    yield _both(task, "normal-cdf", maps.normal_cdf)
    yield _both(task, "half-cube", maps.half_cube)
    last = min(1, task.dy - 2)  # the plane of y is another one where there are three columns
    turn_x, turn_y = maps.spiral(0, 1), maps.spiral(last, last + 1)
    yield mapped(task, f"{task.name}-spiral", (turn_x,), (turn_y,))
    flat = (maps.normal_cdf, maps.even)
    yield mapped(task, f"{task.name}-normal-cdf-spiral", (*flat, turn_x), (*flat, turn_y))


def _sized(dx: int, dy: int) -> Iterator[Task]:
    size = f"{dx}x{dy}"
    yield normal(f"independent-{size}", paired(dx, dy, 0, 0), dx)
    for nats in (0.5, 2.0):
        yield normal(f"pairs-{size}-{nats:g}", pairs(dx, dy, nats), dx)
    yield normal(f"dense-{size}", dense(dx, dy), dx)
    base = normal(f"pairs-{size}-1", pairs(dx, dy, 1.0), dx)
    yield base
    if min(dx, dy) > 1:
        yield from _twisted(base)
    else:
        yield _both(base, "normal-cdf", maps.normal_cdf)
        yield _both(base, "half-cube", maps.half_cube)
    heavy = student(f"student-{size}-df3", paired(dx, dy, 0, 0), dx, 3)
    yield heavy
    yield _both(heavy, "asinh", maps.asinh)
    if dy == 1:
        yield noise.classes(f"classes-{dx}", dx, 1.0)
    if dx == dy == 1:
        yield noise.integers("integers-5", 5)
        yield noise.symmetric_channel("symmetric-channel-0.1", 0.1)


def _both(task: Task, label: str, one: Map) -> Task:
    return mapped(task, f"{task.name}-{label}", (one,), (one,))


def _dims(dims: int | tuple[int, int]) -> tuple[int, int]:
    given = (dims, dims) if isinstance(dims, int) else tuple(dims)
    if len(given) != 2 or any(isinstance(d, bool) or not isinstance(d, int) for d in given):
        raise wrong_type("dims", repr(dims), "one whole number, or two")
    if min(given) < 1:
        raise wrong("dims", repr(dims), "1 or more columns")
    return given[0], given[1]
