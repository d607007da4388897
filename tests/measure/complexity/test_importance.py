"""Contributions add up to the logit, and are gradient times input."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from narrows.errors import InvalidInput, InvalidType
from narrows.measure.complexity import feature_contributions, feature_importance


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_contributions_add_up_to_the_logit_less_its_bias_and_are_gradient_times_code() -> None:
    z, d, head = draw(20, 6).abs(), draw(6, 4, seed=1).abs(), torch.nn.Linear(4, 3).double()
    codes = z.clone().requires_grad_()
    logits = head(codes @ d)
    predicted = logits.argmax(1)
    found = feature_contributions(z, d, head.weight, predicted)
    own = logits.gather(1, predicted[:, None])[:, 0]
    torch.testing.assert_close(found.sum(1), (own - head.bias[predicted]).detach())
    (gradient,) = torch.autograd.grad(own.sum(), codes)
    torch.testing.assert_close(found, gradient * z)
    torch.testing.assert_close(
        feature_importance(z, d, head.weight, predicted), (gradient * z).abs().mean(0)
    )


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"D": draw(5, 4)}, InvalidInput, "D: found 5 atoms"),
        ({"head_weight": draw(3, 5)}, InvalidInput, "head_weight: found 5 columns"),
        ({"predicted": [0, 1]}, InvalidInput, "predicted: found shape"),
        ({"predicted": [0, 3, 0]}, InvalidInput, "predicted: found ids 0 to 3"),
        ({"predicted": [0.0, 1.0, 0.0]}, InvalidType, "predicted"),
        ({"Z": draw(3, 6) / 0}, InvalidInput, "Z"),
    ],
)
def test_bad_input_is_named(changes: dict[str, object], error: type[Exception], named: str) -> None:
    given = {"Z": draw(3, 6), "D": draw(6, 4), "head_weight": draw(3, 4), "predicted": [0, 1, 2]}
    with pytest.raises(error, match=named):
        feature_importance(**{**given, **changes})
