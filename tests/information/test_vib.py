from __future__ import annotations

import math
import os
import signal
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from narrows.data.record import Concepts, Dataset, Examples
from narrows.encoders import MLPEncoder
from narrows.errors import InvalidInput, InvalidType
from narrows.heads import LinearHead
from narrows.information.gaussian import GaussianBottleneck
from narrows.information.vib import VIB, predict_samples, vib_loss
from narrows.method import from_pretrained
from narrows.model import NarrowModel
from narrows.train import TrainingStopped, isolated

# Four inputs, each with its own law of y: everything about (X, Y) is known exactly.
_COUNTS = np.array([[18, 1, 1], [1, 18, 1], [1, 1, 18], [10, 5, 5]])


def _joint(scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]], dtype=np.float32)
    pairs = [(i, y) for i in range(4) for y in range(3) for _ in range(_COUNTS[i, y])]
    rows = np.random.default_rng(0).permutation(len(pairs))
    x = np.stack([scale * corners[pairs[r][0]] for r in rows])
    return x, np.array([pairs[r][1] for r in rows])


def _entropy(counts: np.ndarray) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


_H_Y = _entropy(_COUNTS.sum(0))
_H_Y_GIVEN_X = float(sum(_entropy(row) * row.sum() for row in _COUNTS) / _COUNTS.sum())


def _fit(**changes) -> VIB:
    chosen = {"units": 4, "encoder": "mlp", "epochs": 60, "batch_size": 20, "lr": 0.01}
    return VIB(**chosen | changes).fit(*_joint())


def _distortion(method: VIB) -> float:
    """Mean CE of noisy predictions in nats, many samples of z."""
    x, y = (torch.as_tensor(part) for part in _joint())
    model = method.model_
    with torch.no_grad(), isolated(0, "noise"):
        model.bottleneck.train()
        losses = [float(vib_loss(model, x, y)["label"]) for _ in range(200)]
        model.eval()
    return float(np.mean(losses))


@pytest.fixture(scope="module")
def path() -> dict[float, VIB]:
    """The same small task at rising prices of a nat."""
    return {beta: _fit(rate_weight=beta) for beta in (0.0, 1e-3, 0.03, 3.0)}


def test_loss_is_the_cross_entropy_of_one_sample_plus_the_weighted_rate():
    x, y = (torch.as_tensor(part) for part in _joint())
    encoder = MLPEncoder(2, (8,))
    model = NarrowModel(encoder, GaussianBottleneck(8, 3, rate_weight=0.2), LinearHead(3, 3))
    with isolated(1, "noise"):
        found = vib_loss(model.train(), x, y)
    with torch.no_grad():
        mean, raw = model.bottleneck.linear(encoder(x)).chunk(2, -1)
        std = torch.log1p(torch.exp(raw - 5))
        with isolated(1, "noise"):
            z = mean + std * torch.randn(mean.shape)
        logits = z.double().numpy() @ model.head.weight.double().numpy().T
    logits += model.head.bias.detach().double().numpy()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    label = -np.log(p[np.arange(len(y)), y.numpy()]).mean()
    m, s = mean.double().numpy(), std.double().numpy()
    rate = 0.5 * (m**2 + s**2 - 1 - np.log(s**2)).sum(1).mean()
    assert found["label"].item() == pytest.approx(label, rel=1e-4)
    assert found["rate"].item() == pytest.approx(rate, rel=1e-4)
    assert found["loss"].item() == pytest.approx(label + 0.2 * rate, rel=1e-4)


def test_without_a_price_the_loss_is_the_noisy_networks_alone(path):
    last = path[0.0].history_[-1]
    assert last["loss"] == pytest.approx(last["label"], abs=1e-12)
    assert last["rate"] > 1


def test_a_high_price_collapses_the_code_and_leaves_the_marginal(path):
    collapsed = path[3.0]
    x, y = _joint()
    assert collapsed.read(x).rate.max() < 0.005
    marginal = np.array([n for _, n in sorted(Counter(y.tolist()).items())]) / len(y)
    np.testing.assert_allclose(
        collapsed.predict_proba(x), np.tile(marginal, (len(x), 1)), atol=0.02
    )
    assert collapsed.score(x, y) == pytest.approx(marginal.max(), abs=0.02)


