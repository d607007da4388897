"""`measure capacity` prints what the measure says of a folder of weights, and loads no code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from narrows.cli import app
from narrows.measure import fit_capacity_bias, information_capacity
from tiny_language import TEXTS, fast, llama


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(app, ["measure", *map(str, arguments)], env=environment)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language")
    for width in (16, 32, 48):
        llama(width=width).save_pretrained(folder / f"m{width}")
        fast(True).save_pretrained(folder / f"m{width}")
    (folder / "docs" / "more").mkdir(parents=True)
    for i, text in enumerate(TEXTS):
        place = folder / "docs" / ("more" if i % 2 else "") / f"{i}.rst"
        place.write_text(text, encoding="utf-8")
    (folder / "docs" / "left.bin").write_bytes(b"\xff")
    (folder / "all.txt").write_text("\n\n".join(TEXTS), encoding="utf-8")
    (folder / "latin.txt").write_bytes("Käse".encode("latin-1"))
    (folder / "blank.txt").write_text(" \n", encoding="utf-8")
    return folder


def test_the_report_is_the_librarys_in_text_and_json(home: Path) -> None:
    wanted = information_capacity(llama(), fast(True), TEXTS, 20, -3.0, "reference")
    line = ("capacity", home / "m16", "--texts", home / "all.txt", "--lines", "--max-tokens", 20)
    line += ("--bias=-3", "--weighting", "reference", "--batch-tokens", 30)
    done = run(*line, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    (found,) = told["models"]
    assert found["value"] == pytest.approx(wanted.value, rel=1e-5)
    assert found["settings"] == wanted.settings
    assert told["series"] is None
    text = run(*line).stdout
    assert f"{wanted.value:.4f}" in text
    assert f"{wanted.flops_per_token:.4g}" in text


def test_a_folder_of_files_is_a_text_each(home: Path) -> None:
    order = [0, 2, 4, 1, 3]  # files before those of the folder `more`
    done = run("capacity", home / "m16", "--texts", home / "docs", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["models"][0]
    wanted = information_capacity(llama(), fast(True), [TEXTS[i] for i in order])
    assert found["settings"]["texts"] == wanted.settings["texts"]
    assert found["documents"] == 5


def test_of_three_models_the_series_is_told(home: Path) -> None:
    folders = [home / f"m{width}" for width in (16, 32, 48)]
    line = ("capacity", *folders, "--texts", home / "docs")
    told = json.loads(run(*line, "--json").stdout)
    reports = [
        information_capacity(llama(width=w), fast(True), [TEXTS[i] for i in (0, 2, 4, 1, 3)])
        for w in (16, 32, 48)
    ]
    assert told["series"]["bias"] == pytest.approx(fit_capacity_bias(reports).bias, rel=1e-4)
    assert "as one series" in run(*line).stdout
    assert "fit_capacity_bias" in run(*line).stderr


def test_pickled_weights_are_not_read(home: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(home / "m16", tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    torch.save(llama().state_dict(), tmp_path / "m" / "pytorch_model.bin")
    done = run("capacity", tmp_path / "m", "--texts", home / "docs")
    assert done.exit_code == 1
    assert "safetensors" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("model", "texts", "more", "code", "said"),
    [
        ("none", "docs", (), 1, "found no folder"),
        ("docs", "docs", (), 1, "wanted config.json and safetensors"),
        ("m16", "none", (), 1, "found no such file"),
        ("m16", "m16", (), 1, "wanted some that end in"),
        ("m16", "latin.txt", (), 1, "wanted a UTF-8 file"),
        ("m16", "blank.txt", (), 1, "texts: found none"),
        ("m16", "docs", ("--weighting", "bytes"), 2, "--weighting: found 'bytes'"),
        ("m16", "docs", ("--bos", "yes"), 2, "--bos: found 'yes'"),
        ("m16", "docs", ("--bias", "nan"), 1, "bias: found nan"),
        ("m16", "docs", ("--max-tokens", "1"), 2, "--max-tokens"),
        ("m16", "docs", ("--device", "cuda:9"), 2, "--device"),
    ],
)
def test_what_cannot_be_measured_fails_with_one_line(
    home: Path, model: str, texts: str, more: tuple[str, ...], code: int, said: str
) -> None:
    done = run("capacity", home / model, "--texts", home / texts, *more)
    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.output


def test_texts_must_be_named(home: Path) -> None:
    done = run("capacity", home / "m16")
    assert done.exit_code == 2
    assert "--texts" in done.stderr


@pytest.mark.parametrize("width", [40, 60, 100])
def test_help_and_results_fit_the_terminal(home: Path, width: int) -> None:
    shown = run("capacity", "--help", COLUMNS=str(width)).stdout
    done = run("capacity", home / "m16", "--texts", home / "docs", COLUMNS=str(width)).stdout
    long = [line for line in (shown + done).splitlines() if len(line) > width]
    assert not [line for line in long if str(home) not in line]  # a path is never cut
