"""`measure plane` and `geometry` print what the measures say, of every kind of checkpoint."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

import narrows.cli.measure_layers  # noqa: F401  # importing a file adds its commands
from narrows.cli import app
from narrows.measure import CovarianceStream, alpha_req, rankme
from narrows.method import from_pretrained


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("layers")
    with (home / "mine.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "concept:left", "diagnosis"])
        for i, (a, b, c) in enumerate(draw(120, 3).tolist()):
            writer.writerow([a, b, c, int(a < 0), "ill" if a < 0 and i % 5 else "well"])
    more = ("--target", "diagnosis", "--set", "mode=independent", "--epochs", "2")
    done = run("fit", home / "mine.csv", *more, "--out", home / "run")
    assert done.exit_code == 0, done.output
    return home


def test_geometry_of_features_and_of_a_saved_stream_is_that_of_the_functions(
    tmp_path: Path,
) -> None:
    x = draw(400, 30)
    np.save(tmp_path / "a.npy", x.numpy())
    CovarianceStream(30).update(x).save(tmp_path / "b.safetensors")
    done = run("measure", "geometry", tmp_path / "a.npy", tmp_path / "b.safetensors", "--json")
    assert done.exit_code == 0, done.output
    for one in json.loads(done.stdout)["checkpoints"]:
        assert one["rankme"] == pytest.approx(rankme(x))
        assert one["power_law"]["alpha"] == pytest.approx(alpha_req(x).alpha)
    told = run("measure", "geometry", tmp_path / "a.npy", "--ranks", "2,9").stdout
    assert f"{rankme(x):.2f}" in told
    assert f"{alpha_req(x, (2, 9)).alpha:.4f}" in told


def test_of_many_checkpoints_the_phases_are_told(tmp_path: Path) -> None:
    paths = []
    for i, width in enumerate((9, 2, 10, 5)):
        scale = (torch.arange(10) < width).float() + 0.01
        paths.append(tmp_path / f"{i}.npy")
        np.save(paths[-1], (draw(300, 10) * scale).numpy())
    page = tmp_path / "page.html"
    done = run("measure", "geometry", *paths, "--page", page)
    assert done.exit_code == 0, done.output
    assert "collapse" in done.stdout
    assert "compression-seeking" in done.stdout
    assert page.exists()


def test_geometry_of_a_run_is_that_of_its_encoder_on_the_test_rows(folder: Path) -> None:
    done = run("measure", "geometry", folder / "run", "--json")
    assert done.exit_code == 0, done.output
    (one,) = json.loads(done.stdout)["checkpoints"]
    record = json.loads((folder / "run" / "run.json").read_text())
    assert one["n"] == record["data"]["rows"]["test"]
    assert one["dim"] >= 1


def test_geometry_of_a_language_model_takes_the_last_token(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = {word: i for i, word in enumerate(["<e>", "a", "b", "c", "d"])}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<e>"))  # noqa: S106  # a word
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<e>")  # noqa: S106  # a word
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=6, n_positions=16, vocab_size=5)
    with torch.random.fork_rng():
        model = transformers.GPT2Model(config).eval()
    model.save_pretrained(tmp_path / "lm")
    fast.save_pretrained(tmp_path / "lm")
    texts = ["a b c", "b", "c d a b a", "d d", "a", "c c c b"] * 5
    (tmp_path / "t.txt").write_text("\n".join(texts))
    alone = []
    for text in texts:
        ids = torch.tensor([[words[w] for w in text.split()]])
        with torch.no_grad():
            alone.append(model(ids).last_hidden_state[0, -1])
    done = run("measure", "geometry", tmp_path / "lm", "--texts", tmp_path / "t.txt", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["checkpoints"][0]["rankme"]
    assert found == pytest.approx(rankme(torch.stack(alone)), rel=1e-4)
    missing = run("measure", "geometry", tmp_path / "lm")
    assert missing.exit_code == 2
    assert "--texts" in missing.stderr


def test_the_plane_of_a_run_has_a_row_for_each_layer_and_estimator(folder: Path) -> None:
    page = folder / "plane.html"
    done = run("measure", "plane", folder / "run", "--units", "bits", "--page", page, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["columns"] == ["epoch", "layer", "estimator", "I(X;T)", "I(T;Y)", "unit"]
    names = {name for name, _ in from_pretrained(folder / "run").model_.named_modules()}
    assert {row["layer"] for row in told["rows"]} <= names
    assert all(0 <= row["I(T;Y)"] <= 1.0001 for row in told["rows"])
    assert len(told["chance"]) == len(told["rows"])
    assert page.exists()
    text = run("measure", "plane", folder / "run").stdout
    assert "by chance" in text


def test_wrong_usage_says_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    for arguments, word, code in [
        (("plane", folder / "run", "--layers", "heed"), "nearest", 2),
        (("plane", tmp_path), "run.json", 1),
        (("geometry", tmp_path / "none.npy"), "no such file", 1),
        (("geometry", folder / "mine.csv", "--ranks", "3"), "--ranks", 2),
    ]:
        done = run("measure", *arguments)
        assert done.exit_code == code, done.output
        assert word in done.stderr
        assert "Traceback" not in done.output
