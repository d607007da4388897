"""The model: files that are safe, corrections that never run the encoder, cuts that agree."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from narrows import store
from narrows.blueprint import Blueprint, build
from narrows.bottleneck import IdentityBottleneck
from narrows.concepts import ConceptLayer
from narrows.encoders import MLPEncoder
from narrows.errors import FileRefused, InvalidInput, MissingExtra, UnknownName
from narrows.explanation import contributions
from narrows.heads import LinearHead, MLPHead
from narrows.model import NarrowModel, load_pretrained
from narrows.wire import from_bytes, to_bytes


class Counting(nn.Module):
    """An encoder that counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


def small(head: nn.Module | None = None) -> NarrowModel:
    torch.manual_seed(0)
    return NarrowModel(
        MLPEncoder(6, (5,)),
        ConceptLayer(5, ["furry", "loud", "wild"], [(0, 1)]),
        head or LinearHead(3, 4),
        ("a", "b", "c", "d"),
        (6,),
    ).eval()


def test_correcting_a_reading_never_runs_the_encoder() -> None:
    encoder = Counting()
    model = NarrowModel(encoder, ConceptLayer(3, ["x", "y"]), LinearHead(2, 2))
    reading = model(torch.zeros(4, 3)).reading
    model.correct(reading, {"x": 1.0})
    model.explain(reading)
    assert encoder.calls == 1


def test_a_correction_is_the_head_on_the_replaced_units() -> None:
    model, x = small(), torch.randn(3, 6)
    fixed = model.correct(x, {"furry": 1.0})
    units = model(x).reading.units.clone()
    units[:, 0], units[:, 1] = 1, 0
    assert torch.equal(fixed.prediction, units @ model.head.weight.T + model.head.bias)


@pytest.mark.parametrize("kind", ["affine", "curved"])
def test_contributions_complete_to_the_logits(kind: str) -> None:
    head = LinearHead(3, 4) if kind == "affine" else MLPHead(3, 4, (8,))
    explanation = small(head).explain(torch.randn(5, 6))
    total = explanation.contributions.sum(1) + explanation.rest
    assert explanation.exact == (kind == "affine")
    assert torch.allclose(total, explanation.logits, atol=1e-5 if explanation.exact else 5e-3)


def test_integrated_gradients_of_a_product_are_its_closed_form() -> None:
    class Product(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return (z[..., :1] * z[..., 1:]).double().to(z.dtype)

    shares, rest, exact = contributions(Product(), torch.tensor([[3.0, 5.0]]), 2)
    # The path integral of z1 z2 from the origin gives each factor half of the product.
    assert torch.allclose(shares[0, :, 0], torch.tensor([7.5, 7.5]), atol=1e-4)
    assert not exact
    assert rest.item() == 0


def test_an_explanation_prints_its_strongest_units_and_escapes_names(tmp_path: Path) -> None:
    model = small()
    model.bottleneck.names = ("<b>furry</b>", "loud", "wild")
    explanation = model.explain(torch.randn(1, 6))
    assert "= logit" in str(explanation)
    assert "<b>furry" not in explanation.to_html()
    explanation.save(tmp_path / "x.html")
    explanation.to_png(tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_a_saved_folder_holds_no_pickle_and_loads_bit_for_bit(tmp_path: Path) -> None:
    model, x = small(), torch.randn(3, 6)
    model.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    again = NarrowModel.from_pretrained(tmp_path)
    assert torch.equal(again(x).prediction, model(x).prediction)
    assert again.bottleneck.names == model.bottleneck.names
    assert again.bottleneck.groups == model.bottleneck.groups


def test_a_configuration_that_was_edited_is_refused(tmp_path: Path) -> None:
    small().save_pretrained(tmp_path)
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace("furry", "fuzzy"))
    with pytest.raises(FileRefused, match="altered"):
        NarrowModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("head.bias"), "'head.bias' is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "'extra' belongs to no part"),
        (lambda t: t.update({"head.bias": torch.zeros(9)}), r"found shape \(9,\)"),
        (lambda t: t["head.bias"].fill_(torch.nan), "head.bias"),
    ],
)
def test_a_valid_file_with_wrong_contents_says_what_is_wrong(
    tmp_path: Path, change: Any, message: str
) -> None:
    small().save_pretrained(tmp_path)
    tensors, metadata = store.load(tmp_path / "model.safetensors")
    tensors = {k: v.clone() for k, v in tensors.items()}
    change(tensors)
    store.save(tmp_path / "model.safetensors", tensors, metadata)
    with pytest.raises(FileRefused, match=message):
        NarrowModel.from_pretrained(tmp_path)


