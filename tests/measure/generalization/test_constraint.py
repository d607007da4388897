"""The constraint brings a code's information to the number asked for (check 6 of the method)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from narrows.errors import InvalidInput
from narrows.measure import MIConstraint, local_information, sandwich_mi


def blobs() -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    y = torch.arange(50) % 5
    centres = torch.empty(5, 2).uniform_(-10, 10, generator=source)
    return centres[y] + 0.7 * torch.randn(50, 2, generator=source), y


def mlp(source: torch.Generator) -> nn.Sequential:
    layers = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(),
                           nn.Linear(16, 16))  # fmt: skip
    with torch.no_grad():
        for p in layers.parameters():
            bound = 1 / math.sqrt(p.shape[-1])
            p.uniform_(-bound, bound, generator=source)
    return layers


def trained(target: float, rate: float) -> float:
    """Nats kept after 300 epochs of one step."""
    x, y = blobs()
    source = torch.Generator().manual_seed(1)
    mean_net, std_net, head = mlp(source), mlp(source), nn.Linear(16, 5)
    with torch.no_grad():
        head.weight.uniform_(-0.25, 0.25, generator=source)
        head.bias.zero_()
    parameters = [p for net in (mean_net, std_net, head) for p in net.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
    hold = MIConstraint(target, rate)
    for _ in range(300):
        mean, std = mean_net(x), softplus(std_net(x))
        noise = torch.randn(mean.shape, generator=source)
        told = local_information(mean, std, noise).mean()
        label = nn.functional.cross_entropy(head(mean + std * noise), y)
        optimizer.zero_grad()
        (label + hold(told)).backward()
        optimizer.step()
        hold.step(told)
    with torch.no_grad():
        return sandwich_mi(mean_net(x), softplus(std_net(x)), draws=20).value


@pytest.mark.parametrize("rate", [2e-3, 5e-3])
def test_training_ends_near_the_information_asked_for(rate: float) -> None:
    assert abs(trained(1.5, rate) - 1.5) < 0.2


def test_without_the_constraint_training_ends_elsewhere_and_a_slow_rate_between() -> None:
    free, slow = trained(1.5, 0.0), trained(1.5, 5e-4)
    assert free > 3
    assert 1.7 < slow < free


def test_the_multiplier_moves_towards_the_target_from_both_sides() -> None:
    hold = MIConstraint(target=2.0, rate=0.1)
    hold.step(torch.tensor(1.0))
    assert float(hold.multiplier) == pytest.approx(0.1)
    low = torch.tensor(1.0, requires_grad=True)
    hold(low).backward()
    assert low.grad is not None
    assert low.grad < 0  # descent raises the information
    for _ in range(2):
        hold.step(torch.tensor(4.0))
    assert float(hold.multiplier) == pytest.approx(-0.3)
    high = torch.tensor(4.0, requires_grad=True)
    hold(high).backward()
    assert high.grad is not None
    assert high.grad > 0


def test_a_rate_of_zero_changes_nothing_and_several_nets_have_their_own() -> None:
    hold = MIConstraint(1.5, torch.tensor([0.0, 5e-4]))
    hold.step(torch.tensor([0.5, 0.5]))
    assert hold.multiplier.tolist() == pytest.approx([0.0, 5e-4])
    assert hold(torch.tensor([0.5, 0.5])).tolist() == pytest.approx([0.0, 5e-4])


def test_the_multiplier_is_saved_with_the_state() -> None:
    hold = MIConstraint(1.5, 0.1)
    hold.step(torch.tensor(0.0))
    other = MIConstraint(1.5, 0.1)
    other.load_state_dict(hold.state_dict())
    assert torch.equal(other.multiplier, hold.multiplier)


def test_numbers_that_cannot_be_held_are_refused() -> None:
    for bad in ({"target": math.nan}, {"rate": -1.0}, {"rate": math.inf}, {"start": math.nan}):
        with pytest.raises(InvalidInput, match=next(iter(bad))):
            MIConstraint(**bad)
