"""Blueprints: a description rebuilds the module it came from."""

from __future__ import annotations

from torch import Tensor

from narrows.blueprint import Blueprint, build


class _Bare(Blueprint):
    def forward(self, x: Tensor) -> Tensor:
        return x


class _Sized(Blueprint):
    def __init__(self, size: int, inner: Blueprint | None = None) -> None:
        super().__init__()
        self.size = size
        self.inner = inner


class _Doubled(_Sized):
    def __init__(self, half: int) -> None:
        super().__init__(2 * half)


def test_a_module_without_a_constructor_is_described_by_its_type_alone():
    assert _Bare().describe() == {"type": "_Bare"}
    assert isinstance(build({"type": "_Bare"}), _Bare)


def test_the_arguments_of_the_class_that_was_called_are_kept():
    assert _Doubled(3).describe() == {"type": "_Doubled", "half": 3}
    assert build(_Doubled(3).describe()).size == 6


def test_a_module_inside_a_module_is_rebuilt_too():
    rebuilt = build(_Sized(1, _Sized(2)).describe())
    assert rebuilt.inner.size == 2
