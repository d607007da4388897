"""What all code bottlenecks share: every head picks exactly one of its codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from narrows.bottleneck import Bottleneck, Known, resolve_known
from narrows.errors import FileRefused, unknown, wrong
from narrows.reading import Reading


class CodeSelection(Bottleneck):
    """Base of bottlenecks whose reading is one code number per head.

    A reading holds `indices (*batch, heads)`, the global unit `head * codes + code`, and `units`
    of the same shape: 1 where the head speaks, 0 where it has nothing to say. People and wires
    use the code numbers 0 to `codes - 1` within each head: `scores` gives them, a pair
    `(mask, values)` of `condition` takes them, and a message holds nothing else.

    Args:
        heads: how many codes are picked.
        codes: of how many each.
        names: one per unit, head by head.
        columns: one per head.
    """

    def __init__(
        self, heads: int, codes: int, names: Sequence[str], columns: Sequence[str]
    ) -> None:
        super().__init__(names)
        self.heads, self.codes = heads, codes
        self._columns = tuple(columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """One name per head."""
        return self._columns

    @property
    def interventions(self) -> tuple[tuple[int, ...], ...]:
        """None: nobody labels codes, so there is no truth to set them to."""
        return ()

    def select(self, numbers: Tensor, speaks: Tensor | None = None, **fields: Any) -> Reading:
        """The reading of these code numbers `(*batch, heads)`.

        Args:
            numbers: int64, 0 to `codes - 1` within each head.
            speaks: `(heads,)` or `(*batch, heads)` bool; None means all do.
            fields: the reading's other fields.
        """
        units = torch.ones(numbers.shape, device=numbers.device)
        if speaks is not None:
            units = units * speaks
        return Reading(units, numbers + self._offsets(numbers), **fields)

    def numbers(self, reading: Reading) -> Tensor:
        """The code number within each head, `(*batch, heads)` int64."""
        indices = self.picked(reading)
        return indices - self._offsets(indices)

    def picked(self, reading: Reading) -> Tensor:
        """The global units picked, `(*batch, heads)` int64."""
        if reading.indices is None:
            raise wrong("reading.indices", None, "the codes that were picked")
        return reading.indices

    def scores(self, reading: Reading) -> Tensor:
        """The code number within each head, as floating point."""
        return self.numbers(reading).to(reading.units.dtype)

    def condition(self, reading: Reading, known: Known) -> Reading:
        """Make heads pick certain codes.

        Args:
            reading: what was read.
            known: `{unit name: 1.0}` for each code chosen, or `(mask, values)` shaped
                `(*batch, heads)` with code numbers as values.

        Raises:
            UnknownName: a name no unit has.
            InvalidInput: a value other than 1 (a code can be chosen, not excluded), two codes
                of one head, or a number that is no code.
        """
        current = self.numbers(reading)
        if isinstance(known, Mapping):
            known = self._by_name(known, current)
        like = current.to(torch.float64)
        mask, values = resolve_known(known, self.columns, (), like)
        strange = mask & ((values != values.round()) | (values < 0) | (values >= self.codes))
        if strange.any():
            found = float(values[strange][0])
            raise wrong("known values", found, f"code numbers 0 to {self.codes - 1}")
        numbers = torch.where(mask, values.long(), current)
        units = torch.where(mask, torch.ones_like(reading.units), reading.units)
        return reading.replace(units=units, indices=numbers + self._offsets(numbers))

    def pack(self, reading: Reading) -> Mapping[str, Tensor]:
        """Code numbers only, -1 for a head that has nothing to say."""
        return {"codes": torch.where(reading.units > 0, self.numbers(reading), -1)}

    def unpack(self, sent: Mapping[str, Tensor]) -> Reading:
        """The reading of the code numbers a sender packed."""
        codes = sent.get("codes")
        if codes is None or codes.is_floating_point() or codes.dtype == torch.bool:
            raise FileRefused(f"message: found {sorted(sent)}, wanted integers called 'codes'")
        if codes.ndim == 0 or codes.shape[-1] != self.heads:
            raise FileRefused(
                f"message: found codes of shape {tuple(codes.shape)}, wanted {self.heads} heads"
            )
        if codes.numel() and not -1 <= int(codes.min()) <= int(codes.max()) < self.codes:
            raise FileRefused(f"message: found codes outside -1 to {self.codes - 1}")
        return self.select(codes.long().clamp(min=0), codes >= 0)

    def _by_name(self, known: Mapping[str, Any], current: Tensor) -> tuple[Tensor, Tensor]:
        mask = torch.zeros_like(current, dtype=torch.bool)
        values = torch.zeros_like(current)
        for name, value in known.items():
            if name not in self._position:
                raise unknown("known", name, self.names)
            chosen = torch.as_tensor(value, dtype=torch.float64)
            if not (chosen == 1).all():
                found = float(chosen[chosen != 1].flatten()[0])
                raise wrong(f"known[{name!r}]", found, "1.0: a code can be chosen, not excluded")
            head, code = divmod(self._position[name], self.codes)
            if mask[..., head].any():
                raise wrong("known", f"two codes of {self.columns[head]!r}", "one code per head")
            mask[..., head], values[..., head] = True, code
        return mask, values

    @cached_property
    def _position(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def _offsets(self, like: Tensor) -> Tensor:
        return torch.arange(self.heads, device=like.device) * self.codes
