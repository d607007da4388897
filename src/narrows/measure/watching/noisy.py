"""Noise in front of layers, so that what they tell of the input is finite.

A layer that is a function of a continuous input tells infinitely much of it. Goldfeld et al.
(2019) and Butakov et al. (ICLR 2024, arXiv 2305.08013) put noise before every dense and
convolutional layer, in training and afterwards: L = f(x + Z).

`additive`   Z = sigma N(0, I), Goldfeld's model.
`relative`   Z = sigma x N(0, I), entry by entry, as in Butakov's code. An entry that is exactly 0,
             such as a dark pixel or a silent unit, gets none, and information may stay infinite.

How much a layer then tells of x is mostly a statement about sigma.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from narrows.errors import InvalidInput, wrong, wrong_type
from narrows.measure.watching.layers import find_layers
from narrows.measure.watching.recorder import first_tensor
from narrows.train.randomness import stream

KINDS = ("additive", "relative")
_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class NoisyLayers:
    """While the block runs, layers see their input with noise; the model is as before afterwards.

    Training modules draw from `generator`. Modules in evaluation mode, as they are during a
    snapshot of the plane, draw from a stream of their own, made from the generator's seed: to
    look at a model does not change how it goes on training.

    Args:
        model: any module.
        layers: names or patterns (see `find_layers`); by default every dense and convolutional
            layer.
        sigma: size of the noise.
        kind: `additive` or `relative`.
        generator: on the device of the model's activations.

    Raises:
        UnknownName: no such layer.
        InvalidInput: a sigma that is no positive number, another kind, a model without layers
            with weights; a block inside its own block.
        InvalidType: (in the block) a layer whose first input is no floating tensor.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
        >>> x, source = torch.ones(3, 2), torch.Generator().manual_seed(0)
        >>> with NoisyLayers(model, sigma=0.1, generator=source):
        ...     bool((model(x) == model(x)).any())
        False
        >>> torch.equal(model(x), model(x))
        True
    """

    def __init__(
        self,
        model: nn.Module,
        layers: str | Sequence[str] | None = None,
        *,
        sigma: float = 1e-2,
        kind: str = "additive",
        generator: torch.Generator,
    ) -> None:
        if isinstance(sigma, bool) or not (math.isfinite(sigma) and sigma > 0):
            raise wrong("sigma", sigma, "a positive number")
        if kind not in KINDS:
            raise wrong("kind", repr(kind), "'additive' or 'relative'")
        if not isinstance(generator, torch.Generator):
            raise wrong_type("generator", type(generator).__name__, "a torch.Generator")
        self.sigma, self.kind, self.generator = float(sigma), kind, generator
        self._modules = _weighted(model) if layers is None else find_layers(model, layers)
        aside = stream(generator.initial_seed(), "evaluation")
        self._aside = torch.Generator(generator.device).manual_seed(aside)
        self._handles: list[RemovableHandle] = []

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that see noise."""
        return tuple(self._modules)

    def __enter__(self) -> NoisyLayers:
        if self._handles:
            raise InvalidInput("NoisyLayers: found a block inside its own block, wanted one")
        for name, module in self._modules.items():
            # First of all hooks, so that whoever watches a layer's input sees the noise.
            handle = module.register_forward_pre_hook(
                lambda module, args, kwargs, name=name: self._noisy(name, module, args, kwargs),
                with_kwargs=True,
                prepend=True,
            )
            self._handles.append(handle)
        return self

    def __exit__(self, *error: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _noisy(
        self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (self._added(name, module, args[0]), *args[1:]), kwargs
        key = next((k for k, v in kwargs.items() if first_tensor(v)[0] is not None), None)
        if key is None:
            raise wrong_type(f"layer {name!r}", "no tensor as input", "one")
        return args, {**kwargs, key: self._added(name, module, kwargs[key])}

    def _added(self, name: str, module: nn.Module, x: Any) -> Tensor:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            found = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise wrong_type(f"layer {name!r}", f"input of type {found}", "a floating tensor")
        source = self.generator if module.training else self._aside
        if x.device.type != source.device.type:
            raise wrong("generator", f"one on {source.device}", f"one on {x.device}, as the input")
        drawn = torch.randn(x.shape, generator=source, dtype=x.dtype, device=x.device)
        if self.kind == "relative":
            return torch.addcmul(x, drawn, x, value=self.sigma)
        return torch.add(x, drawn, alpha=self.sigma)


def _weighted(model: nn.Module) -> dict[str, nn.Module]:
    if not isinstance(model, nn.Module):
        raise wrong_type("model", type(model).__name__, "a torch.nn.Module")
    found: dict[str, nn.Module] = {
        name: part for name, part in model.named_modules() if isinstance(part, _WEIGHTED)
    }
    if not found:
        raise wrong("model", "no dense or convolutional layer", "layers named by layers=")
    return found
