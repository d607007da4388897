"""The intervention curves of a model: who corrects what first, and what that gains.

The rows are read once for all policies; each policy gives its orders and they are replayed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.errors import wrong, wrong_type
from narrows.measure.corrections import prepare
from narrows.measure.intervention.curve import InterventionCurve
from narrows.measure.intervention.registry import Policy, find
from narrows.measure.intervention.replay import replay
from narrows.measure.intervention.state import Costs, HeldOut, State, turn_costs
from narrows.model import NarrowModel


def intervention_curve(
    model: NarrowModel,
    examples: Examples,
    policy: str = "random",
    seeds: int = 5,
    *,
    validation: Examples | None = None,
    costs: Costs | None = None,
    visible: Tensor | None = None,
) -> InterventionCurve:
    """Correct concepts one turn after the other and follow the accuracy.

    Memory beside the readings: up to a dozen pieces of 16 MiB, whatever the number of rows; 200
    concepts, 6,000 rows and 200 classes stay below 500 MB with every policy. `ectp` and `eudtp`
    take most, and twice as much with concept embeddings.

    Args:
        model: its units are matched with the concepts of the data by name.
        examples: labelled rows with concepts.
        policy: which concept comes next; see `policies()`.
        seeds: how many orders, where the policy draws them.
        validation: other labelled rows with the same concepts. `lcp` needs them; `coop` chooses
            its weights on them.
        costs: what asking for each concept costs, `{name: cost}` or one number per concept; `coop`
            then prefers cheap turns, and the curve also says what was `spent`.
        visible: `(n, k)` bool, False where a person could not tell a concept from the input
            (labels that were given to whole classes, say): nothing is corrected there, though the
            turn is spent.

    Raises:
        UnknownName: no such policy; the message offers the nearest.
        InvalidInput: no concept labels, no name in common, contradictory truth in a group, a
            policy without what it needs.

    Example:
        >>> from narrows.data.record import Concepts
        >>> from narrows.concepts import CBM
        >>> x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).repeat(5, 1)
        >>> rows = Examples(x, x.sum(1).long(), x, (0, 1, 2), Concepts(("a", "b")))
        >>> model = CBM("independent", encoder="identity").fit(rows).model_
        >>> curve = intervention_curve(model, rows)
        >>> curve.accuracy.shape, curve.at(2)
        (torch.Size([5, 3]), 1.0)
    """
    curves = intervention_curves(
        model, examples, [policy], seeds, validation=validation, costs=costs, visible=visible
    )
    return curves[policy]


def intervention_curves(
    model: NarrowModel,
    examples: Examples,
    policies: Iterable[str] = ("random", "uncertainty"),
    seeds: int = 5,
    *,
    validation: Examples | None = None,
    costs: Costs | None = None,
    visible: Tensor | None = None,
) -> dict[str, InterventionCurve]:
    """The curves of several policies, by name; the rows are read once for all.

    Arguments, memory and errors are those of `intervention_curve`.
    """
    chosen = _chosen(policies, validation is not None)
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise wrong("seeds", repr(seeds), "an integer >= 1")
    ready = prepare(model, examples, visible)
    prices = None if costs is None else turn_costs(costs, ready, examples)
    held_out = None if validation is None else HeldOut(model, validation)
    state = State(ready, 0, prices, held_out)
    return {policy.name: _curve(policy, state, seeds) for policy in chosen}


def _chosen(policies: Iterable[str], validated: bool) -> list[Policy]:
    if isinstance(policies, str):
        raise wrong_type("policies", f"the string {policies!r}", "a list of names")
    chosen = [find(name) for name in policies]
    if not chosen:
        raise wrong("policies", "none", "at least one name")
    for policy in chosen:
        if policy.learns and not validated:
            wanted = f"validation rows: policy {policy.name!r} learns its order from them"
            raise wrong("validation", "None", wanted)
    return chosen


def _curve(policy: Policy, state: State, seeds: int) -> InterventionCurve:
    spent: list[Tensor] = []

    def orders() -> Iterator[Tensor]:
        for seed in range(seeds if policy.draws else 1):
            order = policy.order(dataclasses.replace(state, seed=seed))
            if state.costs is not None:
                each = state.costs[order].mean(0).cumsum(0).cpu()
                spent.append(torch.nn.functional.pad(each, (1, 0)))
            yield order

    accuracy = replay(state.corrections, orders())
    steps = torch.arange(accuracy.shape[1])
    return InterventionCurve(policy.name, steps, accuracy, torch.stack(spent) if spent else None)
