"""The method on real digits: prototypes, evidence, corrections, files and wires."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestCentroid
from torch import nn

from narrows.data import Concepts, Dataset, Examples
from narrows.errors import InvalidInput
from narrows.method import from_pretrained
from narrows.prototypes import Conv4, Prototypes, prototypical_network

CLASSES = tuple("abcdefghij")
# scikit-learn warns of features that never change; its means are right all the same.
CONSTANT = pytest.mark.filterwarnings("ignore:self.within_class_std_dev_")


def _digits(n: int = 1500) -> Dataset:
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))[:n]
    x = torch.tensor(digits.images[order, None] / 16, dtype=torch.float32)
    y = torch.tensor(digits.target[order])
    parts = [slice(0, n // 3), slice(n // 3, 2 * n // 3), slice(2 * n // 3, n)]
    return Dataset("d", *(Examples(x[p], y[p], None, CLASSES, Concepts(())) for p in parts))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return _digits()


@pytest.fixture(scope="module")
def fitted(data: Dataset) -> Prototypes:
    return Prototypes(epochs=20).fit(data)


@CONSTANT
def test_it_learns_digits(fitted: Prototypes, data: Dataset) -> None:
    raw = NearestCentroid().fit(data.train.x.flatten(1), data.train.y)
    assert fitted.score(data.test) > raw.score(data.test.x.flatten(1), data.test.y)
    assert fitted.score(data.test) > 0.93


@CONSTANT
def test_prototypes_are_the_class_means_of_all_training_embeddings(fitted, data) -> None:
    model, y = fitted.model_, data.train.y.numpy()
    with torch.no_grad():
        h = model.encoder(data.train.x).double().numpy()
    expected = NearestCentroid().fit(h, y)
    found = model.bottleneck.prototypes.numpy()
    np.testing.assert_allclose(found, expected.centroids_, atol=1e-5)
    with torch.no_grad():
        z = model.encoder(data.test.x).double().numpy()
    says = np.asarray(CLASSES)[expected.predict(z)]
    assert (fitted.predict(data.test) == says).all()


def test_evidence_is_the_nearest_training_example_of_the_class(fitted, data) -> None:
    model, x = fitted.model_, data.test.x[:3]
    with torch.no_grad():
        h = model.encoder(data.train.x)
    for k, found in enumerate(model.bottleneck.evidence(x, model.read(x), model.bottleneck.names)):
        own = (data.train.y == k).nonzero().flatten()
        squares = (h[own] - model.bottleneck.prototypes[k]).square().sum(1)
        assert found.unit == f"like {CLASSES[k]}"
        assert found.value.tolist() == [int(own[squares.argmin()])] * 3


def test_the_best_validation_epoch_is_kept(fitted, data) -> None:
    scores = [row["validation"] for row in fitted.history_]
    assert len(scores) == 20
    assert fitted.score(data.val) == pytest.approx(max(scores))


def test_saying_that_it_is_as_like_as_can_be_decides(fitted, data) -> None:
    model, x = fitted.model_, data.test.x[:50]
    output = model.correct(x, {"like h": 0.0})
    assert (output.prediction.argmax(1) == CLASSES.index("h")).all()
    ruled_out = model.correct(x, {f"like {c}": -1e6 for c in CLASSES[1:]})
    assert (ruled_out.prediction.argmax(1) == 0).all()
    own = {name: model.read(x).units[:, i] for i, name in enumerate(model.bottleneck.names)}
    assert torch.equal(model.correct(x, own).prediction, model(x).prediction)


def test_each_unit_speaks_for_its_own_class_alone(fitted, data) -> None:
    explained = fitted.model_.explain(data.test.x[:4])
    assert explained.exact
    shares = explained.contributions
    assert torch.equal(torch.diagonal(shares, dim1=1, dim2=2), explained.logits)
    assert torch.equal(shares.sum(1), explained.logits)


def test_probabilities_are_a_softmax_over_negative_squared_distances(fitted, data) -> None:
    model = fitted.model_
    with torch.no_grad():
        h = model.encoder(data.test.x[:20]).double()
    squares = torch.cdist(h, model.bottleneck.prototypes.double()) ** 2
    expected = (-squares).softmax(1).numpy()
    np.testing.assert_allclose(fitted.predict_proba(data.test[:20]), expected, atol=1e-4)


def test_a_saved_method_predicts_the_same_bits(fitted, data, tmp_path) -> None:
    fitted.save_pretrained(tmp_path)
    again = from_pretrained(tmp_path)
    x = data.test.x
    assert torch.equal(again.model_(x).prediction, fitted.model_(x).prediction)
    assert torch.equal(again.model_.bottleneck.nearest, fitted.model_.bottleneck.nearest)


def test_the_two_halves_say_what_the_whole_says(fitted, data) -> None:
    sender, receiver = fitted.model_.split()
    x = data.test.x[:9]
    assert torch.equal(receiver(sender(x)).prediction, fitted.model_(x).prediction)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not() -> None:
    data = _digits(240)
    a, b, c = (Prototypes(epochs=2, seed=s).fit(data).model_.state_dict() for s in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["bottleneck.prototypes"], c["bottleneck.prototypes"])


@CONSTANT
def test_identity_features_give_the_nearest_mean_classifier() -> None:
    x, y = load_digits(return_X_y=True)
    x, rest = x[:600].astype(np.float32), x[600:].astype(np.float32)
    method = Prototypes(encoder="identity").fit(x, y[:600])
    scale = np.where(x.std(0) == 0, 1, x.std(0))
    nearest = NearestCentroid().fit((x - x.mean(0)) / scale, y[:600])
    expected = nearest.predict((rest - x.mean(0)) / scale)
    assert (method.predict(rest) == expected).mean() > 0.999
    assert method.history_ == []


def test_images_go_through_the_papers_four_blocks_and_tables_do_not(fitted) -> None:
    assert isinstance(fitted.model_.encoder, Conv4)
    paper = Prototypes(encoder="conv4", epochs=0).fit(_digits(240)).model_.encoder
    assert [c.out_channels for c in paper.modules() if isinstance(c, nn.Conv2d)] == [64] * 4
    x = np.random.default_rng(0).normal(size=(30, 3))
    method = Prototypes(epochs=1).fit(x, x[:, 0] > 0)
    assert not isinstance(method.model_.encoder, Conv4)


def test_small_data_get_enough_episodes_unless_epochs_are_given() -> None:
    x = np.random.default_rng(0).normal(size=(40, 2))
    y = x[:, 0] > 0
    assert len(Prototypes().fit(x, y).history_) == 250  # two episodes each
    assert len(Prototypes(epochs=7).fit(x, y).history_) == 7


def test_a_users_own_encoder_is_trained() -> None:
    encoder = nn.Linear(3, 4)
    before = encoder.weight.detach().clone()
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    method = Prototypes(encoder=encoder, epochs=20, lr=0.01).fit(x, x[:, 0] > 0)
    assert method.score(x, x[:, 0] > 0) > 0.9
    assert not torch.equal(encoder.weight, before)


def test_classes_with_few_examples_are_learnt_too() -> None:
    x = np.array([[0.0], [0.1], [5.0], [5.1], [9.0]] * 1, dtype=np.float32)
    y = np.array(["a", "a", "b", "b", "c"])
    assert (Prototypes(epochs=3).fit(x, y).predict(x) == y).all()


def test_a_convolution_over_a_table_is_refused() -> None:
    with pytest.raises(InvalidInput, match="shape"):
        Prototypes(encoder="conv4").fit(np.eye(4), [0, 0, 1, 1])


def test_a_run_that_stopped_goes_on_to_the_same_bits(tmp_path) -> None:
    data = _digits(240)
    whole = Prototypes(epochs=3).fit(data).model_.state_dict()
    for _ in range(2):
        resumed = Prototypes(epochs=3).fit_run(data, folder=tmp_path).model_.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_learning_rate_halves_every_two_thousand_episodes(monkeypatch) -> None:
    """Two episodes an epoch; 4 in place of 2000."""
    seen: list[float] = []
    stage = prototypical_network.fit_stage

    def spy(*args, **kwargs):
        args[5].register_step_pre_hook(lambda o, *_: seen.append(o.param_groups[0]["lr"]))
        return stage(*args, **kwargs)

    monkeypatch.setattr(prototypical_network, "fit_stage", spy)
    monkeypatch.setattr(prototypical_network, "_HALVING", 4)
    x = np.random.default_rng(0).normal(size=(40, 2))
    Prototypes(epochs=5, encoder="mlp").fit(x, x[:, 0] > 0)
    assert seen == pytest.approx([1e-3] * 4 + [5e-4] * 4 + [2.5e-4] * 2)


def test_a_class_without_an_example_is_refused() -> None:
    rows = Examples(torch.eye(2), torch.tensor([0, 0]), None, ("seen", "unseen"), Concepts(()))
    with pytest.raises(InvalidInput, match="no example for 'like unseen'"):
        Prototypes(epochs=1).fit(rows)


@pytest.mark.parametrize("setting", ["way", "shots", "queries", "lr"])
def test_settings_that_cannot_be_are_refused(setting: str) -> None:
    with pytest.raises(InvalidInput, match=setting):
        Prototypes(**{setting: 0}).fit(np.eye(4), [0, 0, 1, 1])
