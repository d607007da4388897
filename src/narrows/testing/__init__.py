"""The contract as named checks, for our methods and for anybody's.

    for name, check in bottleneck_checks(MyMethod(epochs=2)):
        check()

or all at once, `check_bottleneck(MyMethod(epochs=2))`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from narrows.data import Dataset
from narrows.errors import NarrowsError
from narrows.method import Method
from narrows.testing import contract, hard_data
from narrows.testing.subject import Subject, assert_equal, require_error, sample_data

__all__ = [
    "Subject",
    "assert_equal",
    "bottleneck_checks",
    "check_bottleneck",
    "require_error",
    "sample_data",
]

_EVERY = contract.CHECKS + hard_data.CHECKS
_OF_CONCEPTS = contract.CONCEPT_CHECKS + hard_data.CONCEPT_CHECKS


def bottleneck_checks(
    method: Method, data: Dataset | None = None
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Every check that applies to a method, by name.

    Args:
        method: with small, quick settings; a copy is trained.
        data: to train on; `sample_data()` where None.
    """
    subject = Subject(method, data)
    for check in _EVERY + (_OF_CONCEPTS if method.info.needs_concepts else ()):
        yield check.__name__.removeprefix("_"), partial(check, subject)


def check_bottleneck(
    method: Method,
    data: Dataset | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> None:
    """Run every check and raise one error that lists all failures.

    Args:
        method: with small, quick settings.
        data: to train on.
        expected_failures: check name to the reason why it may fail.

    Raises:
        AssertionError: with one line per failed check.
    """
    expected = dict(expected_failures or {})
    failures = []
    for name, check in bottleneck_checks(method, data):
        if name in expected:
            continue
        try:
            check()
        except (AssertionError, NarrowsError) as error:
            failures.append(f"{name}: {type(error).__name__}: {error}")
    if failures:
        raise AssertionError(f"{type(method).__name__}\n" + "\n".join(failures))
