"""The list of cases against plain loops over its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import InvalidInput, NarrowsError, UnknownName
from narrows.studio.about import neighbours
from narrows.studio.cases import FILTERS, SORTS, Listing, Query
from narrows.studio.desk import Desk
from narrows.studio.standing import Standing

LABELS = ("cat", "Dog", "ÉLAN")


@st.composite
def listings(draw: st.DrawFn) -> Listing:
    n = draw(st.integers(1, 25))
    many = {"min_size": n, "max_size": n}
    said = draw(st.lists(st.integers(0, 2), **many))
    truth = draw(st.lists(st.integers(-1, 2), **many))
    # Few values, so that there are ties.
    margin = draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9]), **many))
    ids = [f"{draw(st.sampled_from(['Ab', 'b c', '<x>', 'cat']))} {i}" for i in range(n)]
    rows = st.sets(st.integers(0, n - 1))
    counts = {row: draw(st.integers(1, 3)) for row in sorted(draw(rows))}
    now = Standing(np.array(said), np.array(margin) / 2 + 0.5, np.array(margin))
    hay = [f"{one.lower()}\n{row}" for row, one in enumerate(ids)]
    return Listing("test", now, np.array(truth), LABELS, ids, hay, counts, frozenset(draw(rows)))


@given(
    listings(),
    st.sampled_from(FILTERS),
    st.sampled_from([None, *LABELS]),
    st.sampled_from(["", "b", "CAT", "<x>", "1", "élan", "zebra"]),
    st.sampled_from(SORTS),
)
def test_a_query_finds_what_a_loop_finds_in_its_order(
    listing: Listing, kind: str, label: str | None, search: str, sort: str
) -> None:
    rows = [listing.one(row) for row in range(len(listing.ids))]
    least = sorted(rows, key=lambda r: r["margin"])[: -(-len(rows) // 10)]

    def keeps(row: dict[str, Any]) -> bool:
        by_kind = {
            "all": True,
            "unsure": row in least,
            "wrong": row["truth"] is not None and row["truth"] != row["prediction"],
            "corrected": row["corrections"] > 0,
            "noted": row["noted"],
        }[kind]
        by_label = label is None or label in (row["prediction"], row["truth"])
        texts = (row["id"], str(row["row"]), row["prediction"], row["truth"] or "")
        return by_kind and by_label and any(search.lower() in t.lower() for t in texts)

    key = {
        "row": lambda r: r["row"],
        "margin": lambda r: r["margin"],
        "corrections": lambda r: -r["corrections"],
    }[sort]
    wanted = [row["row"] for row in sorted(filter(keeps, rows), key=key)]
    assert listing.rows(Query(kind, label, search, sort)).tolist() == wanted


@given(listings(), st.integers(0, 30), st.integers(1, 10))
def test_pages_put_together_are_the_list(listing: Listing, offset: int, limit: int) -> None:
    query = Query(sort="margin")
    every = listing.page(query, 0, 1000)["cases"]
    page = listing.page(query, offset, limit)
    assert page["total"] == len(every)
    assert page["cases"] == every[offset : offset + limit]


@given(st.lists(st.integers(0, 20), unique=True), st.integers(0, 20))
def test_neighbours_are_before_and_after(rows: list[int], row: int) -> None:
    before, after = neighbours(rows, row)
    if row in rows:
        framed = [None, *rows, None]
        place = framed.index(row)
        assert (before, after) == (framed[place - 1], framed[place + 1])
    else:
        assert before == (max((r for r in rows if r < row), default=None))
        assert after == (min((r for r in rows if r > row), default=None))


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"filter": "best"}, UnknownName),
        ({"sort": "id"}, UnknownName),
        ({"label": "zebra"}, UnknownName),
        ({"split": "holdout"}, UnknownName),
        ({"offset": -1}, InvalidInput),
        ({"limit": 0}, InvalidInput),
        ({"limit": 10**6}, InvalidInput),
        ({"limit": True}, InvalidInput),
        ({"search": 3}, NarrowsError),
    ],
)
def test_bad_queries_are_refused(desk: Desk, asked: dict[str, Any], error: type) -> None:
    with pytest.raises(error):
        desk.cases(**asked)


def test_the_list_agrees_with_the_method_and_with_each_case(desk: Desk) -> None:
    test = desk.opened.data.test  # type: ignore[union-attr]  # it is there
    cases = desk.cases(limit=1000)["cases"]
    said = desk.opened.method.predict(test).tolist()
    sure = np.sort(desk.opened.method.predict_proba(test), 1)
    assert [case["prediction"] for case in cases] == said
    assert [case["truth"] for case in cases] == test.labels
    assert [case["id"] for case in cases] == list(test.ids)
    np.testing.assert_allclose([case["probability"] for case in cases], sure[:, -1], atol=1e-6)
    np.testing.assert_allclose(
        [case["margin"] for case in cases], sure[:, -1] - sure[:, -2], atol=1e-6
    )
    wrong = desk.cases(filter="wrong", limit=1000)["cases"]
    assert [case["row"] for case in wrong] == np.flatnonzero(
        np.array(said) != np.array(test.labels)
    ).tolist()
    shown = desk.case("test", cases[-1]["row"])
    assert shown["now"]["label"] == cases[-1]["prediction"]
    assert shown["previous"] == cases[-2]["row"]
    assert shown["next"] is None
