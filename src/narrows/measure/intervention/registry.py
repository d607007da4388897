"""Policies: which concept should a person correct next?

A policy is one function from a `State` to an order of turns per row. A new one is one more
function under `@policy("name")`; no other place changes. Those built in stand at the end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor

from narrows.errors import unknown, wrong
from narrows.measure.intervention.coop import coop
from narrows.measure.intervention.policies_expected import ectp, eudtp, oracle
from narrows.measure.intervention.policies_static import cctp, lcp, random, uncertainty
from narrows.measure.intervention.state import State

Order = Callable[[State], Tensor]


@dataclasses.dataclass(frozen=True)
class Policy:
    """A policy by name.

    Attributes:
        name: how it is called.
        order: the function.
        draws: whether its order depends on the seed: then it is repeated over seeds.
        learns: whether it cannot do without validation rows.
    """

    name: str
    order: Order
    draws: bool = False
    learns: bool = False


_POLICIES: dict[str, Policy] = {}


def policy(name: str, *, draws: bool = False, learns: bool = False) -> Callable[[Order], Order]:
    """Register the function below as a policy.

    It returns `(n, turns)` int64, for each row a permutation of the turns; an order all rows
    share is one row, expanded.

    Args:
        name: how it is called.
        draws: whether its order depends on the seed.
        learns: whether it cannot do without validation rows.

    Raises:
        InvalidInput: the name is taken.
    """

    def register(order: Order) -> Order:
        if name in _POLICIES:
            raise wrong("policy", f"{name!r} a second time", "a free name")
        _POLICIES[name] = Policy(name, order, draws, learns)
        return order

    return register


def policies() -> tuple[str, ...]:
    """The names of all policies.

    Example:
        >>> policies()
        ('random', 'uncertainty', 'lcp', 'cctp', 'ectp', 'eudtp', 'coop', 'oracle')
    """
    return tuple(_POLICIES)


def find(name: str) -> Policy:
    """One policy by name.

    Raises:
        UnknownName: with the nearest names.
    """
    if name not in _POLICIES:
        raise unknown("policy", name, _POLICIES)
    return _POLICIES[name]


policy("random", draws=True)(random)
policy("uncertainty")(uncertainty)
policy("lcp", learns=True)(lcp)
policy("cctp")(cctp)
policy("ectp")(ectp)
policy("eudtp")(eudtp)
policy("coop")(coop)
policy("oracle")(oracle)
