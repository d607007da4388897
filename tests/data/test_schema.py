"""The schema of concepts and its text form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.data import Concepts
from narrows.errors import InvalidInput, InvalidType, UnknownName

NAMES = st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=8)
# Texts made of what the grammar uses are the ones that could break it.
HARD = st.lists(st.text(alphabet="|;\\ nrt\n\r\t\u2003a", min_size=1), unique=True, max_size=6)


@st.composite
def schemas(draw: st.DrawFn, names: st.SearchStrategy[list[str]]) -> Concepts:
    chosen = draw(names)
    colours = [draw(st.integers(0, 3)) for _ in chosen]
    families = [[i for i, colour in enumerate(colours) if colour == k] for k in (1, 2, 3)]
    return Concepts(tuple(chosen), tuple(tuple(f) for f in families if len(f) > 1))


@given(schemas(NAMES) | schemas(HARD))
def test_parse_inverts_str_for_any_unicode_names_and_any_groups(concepts: Concepts) -> None:
    assert Concepts.parse(str(concepts)) == concepts


@given(schemas(NAMES) | schemas(HARD))
def test_the_text_form_stays_on_one_line(concepts: Concepts) -> None:
    assert not set(str(concepts)) & {"\n", "\r", "\t"}


def test_the_text_form_is_as_documented() -> None:
    concepts = Concepts(("left is 0", "left is 1", "tall", "a|b; c"), ((0, 1),))
    assert str(concepts) == r"left is 0 | left is 1; tall; a\|b\; c"
    assert repr(concepts) == r"Concepts.parse('left is 0 | left is 1; tall; a\\|b\\; c')"
    assert str(Concepts(("a", "b", "c"), ((2, 0),))) == "a; b; c;; a | c"
    assert str(Concepts(())) == ""


def test_parse_forgives_blanks_line_breaks_and_a_last_semicolon() -> None:
    assert Concepts.parse("  a|b ;\n c ; ") == Concepts(("a", "b", "c"), ((0, 1),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a | ; b", "empty name"),
        ("a; a", "'a'"),
        (r"a\x", "x"),
        ("a\\", "backslash|\\\\"),
        ("a; b;; a | c", "concept: found 'c'"),
        ("a | b;; a | b", "more than once"),
    ],
)
def test_parse_refuses_what_is_not_the_grammar(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Concepts.parse(text)


def test_duplicated_names_are_all_named() -> None:
    with pytest.raises(InvalidInput, match=r"names: found more than once: 'tall', 'wide'"):
        Concepts(("tall", "wide", "tall", "wide", "flat"))


@pytest.mark.parametrize(
    ("names", "groups", "error", "message"),
    [
        (("a", ""), (), InvalidInput, "an empty name at 1"),
        (("a", 3), (), InvalidType, "3 at 1"),
        ("ab", (), InvalidType, "the text 'ab'"),
        (("a\ud800",), (), InvalidInput, "surrogate"),
        (("a", "b"), ((0,),), InvalidInput, "a group of 1"),
        (("a", "b"), ((0, 2),), InvalidInput, "index 2"),
        (("a", "b"), ((-1, 0),), InvalidInput, "index -1"),
        (("a", "b"), ((0, 0),), InvalidInput, "'a' more than once"),
        (("a", "b", "c"), ((0, 1), (1, 2)), InvalidInput, "'b' more than once"),
        (("a", "b"), ((True, 0),), InvalidType, "True"),
    ],
)
def test_bad_schemas_are_refused_by_name(
    names: tuple[str, ...], groups: tuple[tuple[int, ...], ...], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        Concepts(names, groups)


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UnknownName, match="left is 3"):
        Concepts(("left is 3", "tall")).index("left is 33")


@given(schemas(NAMES))
def test_interventions_partition_the_concepts_and_contain_each_group(concepts: Concepts) -> None:
    turns = concepts.interventions
    assert sorted(i for turn in turns for i in turn) == list(range(len(concepts)))
    assert set(concepts.groups) == {turn for turn in turns if len(turn) > 1}
    assert [turn[0] for turn in turns] == sorted(turn[0] for turn in turns)


def test_schemas_with_equal_groups_in_another_order_are_equal_and_hash_alike() -> None:
    one = Concepts(("a", "b", "c", "d"), ((3, 2), (1, 0)))
    two = Concepts(("a", "b", "c", "d"), ((0, 1), (2, 3)))
    assert one == two
    assert hash(one) == hash(two)
