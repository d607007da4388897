"""Concept banks against geometry, scikit-learn and their own files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.svm import SVC
from torch import Tensor

from narrows import store
from narrows.concepts import ConceptBank
from narrows.errors import FileRefused, InvalidInput, InvalidType, UnknownName

NAN = float("nan")


def cloud(n: int, at: tuple[float, ...], seed: int) -> Tensor:
    return torch.tensor(at) + torch.randn(n, len(at), generator=torch.Generator().manual_seed(seed))


def sets(n: int = 20) -> dict[str, tuple[Tensor, Tensor]]:
    return {
        "right": (cloud(n, (2.0, 0.0, 0.0), 0), cloud(n, (-2.0, 0.0, 0.0), 1)),
        "up": (cloud(n, (0.0, 1.0, 0.0), 2), cloud(n, (0.0, -1.0, 0.0), 3)),
    }


def test_a_bank_from_examples_is_libsvm_with_the_c_that_is_right_most_often() -> None:
    bank = ConceptBank.from_examples(sets())
    for j, (positive, negative) in enumerate(sets().values()):
        h = torch.cat([positive[:10], negative[:10]]).numpy()
        held = torch.cat([positive[10:], negative[10:]]).numpy()
        t = np.repeat([1, 0], 10)
        fits = [SVC(kernel="linear", C=c).fit(h, t) for c in (0.001, 0.01, 0.1, 1.0, 10.0)]
        scores = [f.score(held, t) for f in fits]
        best = fits[int(np.argmax(scores))]  # the first, so the smallest C, of equals
        np.testing.assert_allclose(bank.vectors[j], best.coef_[0], rtol=1e-5)
        assert float(bank.biases[j]) == pytest.approx(best.intercept_[0], rel=1e-5, abs=1e-6)
        assert float(bank.facts["cost"][j]) == pytest.approx(best.C)
        assert float(bank.facts["held accuracy"][j]) == pytest.approx(max(scores))
        assert float(bank.facts["accuracy"][j]) == pytest.approx(best.score(h, t))


def test_margins_are_those_of_the_distances_numpy_gives() -> None:
    bank = ConceptBank.from_examples(sets(), kind="mean", held=0.0)
    positive, negative = sets()["up"]
    v, b = bank.vectors[1].numpy(), float(bank.biases[1])
    for kind, rows in (("positive", positive), ("negative", negative)):
        d = (rows.numpy() @ v + b) / np.linalg.norm(v)
        wanted = {
            "least": d.min(),
            "most": d.max(),
            "mean": d.mean(),
            "deviation": d.std(),
            "10 %": np.quantile(d, 0.1),
            "90 %": np.quantile(d, 0.9),
        }
        for name, value in wanted.items():
            assert float(bank.facts[f"{kind} {name}"][1]) == pytest.approx(value, rel=1e-5)
    assert "held accuracy" not in bank.facts


def test_examples_can_be_anything_the_backbone_takes() -> None:
    words = {"long": (["aaaa", "aaaaa", "aaaaaa"], ["a", "aa", ""])}
    bank = ConceptBank.from_examples(
        words, lambda texts: torch.tensor([[float(len(t)), 1.0] for t in texts]), held=0.0
    )
    assert bank.vectors[0, 0] > 0


def test_a_drawn_half_is_another_half_and_the_same_seed_gives_the_same_bank() -> None:
    def drawn(seed: int) -> ConceptBank:
        source = torch.Generator().manual_seed(seed)
        return ConceptBank.from_examples(sets(), generator=source)

    assert drawn(1).digest == drawn(1).digest
    assert drawn(1).digest != drawn(2).digest


def test_labels_with_gaps_give_the_bank_of_the_known_rows() -> None:
    h = cloud(60, (0.0, 0.0, 0.0), 5)
    c = (h[:, :2] > 0.2).float()
    known = torch.rand(c.shape, generator=torch.Generator().manual_seed(1)) < 0.6
    gaps = torch.where(known, c, NAN)
    bank = ConceptBank.from_labels(h, gaps, ["a", "b"], kind="ridge")
    for j, name in enumerate(bank.names):
        rows = known[:, j]
        alone = ConceptBank.from_labels(h[rows], c[rows][:, [j]], [name], kind="ridge")
        torch.testing.assert_close(bank.vectors[j], alone.vectors[0])
        torch.testing.assert_close(bank.biases[j], alone.biases[0])


def test_a_text_bank_measures_cosines() -> None:
    texts = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    bank = ConceptBank.from_text(["slanted", "down"], texts)
    h = torch.tensor([[10.0, 0.0], [0.0, 0.1]])
    wanted = torch.nn.functional.cosine_similarity(h[:, None], texts[None], dim=2)
    torch.testing.assert_close(bank.distances(h), wanted)
    by_encoder = ConceptBank.from_text(["slanted", "down"], lambda names: texts[: len(names)])
    assert by_encoder.digest == bank.digest
    raw = ConceptBank.from_text(["slanted", "down"], texts, unit_norm=False)
    torch.testing.assert_close(raw.distances(h), wanted * h.norm(dim=1, keepdim=True))


def test_random_vectors_have_unit_length_and_follow_the_seed() -> None:
    one, again = (ConceptBank.random(50, 7, torch.Generator().manual_seed(3)) for _ in range(2))
    torch.testing.assert_close(one.vectors.norm(dim=1), torch.ones(50))
    assert one.digest == again.digest


def test_a_saved_bank_comes_back_bit_for_bit(tmp_path) -> None:
    bank = ConceptBank.from_examples(sets())
    bank.save(tmp_path / "bank.safetensors")
    again = ConceptBank.load(tmp_path / "bank.safetensors")
    assert again.names == bank.names
    assert again.digest == bank.digest
    assert again.facts.keys() == bank.facts.keys()
    assert torch.equal(again.vectors, bank.vectors)
    assert "2 concepts, 3 features" in repr(again)


def test_taking_concepts_takes_their_numbers() -> None:
    bank = ConceptBank.from_examples(sets())
    one = bank.take(["up"])
    assert torch.equal(one.vectors[0], bank.vectors[1])
    assert one.facts["accuracy"].tolist() == [float(bank.facts["accuracy"][1])]
    with pytest.raises(UnknownName, match="nearest: 'up'"):
        bank.take(["upp"])


def test_files_that_are_no_banks_are_refused(tmp_path) -> None:
    path = tmp_path / "other.safetensors"
    store.save(path, {"vectors": torch.eye(2)}, {"names": ["a", "b"]})
    with pytest.raises(FileRefused, match="no concept bank"):
        ConceptBank.load(path)
    notes = {"bank": 1, "names": ["a", "b"], "facts": [], "unit_norm": False}
    store.save(path, {"vectors": torch.eye(2)}, notes)
    with pytest.raises(FileRefused, match="damaged concept bank"):
        ConceptBank.load(path)
    store.save(path, {"vectors": torch.eye(3), "biases": torch.zeros(3)}, notes)
    with pytest.raises(FileRefused, match="damaged concept bank"):
        ConceptBank.load(path)
    pickle = tmp_path / "bank.pkl"
    pickle.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(FileRefused, match="pickle"):
        ConceptBank.load(pickle)


def test_features_of_another_backbone_are_refused() -> None:
    bank = ConceptBank.random(2, 5, torch.Generator())
    with pytest.raises(InvalidInput, match="found 4 of them from the backbone, wanted 5"):
        bank.distances(torch.zeros(3, 4))


@pytest.mark.parametrize(
    ("names", "vectors", "message"),
    [
        (("a", "a"), torch.eye(2), "'a' more than once"),
        ((), torch.zeros(0, 2), "no unit"),
        (("a", "b"), torch.tensor([[1.0, 0.0], [0.0, 0.0]]), "length 0 for 'b'"),
        (("a", "b"), torch.full((2, 2), NAN), "vectors: found a value that is NaN"),
        (("a",), torch.eye(2), r"vectors: found shape \(2, 2\)"),
    ],
)
def test_bad_banks_are_named(names: tuple[str, ...], vectors: Tensor, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ConceptBank(names, vectors, torch.zeros(len(vectors)))


def test_biases_must_be_one_a_concept_and_finite() -> None:
    for biases in (torch.zeros(3), torch.tensor([0.0, NAN])):
        with pytest.raises(InvalidInput, match="biases"):
            ConceptBank(("a", "b"), torch.eye(2), biases)


def test_bad_examples_are_named() -> None:
    good = cloud(6, (0.0, 1.0), 0)
    cases = [
        ({"x": (good[:2], good)}, "found 1 positive and 3 negative of 'x'"),
        ({"x": (good, cloud(6, (0.0,), 0))}, "widths"),
        ({"x": (good, good - 3), "y": (good[:, :1], good[:, :1] - 3)}, "widths"),
        ({"x": (good[0], good)}, r"sets\['x'\]: found shape \(2,\)"),
        ({"x": (torch.ones(6, 2), torch.ones(6, 2))}, "features alike for all of 'x'"),
        ({}, "no concept"),
    ]
    for broken, message in cases:
        with pytest.raises(InvalidInput, match=message):
            ConceptBank.from_examples(broken)
    with pytest.raises(InvalidType, match="list"):
        ConceptBank.from_examples({"x": ([1.0], good)})
    with pytest.raises(InvalidInput, match="held"):
        ConceptBank.from_examples(sets(), held=1.0)
    with pytest.raises(InvalidInput, match="names: found 1"):
        ConceptBank.from_labels(good, torch.ones(6, 2), ["a"])


def test_bad_texts_are_named() -> None:
    with pytest.raises(InvalidInput, match="more than once"):
        ConceptBank.from_text(["a", "a"], torch.eye(2))
    with pytest.raises(InvalidInput, match="texts: found shape"):
        ConceptBank.from_text(["a", "b"], torch.eye(3))
    with pytest.raises(InvalidInput, match="length 0 for 'b'"):
        ConceptBank.from_text(["a", "b"], torch.tensor([[1.0], [0.0]]))
