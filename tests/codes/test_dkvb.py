"""The key-value method: its optimum, its promise of little forgetting, files and wires."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from narrows.codes import KeyValueBottleneck, KeyValueCode, value_optimizer
from narrows.data import Concepts, Dataset, Examples
from narrows.errors import InvalidInput
from narrows.heads import FixedHead
from narrows.method import from_pretrained

CLASSES = tuple("abcdefghij")
SMALL = {"heads": 16, "pairs": 50, "key_dim": 8, "key_epochs": 5, "epochs": 10}


def _digits() -> Dataset:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = torch.tensor(x[order] / 16, dtype=torch.float32), torch.tensor(y[order])
    parts = [slice(0, 1000), slice(1000, 1400), slice(1400, None)]
    return Dataset("d", *(Examples(x[p], y[p], None, CLASSES, Concepts(())) for p in parts))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return _digits()


@pytest.fixture(scope="module")
def fitted(data: Dataset) -> KeyValueCode:
    return KeyValueCode(**SMALL).fit(data)


def test_it_learns_digits(fitted, data) -> None:
    assert fitted.score(data.test) > 0.88


def test_every_head_reads_one_code_and_usage_counts_the_training_rows(fitted, data) -> None:
    layer = fitted.model_.bottleneck
    assert layer.usage.sum(1).tolist() == [1000] * 16
    codes = fitted.transform(data.train)
    assert codes.shape == (1000, 16)
    counts = np.stack([np.bincount(c.astype(int), minlength=50) for c in codes.T])
    np.testing.assert_array_equal(layer.usage.numpy(), counts)
    assert list(fitted.get_feature_names_out())[:2] == ["head 0", "head 1"]


def test_the_encoder_is_frozen_and_standardises(fitted, data) -> None:
    x = data.train.x.numpy()
    scale = np.where(x.std(0) == 0, 1, x.std(0))
    with torch.no_grad():
        h = fitted.model_.encoder(data.test.x).numpy()
    np.testing.assert_allclose(h, (data.test.x.numpy() - x.mean(0)) / scale, rtol=1e-4, atol=1e-4)
    own = nn.Linear(64, 12)
    kept = own.weight.detach().clone()
    KeyValueCode(encoder=own, heads=4, pairs=10, epochs=2).fit(data.train)
    assert torch.equal(own.weight, kept)
    assert not own.weight.requires_grad


def test_the_best_validation_epoch_is_kept(fitted, data) -> None:
    scores = [row["validation"] for row in fitted.history_]
    assert len(scores) == 10
    assert fitted.score(data.val) == pytest.approx(max(scores))


def test_the_optimal_value_of_a_pure_cell_is_the_smoothed_one_hot() -> None:
    """With one head the objective splits by cell: softmax(v) = smoothed shares of its labels."""
    h = torch.arange(3.0).repeat_interleave(20).unsqueeze(1)
    y = torch.arange(3).repeat_interleave(20)
    y[40:50] = 0  # the last cell is half one class, half another
    layer = KeyValueBottleneck(1, 1, 3, 1, 4, "chunks").set_keys(torch.arange(3.0).view(1, 3, 1))
    optimizer = value_optimizer(layer.train(), 2.0)
    for _ in range(800):
        logits = FixedHead(4)(layer.write(layer.read(h)))
        optimizer.zero_grad()
        cross_entropy(logits, y, label_smoothing=0.1).backward()
        optimizer.step()
    smooth = 0.9 * one_hot(torch.arange(3), 4) + 0.1 / 4
    smooth[2, 0], smooth[2, 2] = 0.45 + 0.025, 0.45 + 0.025
    assert torch.allclose(layer.values[0].softmax(-1), smooth, atol=1e-3)


@pytest.mark.parametrize("heads", [1, 7])
def test_the_step_is_plain_sgd_on_the_shares_of_the_heads(heads: int) -> None:
    """Against the same step written for logits that are sums of shares, clip included."""
    source = torch.Generator().manual_seed(0)
    layer = KeyValueBottleneck(heads, heads, 5, 1, 3, "chunks").train()
    layer.set_keys(torch.randn(heads, 5, 1, generator=source))
    h, y = torch.randn(12, heads, generator=source), torch.arange(12) % 3
    shares = torch.zeros(heads, 5, 3, requires_grad=True)
    optimizer = value_optimizer(layer, 0.7, clip=0.05)
    numbers = layer.numbers(layer.read(h))
    for _ in range(3):
        loss = cross_entropy(FixedHead(3, heads)(layer.write(layer.select(numbers))), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        own = cross_entropy(shares[torch.arange(heads), numbers].sum(1), y)
        (gradient,) = torch.autograd.grad(own, shares)
        assert gradient.norm() > 0.05
        shares = (shares - 0.7 * gradient * 0.05 / gradient.norm()).detach().requires_grad_()
    assert torch.allclose(layer.values / heads, shares, atol=1e-5)


def _digit_tasks(seed: int):
    """Training and test rows, and five tasks of two classes each in a random order."""
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)
    source = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=source)
    train, test = order[:1437], order[1437:]
    tasks = [
        train[torch.isin(y[train], task)]
        for task in torch.randperm(10, generator=source).view(5, 2)
    ]
    return x, y, tasks, test, source


def _learn(parameter, logits, y, rows, source) -> None:
    """One task: 100 epochs of the published step as it is, lr 0.3 and clip 1."""
    optimizer = torch.optim.SGD([parameter], 0.3)
    for _ in range(100):
        for batch in rows[torch.randperm(len(rows), generator=source)].split(256):
            loss = cross_entropy(logits(batch), y[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameter, 1.0)
            optimizer.step()


def _key_value_stream(seed: int) -> float:
    x, y, tasks, test, source = _digit_tasks(seed)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(seed)
        layer = KeyValueBottleneck(64, heads=64, pairs=200, key_dim=8, value_dim=10)
    layer.fit_keys(x[torch.cat(tasks)], epochs=5, source=source)
    head, numbers = FixedHead(10, parts=64), torch.zeros(len(x), 64, dtype=torch.long)
    for rows in tasks:
        numbers[rows] = layer.numbers(layer.train().read(x[rows]))
        _learn(layer.values, lambda b: head(layer.write(layer.select(numbers[b]))), y, rows, source)
    said = head(layer.eval().write(layer.read(x[test]))).argmax(1)
    return float((said == y[test]).double().mean())


def _linear_stream(seed: int) -> float:
    x, y, tasks, test, source = _digit_tasks(seed)
    weight = torch.zeros(10, 64, requires_grad=True)
    for rows in tasks:
        _learn(weight, lambda b: x[b] @ weight.T, y, rows, source)
    return float(((x[test] @ weight.T).argmax(1) == y[test]).double().mean())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_stream_of_classes_is_kept_where_a_linear_probe_forgets(seed: int) -> None:
    assert _key_value_stream(seed) > 0.9
    assert _linear_stream(seed) < 0.4


def test_chunks_let_each_head_see_its_own_part(data) -> None:
    method = KeyValueCode(**SMALL | {"split": "chunks", "key_dim": None}).fit(data)
    assert method.model_.bottleneck.keys.shape == (16, 50, 4)
    x = data.test.x[:20].clone()
    before = method.transform(x)
    x[:, 8:12] += 1
    assert (method.transform(x) != before).any(0).nonzero()[0].tolist() == [2]


def test_a_saved_method_predicts_the_same_bits(fitted, data, tmp_path) -> None:
    fitted.save_pretrained(tmp_path)
    again = from_pretrained(tmp_path)
    assert torch.equal(again.model_(data.test.x).prediction, fitted.model_(data.test.x).prediction)
    assert (again.predict(data.test) == fitted.predict(data.test)).all()


def test_the_two_halves_say_what_the_whole_says_with_one_byte_per_head(fitted, data) -> None:
    sender, receiver = fitted.model_.split()
    x = data.test.x[:30]
    message = sender(x)
    assert torch.equal(receiver(message).prediction, fitted.model_(x).prediction)
    sent = load_tensors(message[8:])
    assert list(sent) == ["codes"]
    assert (sent["codes"].dtype, tuple(sent["codes"].shape)) == (torch.uint8, (30, 16))


def test_a_correction_by_name_and_one_by_number_agree(fitted, data) -> None:
    model, x = fitted.model_, data.test.x[:8]
    by_name = model.correct(x, {"head 3 code 17": 1.0})
    mask, values = torch.zeros(8, 16, dtype=torch.bool), torch.zeros(8, 16)
    mask[:, 3], values[:, 3] = True, 17
    assert torch.equal(model.correct(x, (mask, values)).prediction, by_name.prediction)
    assert model.bottleneck.spoken(by_name.reading)[0][3] == "head 3 code 17"


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(data) -> None:
    small = SMALL | {"epochs": 2}
    a, b, c = (KeyValueCode(**small, seed=s).fit(data).model_.state_dict() for s in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["bottleneck.projections"], c["bottleneck.projections"])


def test_a_run_that_stopped_goes_on_to_the_same_bits(data, tmp_path) -> None:
    whole = KeyValueCode(**SMALL).fit(data)
    for _ in range(2):
        resumed = KeyValueCode(**SMALL).fit_run(data, folder=tmp_path)
    state = whole.model_.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in resumed.model_.state_dict().items())


@pytest.mark.parametrize(
    ("setting", "value"),
    [("lr", 0.0), ("batch_size", 0), ("split", "learned"), ("heads", 0), ("pairs", 0)],
)
def test_settings_that_cannot_be_are_refused(setting: str, value) -> None:
    with pytest.raises(InvalidInput, match=setting):
        KeyValueCode(**{setting: value}).fit(np.eye(4), [0, 0, 1, 1])