def test_a_pickle_offered_as_a_model_is_refused_unopened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    small().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FileRefused, match="pickle"):
        NarrowModel.from_pretrained(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_future_format_asks_for_a_newer_version(tmp_path: Path) -> None:
    small().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    store.write_json(tmp_path / "config.json", {**config, "format": 99})
    with pytest.raises(FileRefused, match="newer version"):
        NarrowModel.from_pretrained(tmp_path)


def test_nothing_is_downloaded_unless_a_revision_is_pinned(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="revision"):
        NarrowModel.from_pretrained("somebody/some-model")


def test_a_users_own_encoder_is_asked_for_on_load(tmp_path: Path) -> None:
    model = NarrowModel(nn.Linear(3, 3), IdentityBottleneck(3), LinearHead(3, 2), ("n", "y"))
    model.save_pretrained(tmp_path)
    with pytest.raises(FileRefused, match="encoder=module"):
        NarrowModel.from_pretrained(tmp_path)
    again, _ = load_pretrained(tmp_path, encoder=nn.Linear(3, 3))
    x = torch.randn(2, 3)
    assert torch.equal(again(x).prediction, model(x).prediction)


def test_pushing_uploads_exactly_what_saving_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="the hub extra is not installed")
    seen: dict[str, Any] = {}

    class Api:
        def __init__(self, token: str | None) -> None: ...

        def create_repo(self, repo_id: str, **options: Any) -> None:
            seen["repo"] = (repo_id, options["private"])

        def upload_folder(self, repo_id: str, folder_path: str) -> str:
            seen["files"] = sorted(p.name for p in Path(folder_path).iterdir())
            return f"https://example.org/{repo_id}"

    monkeypatch.setattr(hub, "HfApi", Api)
    assert small().push_to_hub("me/mine") == "https://example.org/me/mine"
    assert seen == {
        "repo": ("me/mine", True),
        "files": ["README.md", "config.json", "model.safetensors"],
    }


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"pip install 'narrows\[hub\]'"):
        small().push_to_hub("me/mine")


def test_messages_keep_numbers_exactly_and_shrink_integers() -> None:
    sent = {"units": torch.randn(3, 2), "indices": torch.tensor([[0, 255], [-1, 7], [3, 3]])}
    back = from_bytes(to_bytes(sent))
    assert all(torch.equal(back[k], v) for k, v in sent.items())
    narrow, wide = torch.arange(256), torch.arange(256) + 2**40
    assert len(to_bytes({"i": wide})) - len(to_bytes({"i": narrow})) >= 7 * 256 - 64


@pytest.mark.parametrize("message", [b"", b"NRW1", b"PK\x03\x04", b"NRW1" + bytes(40)])
def test_foreign_messages_are_refused(message: bytes) -> None:
    with pytest.raises(FileRefused, match="message"):
        from_bytes(message)


def test_a_message_with_a_valid_checksum_and_no_tensors_inside_is_refused() -> None:
    import zlib

    body = b"\xff" * 32
    with pytest.raises(FileRefused, match="message"):
        from_bytes(struct.pack("<4sI", b"NRW1", zlib.crc32(body)) + body)


def test_blueprints_rebuild_nested_modules_and_refuse_unknown_types() -> None:
    class Pair(Blueprint):
        def __init__(self, first: Blueprint, sizes: tuple[int, ...] = (1,)) -> None:
            super().__init__()
            self.first, self.sizes = first, sizes

    description = json.loads(json.dumps(Pair(LinearHead(2, 3), (4, 5)).describe()))
    again = build(description)
    assert isinstance(again, Pair)
    assert again.first.weight.shape == (3, 2)
    assert again.sizes == (4, 5)
    with pytest.raises(UnknownName, match="LinearHead"):
        build({"type": "LinearHed"})
    with pytest.raises(FileRefused, match="cannot be built"):
        build({"type": "LinearHead", "colour": "red"})


def test_wrong_inputs_name_the_shape_that_is_wanted() -> None:
    with pytest.raises(InvalidInput, match=r"found shape \(3, 7\), wanted shape \(batch, 6\)"):
        small()(torch.zeros(3, 7))
