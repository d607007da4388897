"""Numbers and names read as people write them."""

from __future__ import annotations

from narrows.report.labels import joined, number, one_line, percent, signed


def test_what_has_no_number_is_a_dash() -> None:
    assert [percent(None), percent(float("nan")), number(None), number(float("nan"))] == ["–"] * 4


def test_what_rounds_to_zero_has_no_sign() -> None:
    assert [signed(-0.001), signed(0.0), signed(-0.006)] == ["0.00", "0.00", "−0.01"]


def test_a_name_becomes_one_printable_line_of_limited_length() -> None:
    assert one_line("a\n\tb\x00c\u202e") == "a b c"
    assert len(one_line("x" * 1000)) == 40


def test_a_list_is_said_as_people_say_it() -> None:
    assert [joined(["a"]), joined(["a", "b"], "or"), joined(["a", "b", "c"])] == [
        "a",
        "a or b",
        "a, b and c",
    ]
