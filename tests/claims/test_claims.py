"""Claims: a rule that can say no, results that can be read, a page made from them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.claims import run
from narrows.claims.claim import FAILS, HOLDS, PARTLY, UNTESTED, Claim, Evidence
from narrows.errors import InvalidInput, UnknownName


def claim(side: str = "at least", bound: float = 10.0) -> Claim:
    return Claim("key", "It is large.", "points", "12, elsewhere", side, bound, "a round number")


@pytest.mark.parametrize(
    ("side", "values", "verdict"),
    [
        ("at least", [12, 12.1, 11.9], HOLDS),
        ("at least", [8, 8.1, 7.9], FAILS),
        ("at least", [9, 11, 10], PARTLY),
        ("at least", [12, 12], PARTLY),
        ("at least", [], UNTESTED),
        ("at least", [12, float("nan"), 12], UNTESTED),
        ("at most", [12, 12.1, 11.9], FAILS),
        ("at most", [8, 8.1, 7.9], HOLDS),
    ],
)
def test_the_rule_says_yes_no_and_neither(side: str, values: list, verdict: str) -> None:
    assert claim(side).verdict(values) == verdict


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=8))
def test_turning_a_claim_round_turns_its_verdict_round(values: list[float]) -> None:
    turned = claim("at most", -10.0).verdict([-v for v in values])
    assert claim().verdict(values) == turned


def test_a_side_that_is_no_side_is_refused() -> None:
    with pytest.raises(InvalidInput, match="side"):
        claim("about")


def test_every_claim_file_declares_what_the_runner_needs() -> None:
    assert {"cbm", "vib"} <= set(run.slugs())
    for slug in run.slugs():
        module = run.claim_file(slug)
        assert module.PAPER
        assert callable(module.run)
        keys = [c.key for c in module.CLAIMS]
        assert len(set(keys)) == len(keys) > 0


def test_a_run_is_saved_read_back_and_put_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = SimpleNamespace(
        PAPER="A paper (somebody, 2020)",
        CLAIMS=(claim(), claim("at most", 3.0)),
        run=lambda size, seeds: Evidence(
            {"key": [12.0, 12.2, 11.8][:seeds]}, {"row": {"accuracy": [0.5, 0.6, 0.7]}}, "toy data"
        ),
    )
    monkeypatch.setattr(run, "claim_file", lambda slug: module)
    result = run.run_claims("toy", "small", seeds=3)
    run.save_result(result, tmp_path)
    (again,) = run.load_results(tmp_path)
    assert [c["verdict"] for c in again["claims"]] == [HOLDS, FAILS]
    page = run.page([again])
    assert "**holds**" in page
    assert "**does not hold**" in page
    assert "| row | 0.600 ± 0.058 |" in page
    assert "HOLDS: It is large." in run.text(again)


def test_what_cannot_be_measured_says_why() -> None:
    result = run.run_claims("cbm", "full", seeds=1)
    assert {c["verdict"] for c in result["claims"]} == {UNTESTED}
    assert "must be brought by the user" in run.text(result)


def test_unknown_papers_sizes_and_seeds_are_refused() -> None:
    with pytest.raises(UnknownName, match="'cbm'"):
        run.run_claims("cbn")
    with pytest.raises(InvalidInput, match="size"):
        run.run_claims("cbm", "huge")
    with pytest.raises(InvalidInput, match="seeds"):
        run.run_claims("cbm", seeds=0)


def test_the_page_in_the_repository_is_made_from_the_results_in_it() -> None:
    written = Path(__file__).parents[2] / "docs" / "claims.md"
    assert written.read_text(encoding="utf-8") == run.page(run.load_results())
