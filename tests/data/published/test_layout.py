"""Laws of all loaders of published data sets, on miniatures of their layouts."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from miniatures import BUILDERS, NEEDED, OPTIONS
from narrows.data import Dataset, ImageColumn, check, load, prepare
from narrows.data.published.layout import coded, drawn, integers, numbered, pairs, rows
from narrows.data.registry import find
from narrows.errors import FileRefused, InvalidInput, UnknownName
from narrows.store import FileMissing

NAMES = sorted(BUILDERS)
FILES = [(name, file) for name in NAMES for file in NEEDED[name]]


def loaded(name: str, folder: Path, **options: Any) -> Dataset:
    return load(name, folder=folder, **{**OPTIONS.get(name, {}), **options})


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_in_one_split_with_its_own_picture_read_when_asked(
    name: str, tmp_path: Path
) -> None:
    data = loaded(name, BUILDERS[name](tmp_path), size=16)
    ids = [i for split in data.splits.values() for i in split.ids]
    assert len(set(ids)) == len(ids)
    assert len(data.train) > len(data.val) > 0
    for split in data.splits.values():
        assert isinstance(split.x, ImageColumn)
        for name_of_row, path in zip(split.ids, split.x.paths, strict=True):
            stem = Path(name_of_row).stem
            assert name == "ham10000" or stem == path.stem
            assert path.is_file()
        assert split.x[:1].shape[2:] == (16, 16)
    assert data.name == data.settings["source"] == name


@pytest.mark.parametrize("name", NAMES)
def test_the_same_files_give_the_same_data_wherever_they_lie(name: str, tmp_path: Path) -> None:
    first, second = (BUILDERS[name](tmp_path / place) for place in ("a", "b"))
    here = loaded(name, first)
    assert loaded(name, second.parent).fingerprint == here.fingerprint
    assert here.settings == loaded(name, str(second)).settings
    renamed = second.rename(second.parent / "renamed")
    assert loaded(name, renamed).fingerprint == here.fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_loading_decodes_nothing_and_checking_names_a_damaged_picture(
    name: str, tmp_path: Path
) -> None:
    root = BUILDERS[name](tmp_path)
    data = loaded(name, root)
    broken = data.val.x.paths[0]
    broken.write_bytes(b"damaged")
    again = loaded(name, root)
    errors = [text for severity, text in check(again).problems if severity == "error"]
    assert any(str(broken) in text for text in errors)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_folder_one_reads_where_to_get_the_data_and_on_which_terms(
    name: str, tmp_path: Path
) -> None:
    for options in ({}, {"folder": tmp_path / "nowhere"}):
        with pytest.raises(FileMissing) as caught:
            load(name, **options)
        text = str(caught.value)
        assert "Narrows does not download" in text
        assert "https://" in text
        assert "Its terms: " in text
        assert all(str(place) in text for place in options.values())
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_missing_file_is_named_with_where_it_was_looked_for(
    name: str, file: str, tmp_path: Path
) -> None:
    root = BUILDERS[name](tmp_path)
    (root / file).resolve().unlink()
    with pytest.raises(FileMissing, match="there is no such file") as caught:
        loaded(name, root)
    assert str((root / file).resolve()) in str(caught.value)
    assert "https://" in str(caught.value)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("awa2", "broden")])
def test_a_missing_image_is_named_and_missing_ones_are_counted(name: str, tmp_path: Path) -> None:
    root = BUILDERS[name](tmp_path)
    data = loaded(name, root)
    lost = data.test.x.paths[-2:]
    lost[0].unlink()
    with pytest.raises(FileMissing, match="no such image") as caught:
        loaded(name, root)
    assert lost[0].name in str(caught.value)
    lost[1].unlink()
    with pytest.raises(FileMissing, match=r"2 images are missing in all"):
        loaded(name, root)


@pytest.mark.parametrize("name", ["awa2", "broden"])
def test_a_folder_without_images_is_named(name: str, tmp_path: Path) -> None:
    root = BUILDERS[name](tmp_path)
    folder = loaded(name, root).train.x.paths[0].parent
    for image in folder.iterdir():
        image.unlink()
    with pytest.raises(FileMissing, match="there is no image") as caught:
        loaded(name, root)
    assert str(folder) in str(caught.value)
    shutil.rmtree(folder)
    with pytest.raises(FileMissing, match="no such folder"):
        loaded(name, root)


@pytest.mark.parametrize(("name", "file"), FILES)
@pytest.mark.parametrize("content", [b"", b"  \n\n", b"\xff\xfe\x00 1\n"])
def test_empty_and_binary_files_are_refused_by_name(
    name: str, file: str, content: bytes, tmp_path: Path
) -> None:
    root = BUILDERS[name](tmp_path)
    (root / file).write_bytes(content)
    with pytest.raises(FileRefused) as caught:
        loaded(name, root)
    assert Path(file).name in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_options_that_do_not_exist_are_refused_with_the_nearest(name: str, tmp_path: Path) -> None:
    root = BUILDERS[name](tmp_path)
    with pytest.raises(UnknownName, match="'foldr'"):
        load(name, foldr=root)
    known = inspect.signature(find(name)).parameters
    for option, parameter in known.items():
        if isinstance(parameter.default, str):
            with pytest.raises(UnknownName, match="'nothing like it'"):
                loaded(name, root, **{option: "nothing like it"})
        if option == "seed":
            with pytest.raises(InvalidInput, match="seed"):
                loaded(name, root, seed=-1)
        if option == "validation":
            for share in (0, 1, 1.5):
                with pytest.raises(InvalidInput, match="validation"):
                    loaded(name, root, validation=share)


@pytest.mark.parametrize("name", NAMES)
def test_new_pictures_are_prepared_like_those_of_the_set(name: str, tmp_path: Path) -> None:
    data = loaded(name, BUILDERS[name](tmp_path), size=(6, 8))
    path = data.test.x.paths[0]
    new = prepare({"image": [path.name]}, data.settings, root=path.parent)
    assert torch.equal(new.x[:], data.test.x[:1])
    assert new.classes == data.classes


def test_lines_are_split_at_blanks_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("\ufeff1  a\n\n 2\tb \n", encoding="utf-8")
    assert list(rows(path, 2)) == [(1, ["1", "a"]), (3, ["2", "b"])]
    assert list(rows(path, 1, more=True, skip=1)) == [(3, ["2"])]
    assert numbered(path) == {"1": "a", "2": "b"}
    with pytest.raises(FileRefused, match=r"list\.txt, line 1: found .1  a., wanted 3 fields"):
        list(rows(path, 3))


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        ("1 a\n1 b\n", None, "line 2: found '1' a second time"),
        ("1 a\n", ["1", "2"], "no line for '2'"),
        ("1 a\n3 b\n", ["1"], "'3', which the other files do not list"),
        ("1 a b\n", None, "wanted 2 fields"),
    ],
)
def test_pairs_are_each_there_once(
    text: str, keys: list[str] | None, message: str, tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text(text)
    with pytest.raises(FileRefused, match=message):
        pairs(tmp_path / "p.txt", keys)


def test_pairs_come_in_the_order_asked_for(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("b 1\na 2\n")
    assert list(pairs(tmp_path / "p.txt", ["a", "b"]).items()) == [("a", "2"), ("b", "1")]


@given(st.lists(st.lists(st.integers(-(10**8), 10**8), min_size=3, max_size=5), min_size=1))
def test_whole_numbers_are_read_as_they_are_written(
    tmp_path_factory: pytest.TempPathFactory, lines: list[list[int]]
) -> None:
    path = tmp_path_factory.mktemp("n") / "n.txt"
    path.write_text("top\n" + "".join(" ".join(map(str, line)) + "\n" for line in lines))
    assert integers(path, range(1, 3), skip=1).tolist() == [line[1:3] for line in lines]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2\n\n3 x\n", "line 3: found 'x'"),
        ("1 2\n3\n", "line 2: .* wanted 2 fields"),
        ("1 99999999999\n", "line 1: found '99999999999'"),
        ("1 nan\n", "found 'nan'"),
        ("\n", "empty file"),
    ],
)
def test_what_is_no_whole_number_is_refused_by_line(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "n.txt").write_text(text)
    with pytest.raises(FileRefused, match=message):
        integers(tmp_path / "n.txt", range(2))


@given(st.lists(st.sampled_from(["no", "yes", ""])))
def test_words_become_their_numbers(words: list[str]) -> None:
    codes = {"no": 0.0, "yes": 1.0, "": float("nan")}
    expected = np.array([codes[word] for word in words], dtype=np.float32)
    assert np.array_equal(coded("here", words, codes), expected, equal_nan=True)


def test_an_unknown_word_is_refused_by_row() -> None:
    with pytest.raises(
        FileRefused, match="here, row 2: found 'perhaps', wanted one of 'no', 'yes'"
    ):
        coded("here", ["no", "perhaps"], {"no": 0, "yes": 1})


@given(st.integers(2, 200), st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_draw_has_its_share_and_repeats_with_its_seed(n: int, share: float, seed: int) -> None:
    mask = drawn(n, share, seed)
    assert mask.sum() == max(1, int(share * n))
    assert not mask.all()
    assert np.array_equal(mask, drawn(n, share, seed))


def test_one_thing_cannot_be_divided() -> None:
    with pytest.raises(InvalidInput, match="at least 2"):
        drawn(1, 0.5, 0)


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    root = BUILDERS["cub"](tmp_path)
    (tmp_path / "secret.jpg").write_bytes(b"")
    lines = (root / "images.txt").read_text().splitlines()
    lines[3] = "4 ../../secret.jpg"
    (root / "images.txt").write_text("\n".join(lines))
    with pytest.raises(FileRefused, match="wanted a path inside"):
        loaded("cub", root)
