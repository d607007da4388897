"""Watching sees exactly what layers put out, and leaves no trace in the model."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure.watching import find_layers, layer_names, watch


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def mlp() -> nn.Sequential:
    with torch.random.fork_rng():
        return nn.Sequential(
            nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Sequential(nn.Linear(5, 3), nn.Tanh())
        )


class Odd(nn.Module):
    """Puts out what it is told to."""

    def __init__(self, make: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor, **more: object) -> object:
        return self.make(x)


def test_each_record_is_the_layer_applied_by_hand_even_before_work_in_place(mlp) -> None:
    x = draw(6, 4)
    with watch(mlp) as w:
        y = mlp(x)
    first = x @ mlp[0].weight.T + mlp[0].bias
    assert w.layers == ("0", "1", "2.0", "2.1")
    torch.testing.assert_close(w["0"], first.detach())  # ReLU then overwrote it
    torch.testing.assert_close(w["1"], first.detach().clamp(min=0))
    assert torch.equal(w["2.1"], y.detach())
    assert not w["2.1"].requires_grad


def test_the_model_is_as_before_after_the_block_and_after_an_error_in_it(mlp) -> None:
    x, before = draw(6, 4), copy.deepcopy(mlp.state_dict())
    plain = mlp(x)
    with watch(mlp, ["0", "2"]) as w:
        watched = mlp(x)
    with pytest.raises(RuntimeError), watch(mlp):
        mlp(draw(6, 3))
    assert torch.equal(plain, watched)
    assert all(torch.equal(v, before[k]) for k, v in mlp.state_dict().items())
    hooks = [m._forward_hooks or m._forward_pre_hooks for m in mlp.modules()]
    assert not any(hooks)
    mlp(x)
    assert len(w["0"]) == 6  # nothing more was seen after the block


def test_gradients_are_those_of_the_unwatched_model(mlp) -> None:
    x = draw(6, 4)
    plain = torch.autograd.grad(mlp(x).square().sum(), list(mlp.parameters()))
    with watch(mlp):
        watched = torch.autograd.grad(mlp(x).square().sum(), list(mlp.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))


def test_batches_stand_below_one_another_as_if_they_had_come_at_once(mlp) -> None:
    x = draw(10, 4)
    with watch(mlp, "2.*") as w:
        for part in x.split(3):
            mlp(part)
    with watch(mlp, "2.*") as once:
        mlp(x)
    assert list(w) == ["2.0", "2.1"]
    torch.testing.assert_close(w["2.1"], once["2.1"])
    assert [len(c) for c in w.calls("2.1")] == [3, 3, 3, 1]
    w.clear()
    with pytest.raises(InvalidInput, match="has not run"):
        w["2.1"]


def test_inputs_are_seen_as_outputs_are(mlp) -> None:
    with watch(mlp, ["0", "2"], side="input") as w:
        x = draw(6, 4)
        mlp(x)
    assert torch.equal(w["0"], x)
    assert w["2"].min() == 0
    assert w.taken == {"0": "", "2": ""}


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda x: x, ""),
        (lambda x: (x, x + 1), "[0] of a tuple"),
        (lambda x: [None, (x,)], "[0] of a tuple, [1] of a list"),
        (lambda x: {"hidden": x}, "['hidden'] of a dict"),
        (
            lambda x: dataclasses.make_dataclass("Out", ["label", "h"])("a", x),
            "['h'] of a Out",
        ),
    ],
)
def test_of_other_outputs_the_first_tensor_is_taken_and_that_is_said(make, where) -> None:
    model, x = Odd(make), draw(3, 2)
    with watch(model, "") as w:
        model(x)
    assert torch.equal(w[""], x)
    assert w.taken[""] == where


@pytest.mark.parametrize("make", [lambda x: "text", lambda x: None, lambda x: (1, [])])
def test_an_output_without_a_tensor_is_refused_with_the_layers_name(make) -> None:
    model = nn.Sequential()
    model.add_module("strange", Odd(make))
    with pytest.raises(InvalidType, match="layer 'strange'"), watch(model, "strange"):
        model(draw(3, 2))


def test_names_that_are_no_layers_get_the_nearest(mlp) -> None:
    with pytest.raises(UnknownName, match=r"'2\.5'.*nearest: '2\.1', '2\.0'"):
        watch(mlp, "2.5")
    with pytest.raises(UnknownName, match=r"'9\*'"):
        watch(mlp, "9*")
    with watch(mlp, "0") as w, pytest.raises(UnknownName, match="'1'"):
        w["1"]
    with pytest.raises(InvalidInput, match="layers"):
        watch(mlp, [])
    with pytest.raises(InvalidType, match="layers"):
        watch(mlp, [3])
    with pytest.raises(InvalidType, match="model"):
        watch(print)


def test_memory_has_a_limit_and_halves_take_half(mlp) -> None:
    x = draw(100, 4)
    with pytest.raises(InvalidInput, match="2,000 bytes"), watch(mlp, "0", limit=1999):
        mlp(x)
    with watch(mlp, "0", limit=1000, dtype=torch.float16) as w:
        mlp(x)
    assert w["0"].dtype == torch.float16
    with pytest.raises(InvalidInput, match="float16"), watch(mlp, "0", dtype=torch.float16):
        mlp(1e6 * x)
    for wrong in ({"side": "middle"}, {"limit": 0}):
        with pytest.raises(InvalidInput):
            watch(mlp, "0", **wrong)


def test_a_reducer_sees_every_batch_and_nothing_is_kept(mlp) -> None:
    class Sum:
        def __init__(self) -> None:
            self.total = torch.zeros(5)

        def update(self, batch: Tensor) -> None:
            self.total += batch.sum(0)

    x = draw(50, 4)
    with watch(mlp, "0", into=lambda name: Sum(), limit=1) as w:
        for part in x.split(7):
            mlp(part)
    torch.testing.assert_close(w["0"].total, mlp[0](x).sum(0).detach(), atol=1e-4, rtol=1e-4)
    assert w.calls("0") == ()


def test_outputs_of_different_shapes_are_kept_apart() -> None:
    model = nn.Linear(2, 2)
    with watch(model) as w:
        model(draw(3, 5, 2))
        model(draw(3, 4, 2))
    with pytest.raises(InvalidInput, match="shapes"):
        w[""]
    assert [tuple(c.shape) for c in w.calls("")] == [(3, 5, 2), (3, 4, 2)]
    with watch(model, transform=lambda t: t.mean(1)) as w:
        model(draw(3, 5, 2))
        model(draw(3, 4, 2))
    assert w[""].shape == (6, 2)


def test_a_part_with_two_names_answers_to_both_and_is_listed_once() -> None:
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.Tanh(), shared)
    assert layer_names(model) == ["0", "1"]
    assert find_layers(model, "2") == {"2": shared}
    with watch(model) as w:
        model(draw(3, 2))
    assert len(w["0"]) == 6  # it ran twice


def test_a_watch_is_one_block_at_a_time(mlp) -> None:
    with watch(mlp) as w, pytest.raises(InvalidInput, match="inside"), w:
        pass


def test_layers_of_a_transformers_model_are_its_hidden_states() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=2, n_head=2, n_embd=8, n_positions=16, vocab_size=11, use_cache=False
    )
    with torch.random.fork_rng():
        model = transformers.GPT2Model(config).eval()
    ids = torch.arange(6)[None] % 11
    with watch(model, ["h.*", "ln_f", ""]) as w, torch.no_grad():
        out = model(input_ids=ids, output_hidden_states=True)
    assert torch.equal(w["h.0"], out.hidden_states[1])
    assert torch.equal(w["ln_f"], out.last_hidden_state)
    assert torch.equal(w[""], out.last_hidden_state)
    assert "last_hidden_state" in w.taken[""]
