"""The key-value bottleneck: what it looks up, and what a training step must leave alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from narrows.codes import KeyValueBottleneck, value_optimizer
from narrows.errors import InvalidInput
from narrows.heads import FixedHead
from narrows.model import NarrowModel

CLASSES = 10


def _source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)


def _seeded(seed: int, *args, **kwargs) -> KeyValueBottleneck:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(seed)
        return KeyValueBottleneck(*args, **kwargs)


def _layer(h: torch.Tensor, seed: int = 0, **kwargs) -> KeyValueBottleneck:
    settings_ = {"heads": 8, "pairs": 20, "key_dim": 6, "value_dim": CLASSES} | kwargs
    return _seeded(seed, h.shape[1], **settings_).fit_keys(h, epochs=2, source=_source(seed))


def _step(layer: KeyValueBottleneck, h, y, optimizer) -> None:
    logits = FixedHead(CLASSES, layer.heads)(layer.write(layer.read(h)))
    optimizer.zero_grad()
    cross_entropy(logits, y, label_smoothing=0.1).backward()
    optimizer.step()


def _views(layer: KeyValueBottleneck, h: torch.Tensor) -> np.ndarray:
    """`(n, heads, key_dim)` in double precision, by plain numpy."""
    h, dim = h.double().numpy(), layer.key_dim
    if layer.split == "random":
        h = h @ layer.projections.double().numpy()
    return h.reshape(len(h), layer.heads, dim)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 9),
    heads=st.integers(1, 4),
    pairs=st.integers(1, 9),
    key_dim=st.integers(1, 5),
    split=st.sampled_from(["random", "chunks"]),
)
def test_the_nearest_key_is_the_one_brute_force_finds(seed, n, heads, pairs, key_dim, split):
    features = heads * key_dim
    layer = _seeded(seed, features, heads, pairs, key_dim, 2, split).train()
    keys = torch.randn(heads, pairs, key_dim, generator=_source(seed))
    h = torch.randn(n, features, generator=_source(seed + 1))
    numbers = layer.set_keys(keys).numbers(layer.read(h)).numpy()
    gaps = ((_views(layer, h)[:, :, None] - keys.double().numpy()) ** 2).sum(-1)
    picked = np.take_along_axis(gaps, numbers[..., None], -1)[..., 0]
    np.testing.assert_allclose(picked, gaps.min(-1), atol=1e-4)


def test_ties_go_to_the_lowest_number() -> None:
    layer = KeyValueBottleneck(1, 1, 4, 1, 2, "chunks").train()
    layer.set_keys(torch.tensor([[[1.0], [-1.0], [1.0], [-1.0]]]))
    assert layer.numbers(layer.read(torch.tensor([[0.0], [2.0], [-2.0]]))).tolist() == [
        [0],
        [0],
        [1],
    ]


def test_projections_are_gaussian_with_columns_normalised_over_the_features() -> None:
    layer = _seeded(0, 400, 5, 2, 6)
    drawn = layer.projections
    assert drawn.shape == (400, 30)
    assert torch.allclose(drawn.norm(dim=0), torch.ones(30))
    share = (drawn * 20).flatten().double()
    assert abs(share.mean()) < 0.04
    assert abs(share.pow(4).mean() - 3) < 0.3


def test_a_step_leaves_every_pair_it_did_not_pick_bit_for_bit() -> None:
    x, y = _digits()
    layer = _layer(x)
    layer.train()
    with torch.no_grad():
        layer.values.normal_(generator=_source())
    frozen = {name: b.clone() for name, b in layer.named_buffers() if name != "usage"}
    before = layer.values.detach().clone()
    optimizer = value_optimizer(layer, 1.0)
    for rows in (slice(0, 16), slice(16, 20)):
        _step(layer, x[rows], y[rows], optimizer)
    picked = (layer.usage > 0).unsqueeze(-1)
    assert 0 < picked.sum() < picked.numel()
    same = (layer.values == before).all(-1, keepdim=True)
    assert torch.equal(same, ~picked)
    for name, kept in frozen.items():
        assert torch.equal(dict(layer.named_buffers())[name], kept)


@pytest.mark.parametrize(
    "make",
    [
        lambda values: torch.optim.SGD([values], 1.0, momentum=0.9),
        lambda values: torch.optim.SGD([values], 1.0, weight_decay=0.1),
        lambda values: torch.optim.Adam([values], 0.1),
    ],
)
def test_momentum_decay_and_adam_break_locality(make) -> None:
    """The trap: these move pairs that the second batch did not pick."""
    x, y = _digits()
    layer = _layer(x)
    layer.train()
    optimizer = make(layer.values)
    _step(layer, x[:16], y[:16], optimizer)
    before = layer.values.detach().clone()
    layer.usage.zero_()
    _step(layer, x[16:20], y[16:20], optimizer)
    others = layer.usage == 0
    assert not torch.equal(layer.values[others], before[others])


def test_no_gradient_reaches_the_encoder() -> None:
    x, _ = _digits()
    layer = _layer(x)
    h = x[:5].clone().requires_grad_()
    layer.train().write(layer.read(h)).sum().backward()
    assert h.grad is None
    assert layer.values.grad is not None


def test_the_gradient_of_values_is_right_and_never_one_hot() -> None:
    """Against an explicit one-hot product in double precision."""
    x, _ = _digits()
    layer = _layer(x).double().train()
    weight = torch.randn(12, layer.heads * CLASSES, generator=_source(), dtype=torch.float64)
    reading = layer.read(x[:12].double())
    (layer.write(reading) * weight).sum().backward()
    picks = one_hot(layer.numbers(reading), layer.codes).double()
    expected = torch.einsum("bcj,bcv->cjv", picks, weight.view(12, layer.heads, CLASSES))
    assert torch.allclose(layer.values.grad, expected)


def test_one_head_with_a_key_on_every_training_row_is_one_nearest_neighbour() -> None:
    x, y = _digits()
    train, rest = slice(0, 300), slice(300, 900)
    layer = KeyValueBottleneck(64, 1, 300, 64, CLASSES, "chunks").set_keys(x[None, train])
    with torch.no_grad():
        layer.values[0] = one_hot(y[train], CLASSES).float()
    layer.train().read(x[train])
    layer.eval()
    says = layer.write(layer.read(x[rest])).argmax(1)
    nearest = KNeighborsClassifier(1).fit(x[train].double(), y[train]).predict(x[rest].double())
    assert says.tolist() == nearest.tolist()


def test_a_task_that_picks_other_pairs_leaves_logits_exactly_as_they_were() -> None:
    x, y = _digits()
    layer = _layer(torch.cat([x, x + 100]), pairs=40)
    layer.train()
    head, optimizer = FixedHead(CLASSES, layer.heads), value_optimizer(layer, 1.0)
    first, second = x[:200], x[:200] + 100
    assert layer.overlap(first, second) == 0
    assert layer.overlap(first, first) == 1
    for _ in range(5):
        _step(layer, first, y[:200], optimizer)
    before = head(layer.eval().write(layer.read(first)))
    for _ in range(5):
        _step(layer.train(), second, (y[:200] + 3) % CLASSES, optimizer)
    assert torch.equal(head(layer.eval().write(layer.read(first))), before)


def test_overlap_is_the_share_of_pairs_both_pick() -> None:
    layer = KeyValueBottleneck(1, 1, 4, 1, 2, "chunks")
    layer.set_keys(torch.tensor([[[0.0], [1.0], [2.0], [3.0]]]))
    first, second = torch.tensor([[0.0], [1.0], [1.1]]), torch.tensor([[1.0], [2.0], [3.0]])
    assert layer.overlap(first, second) == 0.5
    assert layer.overlap(second, first) == pytest.approx(1 / 3)
    assert layer.usage.sum() == 0


def test_an_untrained_pair_never_answers() -> None:
    layer = KeyValueBottleneck(1, 1, 3, 1, 2, "chunks")
    layer.set_keys(torch.tensor([[[0.0], [5.0], [9.0]]]))
    layer.train().read(torch.tensor([[0.1], [9.0], [9.1]]))
    assert layer.usage.tolist() == [[1, 0, 2]]
    layer.eval()
    assert layer.numbers(layer.read(torch.tensor([[4.0], [5.0], [7.0]]))).tolist() == [
        [0],
        [2],
        [2],
    ]
    assert layer.usage.tolist() == [[1, 0, 2]]


def test_a_head_that_was_never_used_says_nothing_and_none_gives_uniform_logits() -> None:
    x, _ = _digits()
    layer = _layer(x)
    with torch.no_grad():
        layer.values.normal_(generator=_source())
    model = NarrowModel(nn.Identity(), layer, FixedHead(CLASSES, layer.heads)).eval()
    output = model(x[:4])
    assert torch.equal(output.prediction, torch.zeros(4, CLASSES))
    layer.usage[3, 7] = 1
    reading = model.read(x[:4])
    assert reading.units.sum(0).tolist() == [0, 0, 0, 4, 0, 0, 0, 0]
    expected = (layer.values[3, 7] / layer.heads).expand(4, -1)
    assert torch.allclose(model(x[:4]).prediction, expected)
    sender, receiver = model.split()
    assert torch.equal(receiver(sender(x[:4])).prediction, model(x[:4]).prediction)


def test_logits_are_the_mean_of_the_picked_values_and_explanations_are_exact() -> None:
    x, _ = _digits()
    layer = _layer(x)
    layer.train().read(x)
    layer.eval()
    with torch.no_grad():
        layer.values.normal_(generator=_source())
    model = NarrowModel(nn.Identity(), layer, FixedHead(CLASSES, layer.heads)).eval()
    explained, numbers = model.explain(x[:6]), layer.numbers(model.read(x[:6]))
    values = layer.values.detach()[torch.arange(layer.heads), numbers]
    assert explained.exact
    assert torch.allclose(explained.logits, values.mean(1), atol=1e-6)
    assert torch.allclose(explained.contributions, values / layer.heads, atol=1e-6)
    assert torch.allclose(explained.contributions.sum(1), explained.logits, atol=1e-6)
    assert explained.names[0][2] == f"head 2 code {int(numbers[0, 2])}"
    assert torch.equal(explained.values, numbers.float())


def test_choosing_a_code_brings_its_value() -> None:
    x, _ = _digits()
    layer = _layer(x)
    layer.train().read(x)
    with torch.no_grad():
        layer.values.normal_(generator=_source())
    model = NarrowModel(nn.Identity(), layer.eval(), FixedHead(CLASSES, layer.heads)).eval()
    before, numbers = model(x[:3]).prediction, layer.numbers(model.read(x[:3]))
    after = model.correct(x[:3], {"head 5 code 4": 1.0}).prediction
    values = layer.values.detach()
    change = (values[5, 4] - values[5, numbers[:, 5]]) / layer.heads
    assert torch.allclose(after, before + change, atol=1e-6)


def test_batch_dimensions_are_free() -> None:
    x, _ = _digits()
    layer = _layer(x)
    layer.train().read(x)
    layer.eval()
    flat, folded = layer.read(x[:12]), layer.read(x[:12].view(3, 4, 64))
    assert torch.equal(folded.indices.flatten(0, 1), flat.indices)
    assert layer.write(folded).shape == (3, 4, layer.heads * CLASSES)


def test_keys_follow_from_the_source_alone_and_placing_them_starts_counts_anew() -> None:
    x, _ = _digits()
    first, again, other = (_layer(x, seed) for seed in (0, 0, 1))
    assert torch.equal(first.keys, again.keys)
    assert not torch.equal(first.keys, other.keys)
    first.train().read(x)
    first.fit_keys(x, epochs=0, source=_source())
    assert first.usage.sum() == 0


def test_fewer_rows_than_pairs_are_enough() -> None:
    layer = _seeded(0, 3, heads=2, pairs=50, value_dim=2)
    layer.fit_keys(torch.eye(3), source=_source())
    assert layer.train().read(torch.eye(3)).indices.shape == (3, 2)


def test_autocast_does_not_change_the_pick() -> None:
    x, _ = _digits()
    layer = _layer(x, pairs=200)
    layer.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = layer.read(x).indices
    assert torch.equal(cast, layer.read(x).indices)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"features": 0}, "features"),
        ({"heads": 0}, "heads"),
        ({"pairs": 0}, "pairs"),
        ({"key_dim": 0}, "key_dim"),
        ({"value_dim": 0}, "value_dim"),
        ({"split": "learned"}, "'random', 'chunks'"),
        ({"split": "chunks", "heads": 3}, "divide the features"),
        ({"split": "chunks", "heads": 2, "key_dim": 3}, "divide the features"),
    ],
)
def test_sizes_that_cannot_be_are_refused(change, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        KeyValueBottleneck(**({"features": 8, "heads": 2, "pairs": 3, "value_dim": 2} | change))


def test_unfitted_keys_wrong_widths_and_bad_rows_are_refused() -> None:
    layer = KeyValueBottleneck(4, 2, 3, value_dim=2)
    with pytest.raises(InvalidInput, match="call fit_keys"):
        layer.read(torch.zeros(1, 4))
    with pytest.raises(InvalidInput, match=r"h: found shape \(1, 5\)"):
        layer.fit_keys(torch.zeros(1, 5), source=_source())
    for bad in (torch.zeros(0, 4), torch.full((1, 4), torch.nan)):
        with pytest.raises(InvalidInput, match="finite numbers, at least one"):
            layer.fit_keys(bad, source=_source())
    for change in ({"epochs": -1}, {"batch_size": 0}, {"decay": 1.0}):
        with pytest.raises(InvalidInput, match="epochs, batch_size, decay"):
            layer.fit_keys(torch.zeros(1, 4), source=_source(), **change)
    with pytest.raises(InvalidInput, match="keys: found shape"):
        layer.set_keys(torch.zeros(2, 3, 5))
    with pytest.raises(InvalidInput, match=r"h: found shape \(1, 5\)"):
        layer.set_keys(layer.keys).read(torch.zeros(1, 5))
