"""The narrow place: read the units, let a person fix some of them, write them on.

A bottleneck turns features `h` into a `Reading` and a reading into `z` for the head.
Everything else in Narrows (corrections, explanations, bits, files, wires) uses these verbs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.blueprint import Blueprint
from narrows.errors import FileRefused, unknown, wrong, wrong_type
from narrows.reading import Evidence, Reading

Known = Mapping[str, Any] | tuple[Tensor, Tensor]


class Bottleneck(Blueprint):
    """Base of every narrow place.

    Args:
        names: one unique name per unit.
        groups: disjoint tuples of unit indices of which at most one can be true.

    Attributes:
        width: how many numbers of `z` belong to one unit; `z` lays units side by side.
    """

    width: int = 1

    def __init__(self, names: Sequence[str], groups: Sequence[Sequence[int]] = ()) -> None:
        super().__init__()
        self.names = tuple(names)
        self.groups = tuple(tuple(group) for group in groups)
        check_units(self.names, self.groups)

    def read(self, h: Tensor) -> Reading:
        """Turn features `(*batch, features)` into a reading."""
        raise NotImplementedError(f"{type(self).__name__} must define read")

    def write(self, reading: Reading) -> Tensor:
        """Turn a reading into the head's input; by default the units themselves."""
        return reading.units

    def scores(self, reading: Reading) -> Tensor:
        """The units on the scale people speak; by default as they are."""
        return reading.units

    def spoken(self, reading: Reading) -> list[list[str]]:
        """For each row of the batch, the names of the units it holds."""
        if reading.indices is None:
            return [list(self.names)] * len(reading)
        return [[self.names[i] for i in row] for row in reading.indices.tolist()]

    def condition(self, reading: Reading, known: Known) -> Reading:
        """Fix some units; by default they are replaced and nothing else changes."""
        mask, values = resolve_known(known, self.names, self.groups, reading.units)
        return reading.replace(units=torch.where(mask, values, reading.units))

    def pack(self, reading: Reading) -> Mapping[str, Tensor]:
        """What goes over a wire; by default what `write` uses, without loss."""
        return reading.tensors()

    def unpack(self, sent: Mapping[str, Tensor]) -> Reading:
        """The reading a receiver rebuilds from what `pack` gave."""
        if "units" not in sent:
            raise FileRefused(f"message: found {sorted(sent)}, wanted 'units'")
        context = {
            k.removeprefix("context."): v for k, v in sent.items() if k.startswith("context.")
        }
        return Reading(sent["units"], sent.get("indices"), context)

    def evidence(self, x: Tensor, reading: Reading, units: Sequence[str]) -> list[Evidence]:
        """Where in the input each unit looked; by default nothing is known."""
        for name in units:
            if name not in self.names:
                raise unknown("unit", name, self.names)
        return [Evidence(name) for name in units]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of `scores`; they differ from `names` only for codes."""
        return self.names

    @property
    def interventions(self) -> tuple[tuple[int, ...], ...]:
        """The units a person corrects together: each group, and each unit outside all groups."""
        grouped = {i: group for group in self.groups for i in group}
        turns = (grouped.get(i, (i,)) for i in range(len(self.names)))
        return tuple(dict.fromkeys(turns))


def check_units(names: Sequence[str], groups: Sequence[Sequence[int]]) -> None:
    """Refuse duplicated names and groups that overlap or point outside."""
    if not names:
        raise wrong("names", "no unit", "at least one")
    seen: set[str] = set()
    twice = [n for n in names if n in seen or seen.add(n)]  # type: ignore[func-returns-value]
    if twice:
        raise wrong("names", f"{twice[0]!r} more than once", "unique names")
    members = [i for group in groups for i in group]
    if len(set(members)) != len(members):
        raise wrong("groups", "a unit in more than one group", "disjoint groups")
    if any(not 0 <= i < len(names) for i in members):
        raise wrong(
            "groups", f"an index outside 0..{len(names) - 1}", f"indices of {len(names)} units"
        )


def resolve_known(
    known: Known,
    names: Sequence[str],
    groups: Sequence[Sequence[int]],
    like: Tensor,
) -> tuple[Tensor, Tensor]:
    """Turn what a person says into a mask and values shaped like the units.

    Args:
        known: `{name: number or (batch,) values}`, or `(mask, values)` tensors.
        names: one per unit.
        groups: mutually exclusive units; a 1 in a group sets the rest of it to 0.
        like: the units `(*batch, n)`.

    Returns:
        `(mask, values)`, both shaped like `like`, mask boolean.

    Raises:
        UnknownName: a name no unit has, with the nearest names.
        InvalidInput: wrong shapes, values that are not finite, two 1s in one group.
        InvalidType: an index list where a boolean mask is wanted.

    Example:
        >>> mask, values = resolve_known({"wing is red": 1.0}, ["wing is red", "wing is blue"],
        ...                              [(0, 1)], torch.zeros(1, 2))
        >>> mask, values
        (tensor([[True, True]]), tensor([[1., 0.]]))
    """
    if isinstance(known, Mapping):
        mask, values = _from_names(known, names, like)
    else:
        mask, values = _from_pair(known, like)
    values = torch.where(mask, values, torch.zeros((), dtype=like.dtype, device=like.device))
    if not torch.isfinite(values).all():
        raise wrong("known", "a value that is NaN or infinite", "finite values")
    return _exclude(mask, values, names, groups)


def _from_names(
    known: Mapping[str, Any], names: Sequence[str], like: Tensor
) -> tuple[Tensor, Tensor]:
    mask = torch.zeros(like.shape, dtype=torch.bool, device=like.device)
    values = torch.zeros_like(like)
    position = {name: i for i, name in enumerate(names)}
    for name, value in known.items():
        if name not in position:
            raise unknown("known", name, names)
        column = torch.as_tensor(value, dtype=like.dtype, device=like.device)
        if column.ndim > 0 and column.shape != like.shape[:-1]:
            raise wrong(
                f"known[{name!r}]",
                f"shape {tuple(column.shape)}",
                f"a number or shape {tuple(like.shape[:-1])}",
            )
        mask[..., position[name]] = True
        values[..., position[name]] = column
    return mask, values


def _from_pair(known: tuple[Tensor, Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
    if not (isinstance(known, tuple) and len(known) == 2):
        raise wrong_type("known", type(known).__name__, "{name: value} or (mask, values)")
    mask, values = (torch.as_tensor(part, device=like.device) for part in known)
    if mask.dtype != torch.bool:
        raise wrong_type("known mask", f"dtype {mask.dtype}", "a boolean mask, never an index list")
    for argument, part in (("known mask", mask), ("known values", values)):
        if part.shape != like.shape:
            raise wrong(argument, f"shape {tuple(part.shape)}", f"shape {tuple(like.shape)}")
    return mask, values.to(like.dtype)


def _exclude(
    mask: Tensor, values: Tensor, names: Sequence[str], groups: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    if not groups:
        return mask, values
    members = torch.tensor([i for group in groups for i in group], device=mask.device)
    owner = torch.tensor([g for g, group in enumerate(groups) for _ in group], device=mask.device)
    true = mask[..., members] & (values[..., members] == 1)
    count = torch.zeros((*mask.shape[:-1], len(groups)), dtype=torch.int64, device=mask.device)
    count = count.index_add(-1, owner, true.long())
    if (count > 1).any():
        place = int((count > 1).reshape(-1, len(groups)).any(0).nonzero()[0])
        row = true.reshape(-1, len(members))[int((count[..., place] > 1).flatten().nonzero()[0])]
        both = [names[int(members[i])] for i in (row & (owner == place)).nonzero().flatten()]
        raise wrong("known", f"{both[0]!r} and {both[1]!r} both 1", "at most one 1 in a group")
    mask, values = mask.clone(), values.clone()
    settled = (count == 1)[..., owner]
    mask[..., members] |= settled
    values[..., members] = torch.where(settled, true.to(values.dtype), values[..., members])
    return mask, values


class IdentityBottleneck(Bottleneck):
    """No narrowing at all: the features pass as they are. The black box's bottleneck.

    Example:
        >>> IdentityBottleneck(2).read(torch.ones(1, 2)).units
        tensor([[1., 1.]])
    """

    def __init__(self, features: int) -> None:
        super().__init__([f"h{i}" for i in range(features)])

    def read(self, h: Tensor) -> Reading:
        """Pass `(*batch, features)` on."""
        return Reading(h)
