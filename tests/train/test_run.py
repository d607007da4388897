"""Requests to stop: the first is noted, the second acts, whichever signals they are."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from narrows.train.run import stop_requests

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """What the program does by itself on SIGTERM in this test."""


def _raise(number: int, frame: object) -> None:
    raise Stopped


@pytest.fixture(autouse=True)
def own_handlers() -> object:
    before = {s: signal.signal(s, _raise) for s in SIGNALS}
    yield
    for s, handler in before.items():
        signal.signal(s, handler)


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_first_request_is_noted_and_any_second_acts(first: int, second: int) -> None:
    with stop_requests() as asked:
        assert not asked.is_set()
        os.kill(os.getpid(), first)
        assert asked.wait(10)
        with pytest.raises(Stopped):
            os.kill(os.getpid(), second)


@pytest.mark.parametrize("number", SIGNALS)
def test_handlers_are_given_back(number: int) -> None:
    with stop_requests():
        assert signal.getsignal(number) is not _raise
    assert signal.getsignal(number) is _raise


def test_other_threads_are_never_asked() -> None:
    seen: list[bool] = []

    def work() -> None:
        with stop_requests() as asked:
            seen.append(asked.is_set() or signal.getsignal(signal.SIGTERM) is not _raise)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