def test_rate_does_not_rise_with_its_price(path):
    rates = [float(method.read(_joint()[0]).rate.mean()) for method in path.values()]
    assert all(a >= b for a, b in pairwise(rates)), rates
    assert rates[0] > 10 * rates[-1]


def test_distortion_is_between_the_entropies_of_y_given_x_and_of_y(path):
    distortions = [_distortion(method) for method in path.values()]
    assert all(d > _H_Y_GIVEN_X - 1e-3 for d in distortions), (distortions, _H_Y_GIVEN_X)
    assert distortions[1] < _H_Y_GIVEN_X + 0.01
    assert distortions[-1] == pytest.approx(_H_Y, abs=0.02)


def test_what_the_code_tells_about_y_costs_at_least_as_much_rate(path):
    """I(Z; Y) <= I(Z; X) <= R, with I(Z; Y) >= H(Y) - D."""
    for method in path.values():
        rate = float(method.read(_joint()[0]).rate.mean())
        assert _H_Y - _distortion(method) <= rate + 1e-3


def test_a_saved_method_predicts_bit_for_bit_the_same(path, tmp_path):
    method, (x, _) = path[1e-3], _joint()
    method.save_pretrained(tmp_path / "vib")
    again = from_pretrained(tmp_path / "vib")
    np.testing.assert_array_equal(again.predict_proba(x), method.predict_proba(x))
    np.testing.assert_array_equal(again.read(x).rate, method.read(x).rate)


def test_sender_and_receiver_say_what_the_model_says(path):
    model, x = path[1e-3].model_, torch.as_tensor(_joint()[0])
    sender, receiver = model.split()
    assert torch.equal(receiver(sender(x)).prediction, model(x).prediction)


def test_same_seed_same_numbers_and_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    a, b = _fit(epochs=3), _fit(epochs=3)
    other = _fit(epochs=3, seed=1)
    x = _joint()[0]
    np.testing.assert_array_equal(a.predict_proba(x), b.predict_proba(x))
    assert not np.array_equal(a.predict_proba(x), other.predict_proba(x))
    assert torch.equal(before, torch.get_rng_state())


