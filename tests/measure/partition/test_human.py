"""The studies of a file: their directions, their members, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from narrows.errors import FileRefused, InvalidInput, UnknownName
from narrows.measure import category_alignment, rate_distortion_curve, typicality_alignment
from narrows.measure.partition import read_human_concepts

TEXT = """item,category,typicality,subdataset
robin,Bird,1.1,Rosch1975
"hen, old",Bird,4.5,Rosch1975
dog,Animal,10,McCloskey1978
car,Animal,1,McCloskey1978
robin,Bird,9,McCloskey1978
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "human.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_studies_stay_apart_with_their_directions(tmp_path: Path) -> None:
    found = read_human_concepts(written(tmp_path, TEXT))
    assert list(found) == ["Rosch1975", "McCloskey1978"]
    rosch, other = found.values()
    assert rosch.items == ("robin", "hen, old")
    assert not rosch.higher_is_typical
    assert other.higher_is_typical
    assert other.rows.tolist() == [2, 3, 4]
    assert other.typicality.tolist() == [10, 1, 9]
    assert repr(rosch) == "Rosch1975: 2 items, 1 categories, low is typical"


def test_non_members_go_on_scales_that_have_them_only(tmp_path: Path) -> None:
    found = read_human_concepts(written(tmp_path, TEXT), min_membership=5)
    assert len(found["Rosch1975"]) == 2
    assert found["McCloskey1978"].items == ("dog", "robin")
    assert found["McCloskey1978"].left_out == 1


def test_each_item_once_is_where_it_is_most_typical(tmp_path: Path) -> None:
    more = "robin,Animal,8,McCloskey1978\nhen,Bird,3,Rosch1975\nhen,Food,2,Rosch1975\n"
    found = read_human_concepts(written(tmp_path, TEXT + more))
    once = found["McCloskey1978"].once()
    assert once.items == ("dog", "car", "robin")
    assert once.categories == ("Animal", "Animal", "Bird")
    assert once.rows.tolist() == [2, 3, 4]
    assert once.left_out == 1
    assert found["Rosch1975"].once().categories[-1] == "Food"  # low ratings are typical there
    for keep in ([True], [1] * 4, [False] * 4):
        with pytest.raises(InvalidInput, match="keep"):
            found["McCloskey1978"].take(keep)


@pytest.mark.parametrize(
    ("text", "error", "named"),
    [
        ("item,category,typicality\na,b,1\n", FileRefused, "subdataset"),
        ("item,category,typicality,subdataset\n", FileRefused, "without rows"),
        (TEXT + "cat,,3,Rosch1975\n", FileRefused, "row 5 lacks a cell"),
        (TEXT + "cat,Animal\n", FileRefused, "row 5 lacks a cell"),
        (TEXT + "cat,Animal,high,McCloskey1978\n", FileRefused, "'high'"),
        (TEXT + "cat,Animal,nan,McCloskey1978\n", FileRefused, "'nan'"),
        (TEXT + "dog,Animal,9,McCloskey1978\n", FileRefused, "repeats 'dog'"),
        (TEXT + "cat,Animal,1,Rosch1976\n", UnknownName, "Rosch1976"),
    ],
)
def test_damaged_files_are_refused(
    tmp_path: Path, text: str, error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        read_human_concepts(written(tmp_path, text))


def test_missing_files_and_empty_studies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"none\.csv"):
        read_human_concepts(tmp_path / "none.csv")
    with pytest.raises(InvalidInput, match="min_membership"):
        read_human_concepts(written(tmp_path, TEXT), min_membership=11)
    with pytest.raises(InvalidInput, match="min_membership"):
        read_human_concepts(written(tmp_path, TEXT), min_membership=float("nan"))


def test_a_study_of_ones_own_needs_its_direction(tmp_path: Path) -> None:
    path = written(tmp_path, "item,category,typicality,subdataset\na,b,1,mine\n")
    assert read_human_concepts(path, scales={"mine": True})["mine"].higher_is_typical


@pytest.mark.slow
def test_on_the_real_studies_published_word_vectors_give_the_known_numbers() -> None:
    import numpy as np

    folder = os.environ.get("NARROWS_DATA")
    if not folder or not (Path(folder) / "human-concepts").is_dir():
        pytest.skip("NARROWS_DATA is not set: the folder that holds human-concepts")
    home = Path(folder) / "human-concepts"
    studies = read_human_concepts(home / "human_concepts.csv")
    assert {name: len(study) for name, study in studies.items()} == {
        "McCloskey1978": 492,
        "Rosch1975": 565,
        "Rosch1973": 48,
    }
    assert sum(len(study.once()) for study in studies.values()) == 1049  # as in the paper
    with np.load(home / "embeddings_f16.npz") as stored:
        glove = stored["glove_wiki_gigaword_300"].astype(np.float64)
    told = {
        "Rosch1973": (0.70, 0.32, 30.9, 30.6),
        "Rosch1975": (0.47, 0.30, 35.6, 37.3),
        "McCloskey1978": (0.41, 0.39, 36.2, 38.0),
    }
    for name, (ami, rho, clusters, people) in told.items():
        study = studies[name]
        kept = glove[study.rows].any(1)
        e, labels = glove[study.rows][kept], np.array(study.categories)[kept]
        assert category_alignment(e, labels, n_init=10, draws=2).ami == pytest.approx(ami, abs=0.02)
        found = typicality_alignment(
            e,
            None,
            study.typicality[kept],
            higher_is_typical=study.higher_is_typical,
            within="category",
            categories=labels,
        )
        assert found.rho == pytest.approx(rho, abs=0.01)
        curve = rate_distortion_curve(e, [len(set(labels))], normalize=None)
        scores = curve.compare(labels, controls=())
        assert scores["k-means"].objective == pytest.approx(clusters, abs=0.1)
        assert scores["partition"].objective == pytest.approx(people, abs=0.1)
