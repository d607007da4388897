"""Every method keeps the contract: the shared checks of `narrows.testing` over the matrix."""

from __future__ import annotations

from typing import Any

import pytest

from matrix import ROWS, instances
from narrows.registry import methods
from narrows.testing import Subject, bottleneck_checks


def _cases() -> list[Any]:
    cases = []
    for method in instances():
        name = method.info.name
        checks = list(bottleneck_checks(method))
        label = f"{name}-{len([c for c in cases if c.values[0] == name])}"
        cases.append(pytest.param(name, checks, id=label))
    return cases


@pytest.mark.parametrize(("name", "checks"), _cases())
def test_a_method_keeps_the_contract(name: str, checks: list[Any]) -> None:
    failures = []
    for check_name, check in checks:
        if check_name in ROWS[name].expected:
            continue
        try:
            check()
        except Exception as error:  # every failing check is wanted in one report
            failures.append(f"{check_name}: {type(error).__name__}: {error}")
    assert not failures, "\n".join(failures)


def test_every_method_has_a_row() -> None:
    assert set(ROWS) == set(methods())


def test_a_subject_is_trained_once() -> None:
    subject = Subject(methods()["black-box"](epochs=1))
    assert subject.fitted is subject.fitted