def test_kept_weights_are_the_average_of_the_weights_after_each_step():
    x, y = _joint()
    seen: list[torch.Tensor] = []

    class Spy(nn.Module):
        """Starts at the identity and notes its weights whenever a training step uses them."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)
            nn.init.eye_(self.layer.weight)
            nn.init.zeros_(self.layer.bias)

        def forward(self, rows):
            if torch.is_grad_enabled():
                seen.append(self.layer.weight.detach().clone())
            return self.layer(rows)

    chosen = {"units": 2, "batch_size": len(x), "averaging": 0.2, "lr": 0.05}
    # One step an epoch: step k of the longer run sees what k - 1 steps made.
    VIB(encoder=Spy(), epochs=5, **chosen).fit(x, y)
    _, *after = list(seen)
    kept = VIB(encoder=Spy(), epochs=4, **chosen).fit(x, y).model_.encoder.layer.weight
    average = after[0]
    for t, weight in enumerate(after[1:], start=1):
        keep = min(0.2, (1 + t) / (10 + t))
        average = keep * average + (1 - keep) * weight
    torch.testing.assert_close(kept, average)
    assert (average - after[-1]).abs().max() > 1e-3


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path):
    x, y = _joint()

    class Stopper(nn.Module):
        """Asks the process to stop at one training step."""

        def __init__(self, at: int | None):
            super().__init__()
            self.layer, self.at, self.calls = nn.Linear(2, 2), at, 0
            nn.init.eye_(self.layer.weight)
            nn.init.zeros_(self.layer.bias)

        def forward(self, rows):
            if torch.is_grad_enabled():
                self.calls += 1
                if self.calls == self.at:
                    os.kill(os.getpid(), signal.SIGTERM)
            return self.layer(rows)

    chosen = {"units": 2, "epochs": 4, "batch_size": 20}
    with pytest.raises(TrainingStopped):
        VIB(encoder=Stopper(10), **chosen).fit_run(x, y, folder=tmp_path)
    resumed = VIB(encoder=Stopper(None), **chosen).fit_run(x, y, folder=tmp_path)
    whole = VIB(encoder=Stopper(None), **chosen).fit(x, y)
    for name, tensor in whole.model_.state_dict().items():
        assert torch.equal(resumed.model_.state_dict()[name], tensor), name
    assert resumed.history_ == whole.history_


def test_validation_rows_do_not_pick_an_early_epoch_whose_rate_is_still_high():
    x, y = (torch.as_tensor(part) for part in _joint())
    rows = Examples(x, y, None, (0, 1, 2), Concepts(()))
    chosen = {"units": 4, "encoder": "mlp", "epochs": 5, "batch_size": 20}
    with_validation = VIB(**chosen).fit(Dataset("joint", rows, rows, rows, {}))
    without = VIB(**chosen).fit(rows)
    np.testing.assert_array_equal(with_validation.read(x).rate, without.read(x).rate)


def test_small_data_get_a_thousand_steps_and_an_asked_for_number_is_kept():
    x, y = _joint()
    settled = VIB(units=2, encoder="mlp", batch_size=10).fit(x, y)
    assert len(settled.history_) == 1000 / (len(x) / 10)
    assert len(VIB(units=2, encoder="mlp", epochs=3).fit(x, y).history_) == 3


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(0, 1000))
def test_sampled_predictions_are_probabilities_fixed_by_their_generator(samples, seed):
    model = _untrained()
    x = torch.as_tensor(_joint()[0][:5])
    before = torch.get_rng_state()
    a = predict_samples(model, x, samples, torch.Generator().manual_seed(seed))
    b = predict_samples(model, x, samples, torch.Generator().manual_seed(seed))
    assert torch.equal(a, b)
    torch.testing.assert_close(a.sum(1), torch.ones(5))
    assert (a >= 0).all()
    assert torch.equal(before, torch.get_rng_state())


def test_many_samples_approach_the_integral_over_the_code():
    """One latent, two classes: the mean of a sigmoid of a Gaussian, by quadrature."""
    from scipy.integrate import quad

    model = NarrowModel(nn.Identity(), GaussianBottleneck(1, 1), LinearHead(1, 2)).eval()
    with torch.no_grad():
        model.bottleneck.linear.bias.copy_(torch.tensor([0.3, 6.0]))
        model.head.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        model.head.bias.zero_()
    x = torch.zeros(1, 1)
    with torch.no_grad():
        mean, std = (float(part) for part in model.bottleneck.code(x))

    def weighted(z: float) -> float:
        density = math.exp(-((z - mean) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))
        return density / (1 + math.exp(-2 * z))

    exact = quad(weighted, mean - 12 * std, mean + 12 * std)[0]
    found = predict_samples(model, x, 20_000, torch.Generator().manual_seed(0))[0, 1]
    assert float(found) == pytest.approx(exact, abs=0.01)


def _untrained() -> NarrowModel:
    with isolated(0, "init"):
        parts = MLPEncoder(2, (8,)), GaussianBottleneck(8, 3), LinearHead(3, 3)
    return NarrowModel(*parts).eval()


def test_sampling_needs_a_sample_and_a_gaussian_code():
    model, x, source = _untrained(), torch.zeros(1, 2), torch.Generator()
    with pytest.raises(InvalidInput, match=r"^samples: found 0"):
        predict_samples(model, x, 0, source)
    model.bottleneck = nn.Identity()
    with pytest.raises(InvalidType, match=r"^model.bottleneck: found Identity"):
        predict_samples(model, x, 1, source)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"units": 0}, "units"),
        ({"rate_weight": -1.0}, "rate_weight"),
        ({"averaging": 1.0}, "averaging"),
        ({"averaging": -0.1}, "averaging"),
        ({"lr": 0.0}, "lr"),
        ({"batch_size": 0}, "batch_size"),
        ({"epochs": -1}, "epochs"),
        ({"encoder": "papers"}, "encoder"),
    ],
)
def test_bad_settings_are_named(changes, name):
    with pytest.raises(InvalidInput, match=f"^{name}"):
        _fit(**{"encoder": "mlp", "epochs": 1} | changes)
