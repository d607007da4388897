"""Embedding: the features are the model's own, kept once, resumed, and never mixed up."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import narrows as nw
from narrows import store
from narrows.cli import app
from narrows.data.embedded import StoredFeatures, load_embedded
from narrows.embedding import backbone as backbones
from narrows.embedding import embed, embed_rows, identity_of, load_backbone
from narrows.errors import FileRefused, InvalidInput, NarrowsError

transformers = pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")
WORDS = ("red", "blue", "wing", "beak", "long", "short", "bird", "plane")


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision transformer of two layers, as its library saves it."""
    home = tmp_path_factory.mktemp("vision")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=16,
        patch_size=8,
    )
    with torch.random.fork_rng():
        transformers.set_seed(0)
        transformers.ViTModel(config).save_pretrained(home)
    size = {"size": {"height": 16, "width": 16}, "image_processor_type": "ViTImageProcessor"}
    mean = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2}
    (home / "preprocessor_config.json").write_text(json.dumps(size | mean))
    return home


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer with a tokenizer of a dozen words."""
    home = tmp_path_factory.mktemp("language")
    (home / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
    )
    transformers.BertTokenizerFast(str(home / "vocab.txt")).save_pretrained(home)
    config = transformers.BertConfig(
        vocab_size=13,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    with torch.random.fork_rng():
        transformers.set_seed(0)
        transformers.BertModel(config).save_pretrained(home)
    return home


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a table of 40 pictures of different sizes; two of them are the same file."""
    home, rng = tmp_path / "pictures", np.random.default_rng(0)
    home.mkdir()
    with (home / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "concept:bright"])
        for i in range(40):
            height, width = 10 + i % 3, 12 + i % 5
            pixels = rng.integers(0, 255, (height, width, 3), dtype=np.uint8) // (1 + i % 2)
            Image.fromarray(pixels).save(home / f"{i}.png")
            rows.writerow([f"{i}.png", ("dark", "light")[i % 2 == 0], "" if i % 7 == 0 else i % 2])
    shutil.copy(home / "4.png", home / "6.png")
    return home


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call of a backbone saw."""
    seen: list[int] = []
    original = backbones.Backbone.__call__

    def counted(self: Any, batch: Sequence[Any]) -> torch.Tensor:
        seen.append(len(batch))
        return original(self, batch)

    monkeypatch.setattr(backbones.Backbone, "__call__", counted)
    return seen


def all_features(data: nw.Dataset) -> dict[str, torch.Tensor]:
    return {
        i: row
        for split in data.splits.values()
        for i, row in zip(split.ids or (), split.x[torch.arange(len(split))], strict=True)
    }


def test_features_are_the_models_first_token(vision: Path, pictures: Path, tmp_path: Path) -> None:
    found = all_features(embed(nw.load(pictures), str(vision), tmp_path / "out"))
    model = transformers.ViTModel.from_pretrained(vision).eval()
    for name in ("0.png", "7.png", "39.png"):
        small = (
            Image.open(pictures / name).convert("RGB").resize((16, 16), Image.Resampling.BILINEAR)
        )
        x = (np.asarray(small, dtype=np.float32) / 255 - 0.5) / 0.5
        with torch.no_grad():
            hidden = model(torch.from_numpy(x).permute(2, 0, 1)[None]).last_hidden_state
        torch.testing.assert_close(found[name], hidden[0, 0], atol=1e-5, rtol=1e-5)


def test_labels_concepts_and_splits_stay(vision: Path, pictures: Path, tmp_path: Path) -> None:
    raw = nw.load(pictures)
    done = embed(raw, str(vision), tmp_path / "out")
    again = nw.load(tmp_path / "out")
    for one in (done, again):
        for name, split in raw.splits.items():
            assert one.splits[name].ids == split.ids
            assert torch.equal(one.splits[name].y, split.y)
            assert torch.equal(one.splits[name].known, split.known)
            torch.testing.assert_close(one.splits[name].c, split.c, equal_nan=True)
        assert one.classes == raw.classes
        assert one.concepts == raw.concepts
    assert done.fingerprint == again.fingerprint


def test_equal_rows_are_computed_once_and_a_second_run_computes_nothing(
    vision: Path, pictures: Path, tmp_path: Path, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embed(nw.load(pictures), str(vision), tmp_path / "out", batch_size=16)
    assert sum(calls) == 39
    calls.clear()
    monkeypatch.setattr("narrows.embedding.stored.load_backbone", lambda *_: pytest.fail("loaded"))
    again = embed(nw.load(pictures, seed=5), str(vision), tmp_path / "out")
    assert not calls
    one, other = all_features(first), all_features(again)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_killed_run_goes_on_where_it_stopped(
    vision: Path, pictures: Path, tmp_path: Path, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("narrows.embedding.stored.SHARD", 10)
    whole = embed(nw.load(pictures), str(vision), tmp_path / "whole", batch_size=5)
    calls.clear()
    counted = backbones.Backbone.__call__

    def killed(self: Any, batch: Sequence[Any]) -> torch.Tensor:
        if sum(calls) >= 25:
            raise KeyboardInterrupt
        return counted(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(backbones.Backbone, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            embed(nw.load(pictures), str(vision), tmp_path / "out", batch_size=5)
    assert not (tmp_path / "out" / "embedding.json").exists()
    calls.clear()
    resumed = embed(nw.load(pictures), str(vision), tmp_path / "out", batch_size=5)
    assert sum(calls) == 19  # two shards of ten were kept
    one, other = all_features(whole), all_features(resumed)
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-6, rtol=0)


def test_another_model_or_pooling_needs_another_folder(
    vision: Path, language: Path, pictures: Path, tmp_path: Path
) -> None:
    data = nw.load(pictures)
    embed(data, str(vision), tmp_path / "out")
    with pytest.raises(InvalidInput, match="pool was 'auto', now 'mean'"):
        embed(data, str(vision), tmp_path / "out", pool="mean")
    changed = tmp_path / "changed"
    shutil.copytree(vision, changed)
    config = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 0.5}))
    with pytest.raises(InvalidInput, match=r"another model.*config\.json"):
        embed(data, str(changed), tmp_path / "out")
    with pytest.raises(InvalidInput, match="sees texts, wanted one for images"):
        embed(data, str(language), tmp_path / "other")


def test_texts_are_averaged_over_their_own_words(language: Path, tmp_path: Path) -> None:
    pairs = zip(WORDS * 4, WORDS[::-1] * 4, strict=True)
    texts = [f"{a} {b}" + " bird" * (i % 3) for i, (a, b) in enumerate(pairs)]
    table = {"note": texts, "label": ["x", "y"] * 16, "id": [f"r{i}" for i in range(32)]}
    data = nw.load(table, text="note")
    with pytest.raises(InvalidInput, match="embed the data first"):
        nw.BlackBox().fit(data)
    found = all_features(embed(data, str(language), tmp_path / "out", batch_size=7))
    model = transformers.BertModel.from_pretrained(language).eval()
    for i in (0, 1, 2, 31):
        ids = torch.tensor([[2, *(5 + WORDS.index(word) for word in texts[i].split()), 3]])
        with torch.no_grad():
            hidden = model(ids).last_hidden_state[0]
        torch.testing.assert_close(found[f"r{i}"], hidden.mean(0), atol=1e-5, rtol=1e-5)


def test_pixels_in_memory_are_pictures_too(vision: Path, tmp_path: Path) -> None:
    data = nw.load("digit_pairs", sizes=(30, 10, 10))
    done = embed(data, str(vision), tmp_path / "out")
    assert done.train.x.shape == (30, 16)
    method = nw.CBM("independent", encoder="identity", epochs=1).fit(done)
    assert 0 <= method.score(done.test) <= 1


def test_features_too_large_for_memory_stay_on_disk(
    vision: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("narrows.embedding.stored.SHARD", 9)
    small = embed(nw.load(pictures), str(vision), tmp_path / "out")
    mapped = load_embedded(tmp_path / "out", budget=0)
    assert isinstance(mapped.train.x, StoredFeatures)
    assert torch.equal(mapped.train.x[torch.arange(len(mapped.train))], small.train.x)
    assert torch.equal(mapped.train[3:5].x[torch.tensor([1, 0])], small.train.x[[4, 3]])
    one, other = (nw.VIB(units=2, epochs=1, encoder="mlp").fit(d) for d in (small, mapped))
    np.testing.assert_allclose(
        one.predict_proba(small.test), other.predict_proba(mapped.test), atol=1e-6
    )


def test_damaged_shards_are_refused(vision: Path, pictures: Path, tmp_path: Path) -> None:
    embed(nw.load(pictures), str(vision), tmp_path / "out")
    shard = next((tmp_path / "out" / "shards").iterdir())
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    with pytest.raises(FileRefused, match="damaged"):
        nw.load(tmp_path / "out")
    shard.unlink()
    with pytest.raises(FileRefused, match="missing"):
        nw.load(tmp_path / "out")


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors", "preprocessor_config.json"])
def test_a_model_folder_with_a_missing_file_says_so(
    vision: Path, pictures: Path, tmp_path: Path, broken: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(vision, model)
    (model / broken).unlink()
    with pytest.raises(NarrowsError):
        embed(nw.load(pictures), str(model), tmp_path / "out")


def test_pickled_weights_are_not_read(vision: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(vision, model)
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(FileRefused, match="pickled"):
        identity_of(model)


def test_an_id_that_was_never_downloaded_is_not_fetched(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="--download"):
        embed(nw.load(pictures), "nobody/nothing", tmp_path / "out")


def test_tables_of_numbers_are_refused(vision: Path, tmp_path: Path) -> None:
    data = nw.load("breast_cancer_nuclei")
    with pytest.raises(InvalidInput, match="wanted pictures"):
        embed(data, str(vision), tmp_path / "out")


@pytest.mark.parametrize("pool", ["cls", "mean", "pooler"])
def test_pools(vision: Path, pool: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), dtype=np.uint8)
    found = load_backbone(vision, pool)(list(pixels))
    model = transformers.ViTModel.from_pretrained(vision).eval()
    x = torch.from_numpy((pixels.astype(np.float32) / 255 - 0.5) / 0.5).permute(0, 3, 1, 2)
    with torch.no_grad():
        out = model(x)
    wanted = {
        "cls": out.last_hidden_state[:, 0],
        "mean": out.last_hidden_state.mean(1),
        "pooler": out.pooler_output,
    }[pool]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_the_command_embeds_fits_and_predicts(vision: Path, pictures: Path, tmp_path: Path) -> None:
    def run(*arguments: Any) -> str:
        done = CliRunner().invoke(app, [str(a) for a in arguments])
        assert done.exit_code == 0, done.output
        return done.output

    out, fitted = tmp_path / "out", tmp_path / "run"
    told = run("embed", pictures, "--model", vision, "--out", out)
    assert "16 features of 28 train, 6 val, 6 test rows" in told
    run("fit", out, "--method", "vib", "--epochs", 1, "--out", fitted)
    run("predict", fitted, pictures, "--out", tmp_path / "p.csv", "--json")
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    method, data = nw.from_pretrained(fitted), nw.load(out)
    said = dict(zip(data.test.ids, method.predict(data.test), strict=True))
    assert all(said[row["id"]] == row["prediction"] for row in rows if row["id"] in said)


def test_new_rows_need_the_same_model(vision: Path, pictures: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(vision, model)
    data = embed(nw.load(pictures), str(model), tmp_path / "out")
    rows = embed_rows(pictures, data.settings)
    by_id = all_features(data)
    for one, name in enumerate(rows.ids or ()):
        torch.testing.assert_close(rows.x[one], by_id[name], atol=1e-5, rtol=1e-5)
    with (model / "config.json").open("a") as file:
        file.write("\n")
    with pytest.raises(InvalidInput, match="other files"):
        embed_rows(pictures, data.settings)


def test_reading_features_imports_no_backbone_library(
    vision: Path, pictures: Path, tmp_path: Path
) -> None:
    embed(nw.load(pictures), str(vision), tmp_path / "out")
    script = (
        "import sys, narrows as nw; from narrows.embedding import embed\n"
        f"data = nw.load({str(pictures)!r})\n"
        f"embed(data, {str(vision)!r}, {str(tmp_path / 'out')!r})\n"
        "assert 'transformers' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_records_say_how_the_features_were_made(
    vision: Path, pictures: Path, tmp_path: Path
) -> None:
    data = embed(nw.load(pictures), str(vision), tmp_path / "out")
    assert data.settings["embedding"]["digest"] == store.digest(identity_of(vision))
    assert data.settings["raw"]["image"]["channels"] == 3
