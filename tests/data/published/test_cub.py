"""CUB-200-2011: the concepts of Koh et al. against a slow derivation of their own rule."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from miniatures import ATTRIBUTES, FAMILIES, cub, edit
from narrows import store
from narrows.data import load
from narrows.data.published.cub import PUBLISHED, families_of
from narrows.data.published.cub_answers import class_votes
from narrows.errors import FileRefused, InvalidInput

ANSWERS = Path("attributes/image_attribute_labels.txt")


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cub(tmp_path_factory.mktemp("cub"))


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / original.name


def answers_of(root: Path) -> pd.DataFrame:
    """One row an answer, read line by line."""
    lines = [line.split()[:4] for line in (root / ANSWERS).read_text().splitlines()]
    names = ["image", "attribute", "present", "certainty"]
    frame = pd.DataFrame(np.array(lines, dtype=int), columns=names)
    for file, column in (("image_class_labels", "label"), ("train_test_split", "train")):
        text = (root / f"{file}.txt").read_text().splitlines()
        frame[column] = frame["image"].map({int(a): int(b) for a, b in map(str.split, text)})
    return frame


def slow_votes(root: Path) -> dict[tuple[int, int], int]:
    """The rule in the words of the paper and its code, one answer after the other."""
    votes: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
    for row in answers_of(root).itertuples():
        if row.train and not (row.present == 0 and row.certainty == 1):
            votes[row.label, row.attribute][row.present] += 1
    return {
        (label, attribute): int(votes[label, attribute][1] >= votes[label, attribute][0])
        for label in range(1, 13)
        for attribute in range(1, 313)
    }


@pytest.mark.parametrize("min_classes", [6, 7, 8])
def test_the_concepts_are_those_of_a_slow_derivation(original: Path, min_classes: int) -> None:
    votes = slow_votes(original)
    kept = [a for a in range(1, 313) if sum(votes[k, a] for k in range(1, 13)) >= min_classes]
    data = load("cub", folder=original, min_classes=min_classes)
    assert data.concepts.names == tuple(ATTRIBUTES[a - 1] for a in kept)
    assert 0 < len(kept) < 312
    for split in data.splits.values():
        for name, found in zip(split.ids, split.c.tolist(), strict=True):
            assert found == [votes[int(name[:3]), a] for a in kept]
            assert split.labels[split.ids.index(name)] == name.split("/")[0]


def test_the_published_concepts_are_112_in_28_families(original: Path) -> None:
    assert len(PUBLISHED) == len(set(PUBLISHED)) == 112
    data = load("cub", folder=original, concepts="published")
    assert data.concepts.names == tuple(ATTRIBUTES[i] for i in PUBLISHED)
    families = data.settings["families"]
    assert list(families) == [f"has_{name}" for name in FAMILIES]
    assert [name for family in families.values() for name in family] == list(data.concepts.names)
    assert data.settings["against_published"] == {"absent": [], "additional": []}


def test_the_settings_say_how_the_rebuilt_concepts_differ_from_the_published(
    original: Path,
) -> None:
    data = load("cub", folder=original, min_classes=6)
    rebuilt, published = set(data.concepts.names), {ATTRIBUTES[i] for i in PUBLISHED}
    differ = data.settings["against_published"]
    assert set(differ["absent"]) == published - rebuilt
    assert set(differ["additional"]) == rebuilt - published


@pytest.mark.parametrize("level", ["class", "instance", "uncertain"])
def test_groups_are_the_families_that_never_contradict_themselves(
    original: Path, level: str
) -> None:
    data = load("cub", folder=original, min_classes=6, level=level)
    c = torch.cat([split.c for split in data.splits.values()]).nan_to_num(0)
    place = {name: n for n, name in enumerate(data.concepts.names)}
    expected = set()
    for names in data.settings["families"].values():
        members = tuple(place[name] for name in names)
        true = (c[:, list(members)] > 0.5).sum(1)
        if len(members) > 1 and int(true.max()) < 2:
            expected.add(members)
    assert set(data.concepts.groups) == expected
    assert level != "class" or expected


@pytest.mark.parametrize("level", ["instance", "uncertain"])
def test_answers_about_an_image_are_unknown_where_nothing_is_visible(
    original: Path, level: str
) -> None:
    frame = answers_of(original)
    table = {
        (0, 2): 0.5, (0, 3): 0.25, (0, 4): 0.0, (1, 2): 0.5, (1, 3): 0.75, (1, 4): 1.0,
    }  # fmt: skip
    images = [line.split() for line in (original / "images.txt").read_text().splitlines()]
    number = {name: int(n) for n, name in images}
    data = load("cub", folder=original, concepts="all", level=level)
    grid = frame.pivot(index="image", columns="attribute", values=["present", "certainty"])
    for split in data.splits.values():
        chosen = grid.loc[[number[name] for name in split.ids]]
        present, sure = chosen["present"].to_numpy(), chosen["certainty"].to_numpy()
        for row, column in np.ndindex(present.shape):
            found, how = split.c[row, column].item(), (present[row, column], sure[row, column])
            if how[1] == 1:
                assert np.isnan(found)
            else:
                assert found == (table[how] if level == "uncertain" else how[0])
    assert 0.2 < float(data.train.known.double().mean()) < 0.8


def test_the_official_test_is_kept_and_a_fifth_of_training_is_for_validation(
    original: Path,
) -> None:
    official = dict(map(str.split, (original / "train_test_split.txt").read_text().splitlines()))
    images = dict(map(str.split, (original / "images.txt").read_text().splitlines()))
    training = {images[n] for n, flag in official.items() if flag == "1"}
    one, two = (load("cub", folder=original, min_classes=6, seed=seed) for seed in (0, 1))
    for data in (one, two):
        assert set(data.test.ids) == set(images.values()) - training
        assert set(data.train.ids) | set(data.val.ids) == training
        assert len(data.val) == int(0.2 * len(training))
    assert one.val.ids != two.val.ids
    assert one.concepts == two.concepts
    assert one.settings["votes"] == two.settings["votes"]


def answers_and_labels() -> st.SearchStrategy[tuple[np.ndarray, ...]]:
    shape = st.tuples(st.integers(1, 8), st.integers(1, 4))
    return shape.flatmap(
        lambda s: st.tuples(
            arrays(bool, s), arrays(np.uint8, s, elements=st.integers(1, 4)),
            arrays(np.int64, s[0], elements=st.integers(0, 2)),
        )
    )  # fmt: skip


@given(answers_and_labels())
def test_the_vote_is_the_argmax_of_two_counts_and_a_tie_is_present(
    drawn: tuple[np.ndarray, ...],
) -> None:
    present, certainty, label = drawn
    counts = np.zeros((3, present.shape[1], 2))
    for image, attribute in np.ndindex(present.shape):
        a = int(present[image, attribute])
        if a == 1 or certainty[image, attribute] != 1:
            counts[label[image], attribute, a] += 1
    expected = counts.argmax(2)
    expected[counts[..., 0] == counts[..., 1]] = 1
    assert np.array_equal(class_votes(present, certainty, label, 3), expected.astype(bool))


@pytest.mark.parametrize(
    ("file", "line", "text", "message"),
    [
        (ANSWERS, 5, "1 5 1", r"labels\.txt, line 5: .*wanted 4 fields"),
        (ANSWERS, 5, "1 5 yes 3 0.1", r"labels\.txt, line 5: found 'yes', wanted a whole number"),
        (ANSWERS, 5, "1 5 2 3 0.1", "found present 2, certainty 3 for image 1, attribute 5"),
        (ANSWERS, 5, "1 5 1 0 0.1", "found present 1, certainty 0"),
        (ANSWERS, 5, "1 4 1 3 0.1", "2 answers for image 1, attribute 4"),
        (ANSWERS, 26_208, None, r"0 answers for image 84, attribute 312, .*cut short"),
        (ANSWERS, 5, "999 5 1 3 0.1", "image 999, which is not listed"),
        (ANSWERS, 5, "1 313 1 3 0.1", "attribute 313, which is not listed"),
        ("images.txt", 2, "1 a/b.jpg", r"images\.txt, line 2: found '1' a second time"),
        ("images.txt", 2, "2 001.Bird_1/Bird_1_0000.jpg", "Bird_1_0000.jpg' more than once"),
        ("images.txt", 2, "two a/b.jpg", "'two' where a line starts"),
        ("images.txt", 2, "2", r"images\.txt, line 2: found '2', wanted 2 fields"),
        ("image_class_labels.txt", 2, "2 77", "class 77 of image 2"),
        ("image_class_labels.txt", 2, None, "no line for '2'"),
        ("train_test_split.txt", 2, "2 yes", "'yes', wanted 1"),
        ("train_test_split.txt", 2, "85 1", "'85', which the other files do not list"),
        ("../attributes.txt", 2, "2 has_bill_shape::value_0", "value_0' more than once"),
        ("classes.txt", 2, "2 001.Bird_1", "001.Bird_1' more than once"),
    ],
)  # fmt: skip
def test_malformed_lines_are_refused_by_file_and_place(
    copy: Path, file: str | Path, line: int, text: str | None, message: str
) -> None:
    edit(copy / file, line, text)
    with pytest.raises((FileRefused, InvalidInput), match=message):
        load("cub", folder=copy, min_classes=6)


@pytest.mark.parametrize("inside", ["attributes/attributes.txt", "attributes.txt"])
def test_the_names_of_attributes_may_lie_inside_or_beside(copy: Path, inside: str) -> None:
    before = load("cub", folder=copy, min_classes=6)
    (copy.parent / "attributes.txt").rename(copy / inside)
    assert load("cub", folder=copy, min_classes=6).fingerprint == before.fingerprint


def test_concepts_that_cannot_be_are_refused(copy: Path) -> None:
    with pytest.raises(InvalidInput, match="min_classes: found 13"):
        load("cub", folder=copy, min_classes=13)
    lines = (copy.parent / "attributes.txt").read_text().splitlines()[:300]
    (copy.parent / "attributes.txt").write_text("\n".join(lines))
    answers = (copy / ANSWERS).read_text().splitlines()
    short = [line for line in answers if int(line.split()[1]) <= 300]
    (copy / ANSWERS).write_text("\n".join(short))
    assert load("cub", folder=copy, min_classes=6).settings["against_published"] is None
    with pytest.raises(InvalidInput, match="found 300 attributes, wanted the original 312"):
        load("cub", folder=copy, concepts="published")


def test_a_cache_is_written_when_asked_for_and_trusted_only_for_the_same_files(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "answers.safetensors"
    options: dict[str, Any] = {"folder": copy, "min_classes": 6, "level": "uncertain"}
    before = set(tmp_path.rglob("*"))
    plain = load("cub", **options)
    assert set(tmp_path.rglob("*")) == before
    first = load("cub", **options, cache=cache)
    tensors, _ = store.load(cache)
    assert tensors["answers"].shape == (84, 312)
    with monkeypatch.context() as patched:
        # reading again would fail
        patched.setattr("narrows.data.published.cub_answers.integers", None)
        second = load("cub", **options, cache=cache)
    assert plain.fingerprint == first.fingerprint == second.fingerprint
    edit(copy / ANSWERS, 3, "1 3 1 4 0.1")
    edit(copy / ANSWERS, 4, "1 4 0 4 0.1")
    changed = load("cub", **options, cache=cache)
    assert changed.fingerprint == load("cub", **options).fingerprint
    assert changed.settings["inputs"] != plain.settings["inputs"]


def test_another_file_is_never_taken_or_overwritten_as_a_cache(
    original: Path, tmp_path: Path
) -> None:
    other = tmp_path / "model.safetensors"
    store.save(other, {"weight": torch.ones(2)}, {})
    written = other.read_bytes()
    with pytest.raises(FileRefused, match="another kind of file"):
        load("cub", folder=original, cache=other)
    assert other.read_bytes() == written
    other.write_bytes(b"\x80\x04}.")
    with pytest.raises(FileRefused):
        load("cub", folder=original, cache=other)


def test_settings_hold_the_digests_of_all_inputs_as_json(original: Path) -> None:
    data = load("cub", folder=original, min_classes=6)
    found = json.loads(json.dumps(data.settings))["inputs"]
    assert len(found) == 6
    assert found["images.txt"] == store.file_digest(original / "images.txt")


@given(st.lists(st.text("ab:", min_size=1), unique=True))
def test_families_share_the_text_before_the_mark_and_cover_each_name_once(names: list[str]) -> None:
    families = families_of(names)
    assert sorted(i for members in families.values() for i in members) == list(range(len(names)))
    assert all(names[i].split("::")[0] == f for f, members in families.items() for i in members)
