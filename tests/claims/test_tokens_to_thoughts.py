"""Without the studies nothing is claimed; with them the table holds chance and both controls."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from narrows.claims import tokens_to_thoughts as claim


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like the real one: three studies of made-up items in separate groups."""
    home = tmp_path / "human-concepts"
    home.mkdir()
    rng = np.random.default_rng(0)
    rows, glove, bert = [], [], []
    for study, size, best in (("Rosch1973", 8, 1), ("Rosch1975", 14, 1), ("McCloskey1978", 14, 10)):
        for group in range(3):
            for i in range(size):
                rating = best + (1 if best == 1 else -1) * i / 3
                rows.append((f"{study}{group}{i}", f"group {group}", rating, study))
                glove.append(rng.standard_normal(6) * (0.3 + i / 10) + 5 * np.eye(3, 6)[group])
                bert.append(rng.standard_normal(4))
    glove[0] = np.zeros(6)  # a word without a vector
    with (home / "human_concepts.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("item", "category", "typicality", "subdataset"))
        writer.writerows(rows)
    np.savez(
        home / "embeddings_f16.npz",
        glove_wiki_gigaword_300=np.array(glove, np.float16),
        bert_base_uncased_last=np.array(bert, np.float16),
    )
    monkeypatch.setenv("NARROWS_DATA", str(tmp_path))
    monkeypatch.setattr(claim, "_ENCODER", "no_such_encoder")
    monkeypatch.setattr(claim, "_COST_STARTS", 3)
    claim._encoded.cache_clear()
    return tmp_path


def test_without_the_studies_every_claim_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARROWS_DATA", str(tmp_path))
    for evidence in (claim.run("small", 3), claim.run("full", 3)):
        assert not evidence.values
        assert set(evidence.reasons) == {c.key for c in claim.CLAIMS}
    monkeypatch.delenv("NARROWS_DATA")
    assert "NARROWS_DATA" in claim.run("small", 3).reasons["typicality"]


@pytest.mark.usefixtures("folder")
def test_meaningful_vectors_are_told_from_meaningless_ones() -> None:
    evidence = claim.run("small", 1)
    separate = evidence.rows["Rosch1975, GloVe"]
    mixed = evidence.rows["Rosch1975, BERT, last layer"]
    noise = evidence.rows["Rosch1975, random vectors"]
    assert separate["AMI"][0] > 0.9
    assert abs(mixed["AMI"][0]) < 0.3
    assert abs(noise["AMI"][0]) < 0.3
    assert separate["L, people"][0] < separate["L, random of people's sizes"][0]
    assert separate["L, k-means of people's sizes"][0] <= separate["L, people"][0] + 1e-9
    # Typical items lie nearer in the first, whichever way a study's scale runs.
    assert separate["rho, the others' mean"][0] > 0.3
    assert evidence.rows["McCloskey1978, GloVe"]["rho, the others' mean"][0] > 0.3
    assert "low is typical" in evidence.data
    assert "high is typical" in evidence.data
    assert evidence.values["above_chance"][0] < 0  # meaningless vectors were among them
    for key in ("static", "contextual", "typicality", "architecture", "two_phases"):
        assert evidence.reasons[key]
        assert not evidence.values.get(key)
