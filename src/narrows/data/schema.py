r"""The concept schema: which concepts there are, and which of them exclude one another.

Its text form is short enough for a command line and an error message:

    left is 0 | left is 1; tall; striped

`|` joins concepts of which at most one is true, `;` separates the rest. Inside a name a
backslash stands before `|`, `;`, `\` and a space at either end; line breaks and tabs are
written `\n`, `\r`, `\t`. A group whose members do not stand side by side is repeated by name
after `;;`, as in `a; b; c;; a | c`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from narrows.errors import unknown, wrong, wrong_type

_ESCAPES = {"\\": "\\\\", "|": "\\|", ";": "\\;", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LETTERS = {"n": "\n", "r": "\r", "t": "\t"}
_BLANK = " \n\r\t"


def check_names(names: Sequence[Any]) -> None:
    """Refuse names that are not text, are empty, cannot be encoded, or stand twice."""
    if isinstance(names, str):
        raise wrong_type("names", f"the text {names!r}", "a sequence of names")
    for place, name in enumerate(names):
        if not isinstance(name, str):
            raise wrong_type("names", f"{name!r} at {place}", "text")
        if not name:
            raise wrong("names", f"an empty name at {place}", "a name for each concept")
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise wrong("names", f"half a surrogate pair in {name!r}", "valid Unicode")
    twice = [repr(name) for name, count in Counter(names).items() if count > 1]
    if twice:
        raise wrong("names", f"more than once: {', '.join(twice)}", "each concept once")


def check_groups(groups: Sequence[Sequence[Any]], names: Sequence[str]) -> None:
    """Refuse groups that are too short, overlap or point outside the names."""
    for group in groups:
        if len(group) < 2:
            raise wrong("groups", f"a group of {len(group)}", "at least 2 concepts in a group")
        for i in group:
            if isinstance(i, bool) or not isinstance(i, int):
                raise wrong_type("groups", f"{i!r}", "integer concept indices")
            if not 0 <= i < len(names):
                raise wrong("groups", f"index {i}", f"indices of {len(names)} concepts")
    counts = Counter(i for group in groups for i in group)
    shared = [repr(names[i]) for i, count in counts.items() if count > 1]
    if shared:
        raise wrong("groups", f"{', '.join(shared)} more than once", "disjoint groups")


@dataclass(frozen=True)
class Concepts:
    r"""Named concepts, some of them mutually exclusive.

    Args:
        names: one unique name per concept; any Unicode text.
        groups: disjoint sets of at least two indices, of which at most one can be true.
            They are kept sorted, so equal schemas compare equal.

    Raises:
        InvalidInput: duplicated or empty names; groups that overlap or point outside.

    Example:
        >>> concepts = Concepts(("black", "white", "tall"), groups=((0, 1),))
        >>> print(concepts)
        black | white; tall
        >>> Concepts.parse("black | white; tall") == concepts
        True
        >>> concepts.interventions
        ((0, 1), (2,))
    """

    names: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        check_names(self.names)
        names = tuple(self.names)
        groups = [tuple(group) for group in self.groups]
        check_groups(groups, names)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "groups", tuple(sorted(tuple(sorted(g)) for g in groups)))

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        return _written(self.names, self.groups)

    def __repr__(self) -> str:
        return f"Concepts.parse({str(self)!r})"

    @classmethod
    def parse(cls, text: str) -> Self:
        r"""Read the text form.

        Raises:
            InvalidInput: an empty name, a backslash before nothing it can escape.
            UnknownName: a group after `;;` with a name that is not a concept.

        Example:
            >>> Concepts.parse(r"a\|b; c").names
            ('a|b', 'c')
        """
        first, *rest = _pieces(text)
        names = [name for piece in first for name in piece]
        groups = [tuple(g) for g in _runs(first) if len(g) > 1]
        schema = cls(tuple(names))
        for piece in (piece for section in rest for piece in section):
            groups.append(tuple(schema.index(name) for name in piece))
        return cls(tuple(names), tuple(groups))

    def index(self, name: str) -> int:
        """The place of a concept.

        Raises:
            UnknownName: with the nearest names.
        """
        if name not in self.names:
            raise unknown("concept", name, self.names)
        return self.names.index(name)

    @property
    def interventions(self) -> tuple[tuple[int, ...], ...]:
        """The concepts a person corrects together: groups, and singletons in their place."""
        grouped = {i: group for group in self.groups for i in group}
        return tuple(dict.fromkeys(grouped.get(i, (i,)) for i in range(len(self.names))))


def _escaped(name: str) -> str:
    """A name as it is written in the text form."""
    text = "".join(_ESCAPES.get(letter, letter) for letter in name)
    if text.startswith(" "):
        text = "\\" + text
    # A name of one space is already escaped by the line above.
    if text.endswith(" ") and text != "\\ ":
        text = text[:-1] + "\\ "
    return text


def _written(names: Sequence[str], groups: Sequence[Sequence[int]]) -> str:
    """The text form of a schema."""
    together = {g[0]: g for g in groups if g[-1] - g[0] + 1 == len(g)}
    scattered = [g for g in groups if g[0] not in together]
    inside = {i for g in together.values() for i in g[1:]}
    pieces = [together.get(i, (i,)) for i in range(len(names)) if i not in inside]
    text = "; ".join(_joined(piece, names) for piece in pieces)
    return text + "".join(
        f"{';; ' if n == 0 else '; '}{_joined(g, names)}" for n, g in enumerate(scattered)
    )


def _joined(members: Iterable[int], names: Sequence[str]) -> str:
    return " | ".join(_escaped(names[i]) for i in members)


def _tokens(text: str) -> Iterable[tuple[str, bool]]:
    """Letters of the text with whether each was escaped."""
    letters = iter(text)
    for letter in letters:
        if letter != "\\":
            yield letter, False
            continue
        escaped = next(letters, "")
        if escaped not in {"\\", "|", ";", " ", *_LETTERS}:
            raise wrong(
                "concepts", f"\\{escaped}", r"one of \\ \| \; \n \r \t and \ before a space"
            )
        yield _LETTERS.get(escaped, escaped), True


def _stripped(letters: Sequence[tuple[str, bool]]) -> str:
    """The name in a run of letters: blanks at either end count only when escaped."""
    kept = [n for n, (letter, escaped) in enumerate(letters) if escaped or letter not in _BLANK]
    if not kept:
        return ""
    return "".join(letter for letter, _ in letters[kept[0] : kept[-1] + 1])


def _pieces(text: str) -> list[list[list[str]]]:
    """Sections (split by `;;`) of pieces (split by `;`) of names (split by `|`)."""
    if not text.strip(_BLANK):
        return [[]]
    raw: list[list[list[tuple[str, bool]]]] = [[[]]]
    for token in _tokens(text):
        if token == (";", False):
            raw.append([[]])
        elif token == ("|", False):
            raw[-1].append([])
        else:
            raw[-1][-1].append(token)
    sections: list[list[list[str]]] = [[]]
    for piece in ([_stripped(letters) for letters in part] for part in raw):
        if piece == [""]:
            sections.append([])
        elif "" in piece:
            raise wrong(
                "concepts", f"a group with an empty name in {text!r}", "a name beside each |"
            )
        else:
            sections[-1].append(piece)
    # A `;` at the very end is a habit, not a section.
    return sections if len(sections) == 1 or sections[-1] else sections[:-1]


def _runs(pieces: Iterable[Sequence[str]]) -> Iterable[range]:
    """The indices each piece covers when the pieces are laid end to end."""
    start = 0
    for piece in pieces:
        yield range(start, start + len(piece))
        start += len(piece)
