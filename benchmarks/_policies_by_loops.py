"""Every policy by its definition: loops over rows, turns, answers and classes in plain Python.

The loops ask the model through `read` and `correct`, by name, one row at a time.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch

from narrows.concepts.layer import ConceptLayer
from narrows.data import Concepts, Examples
from narrows.heads import LinearHead, MLPHead
from narrows.measure import intervention_curve, policies
from narrows.model import NarrowModel

ORDERS = 5


def small(hidden: bool) -> tuple[NarrowModel, Examples, Examples]:
    """7 concepts, two groups among them, 5 classes; 40 rows and 40 more to validate on."""
    generator = torch.Generator().manual_seed(1)
    k, classes, groups = 7, 5, ((0, 1, 2), (4, 5))
    layer = ConceptLayer(k, [f"c{j}" for j in range(k)], groups)
    head = MLPHead(k, classes, (6,)) if hidden else LinearHead(k, classes)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.eye(k))
        layer.linear.bias.zero_()
        for part in head.parameters():
            part.copy_(part.ndim * torch.randn(part.shape, generator=generator))
    parts = []
    for _ in range(2):
        c = (torch.rand(40, k, generator=generator) < 0.5).float()
        for group in groups:
            one = torch.randint(len(group), (40,), generator=generator)
            c[:, list(group)] = torch.nn.functional.one_hot(one, len(group)).float()
        x = 2 * c - 1 + 2 * torch.randn(40, k, generator=generator)
        y = head(c).detach().argmax(1)
        parts.append(Examples(x, y, c, tuple(range(classes)), Concepts(layer.names, groups)))
    return NarrowModel(torch.nn.Identity(), layer, head, parts[0].classes).eval(), *parts


@dataclasses.dataclass
class Row:
    """One row, asked by name."""

    model: NarrowModel
    rows: Examples
    i: int

    @property
    def turns(self) -> list[tuple[int, ...]]:
        return list(self.model.bottleneck.interventions)

    @property
    def scores(self) -> list[float]:
        return self.model.read(self.rows.x[self.i : self.i + 1]).units[0].tolist()

    def truth(self, turns: list[int]) -> dict[str, float]:
        return {f"c{u}": float(self.rows.c[self.i, u]) for t in turns for u in self.turns[t]}

    def logits(self, known: dict[str, float]) -> list[float]:
        x = self.rows.x[self.i : self.i + 1]
        return self.model.correct(x, known).prediction[0].tolist()

    def probabilities(self, known: dict[str, float]) -> list[float]:
        logits = self.logits(known)
        exps = [math.exp(z - max(logits)) for z in logits]
        return [e / sum(exps) for e in exps]

    def slopes(self) -> list[list[float]]:
        """Of each class's logit along each unit, from the weights."""
        if isinstance(self.model.head, LinearHead):
            return self.model.head.weight.tolist()
        first, _, last = self.model.head.layers
        inner, outer, p = first.weight.tolist(), last.weight.tolist(), self.scores
        on = [
            sum(w * v for w, v in zip(row, p, strict=True)) + b > 0
            for row, b in zip(inner, first.bias.tolist(), strict=True)
        ]
        return [
            [sum(o * inner[h][u] for h, o in enumerate(row) if on[h]) for u in range(len(p))]
            for row in outer
        ]

    def answers(self, turn: int) -> list[tuple[float, dict[str, float]]]:
        units, p = self.turns[turn], self.scores
        if len(units) == 1:
            return [(p[units[0]], {f"c{units[0]}": 1.0}), (1 - p[units[0]], {f"c{units[0]}": 0.0})]
        total = sum(p[u] for u in units)
        return [(p[m] / total, {f"c{u}": float(u == m) for u in units}) for m in units]


def entropy(p: list[float]) -> float:
    return -sum(v * math.log(v) for v in p if v > 0)


def divergence(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def score_uncertainty(row: Row, turn: int, done: list[int], held: Examples) -> float:
    return max(1 / (abs(row.scores[u] - 0.5) + 1e-9) for u in row.turns[turn])


def score_lcp(row: Row, turn: int, done: list[int], held: Examples) -> float:
    total = 0.0
    for i in range(len(held)):
        other = Row(row.model, held, i).scores
        total += sum(abs(other[u] - float(held.c[i, u])) for u in row.turns[turn])
    return total / len(row.turns[turn])


def score_cctp(row: Row, turn: int, done: list[int], held: Examples) -> float:
    slopes = row.slopes()
    each = [sum(abs(row.scores[u] * slope[u]) for slope in slopes) for u in row.turns[turn]]
    return sum(each) / len(each)


def score_ectp(row: Row, turn: int, done: list[int], held: Examples) -> float:
    now = row.probabilities({})
    return sum(p * divergence(row.probabilities(a), now) for p, a in row.answers(turn))


def score_eudtp(row: Row, turn: int, done: list[int], held: Examples) -> float:
    after = sum(p * entropy(row.probabilities(a)) for p, a in row.answers(turn))
    return entropy(row.probabilities({})) - after


def score_coop(row: Row, turn: int, done: list[int], held: Examples) -> float:
    known, answers = row.truth(done), row.answers(turn)
    now = row.probabilities(known)
    best = now.index(max(now))
    expected = sum(p * row.probabilities(known | a)[best] for p, a in answers)
    return entropy([p for p, _ in answers]) / math.log(len(answers)) + abs(expected - now[best])


def score_oracle(row: Row, turn: int, done: list[int], held: Examples) -> float:
    return row.probabilities(row.truth([*done, turn]))[int(row.rows.y[row.i])]


SCORES: dict[str, Callable[[Row, int, list[int], Examples], float]] = {
    "uncertainty": score_uncertainty,
    "lcp": score_lcp,
    "cctp": score_cctp,
    "ectp": score_ectp,
    "eudtp": score_eudtp,
    "coop": score_coop,
    "oracle": score_oracle,
}
GREEDY = ("coop", "oracle")


@torch.no_grad()
def by_loops(name: str, model: NarrowModel, rows: Examples, held: Examples) -> list[float]:
    """Accuracy after each correction of one policy's order, one row after the other."""
    turns = len(model.bottleneck.interventions)
    right = [0] * (turns + 1)
    for i in range(len(rows)):
        row, done = Row(model, rows, i), []
        fixed = [] if name in GREEDY else [SCORES[name](row, t, [], held) for t in range(turns)]
        for step in range(turns + 1):
            logits = row.logits(row.truth(done))
            right[step] += logits.index(max(logits)) == int(rows.y[i])
            left = [t for t in range(turns) if t not in done]
            if left:
                score = {t: fixed[t] if fixed else SCORES[name](row, t, done, held) for t in left}
                done.append(max(left, key=lambda t, score=score: score[t]))
    return [count / len(rows) for count in right]


@torch.no_grad()
def random_by_loops(model: NarrowModel, rows: Examples) -> list[list[float]]:
    turns, curves = len(model.bottleneck.interventions), []
    for seed in range(ORDERS):
        order = torch.randperm(turns, generator=torch.Generator().manual_seed(seed)).tolist()
        curve = []
        for step in range(turns + 1):
            right = 0
            for i in range(len(rows)):
                row = Row(model, rows, i)
                logits = row.logits(row.truth(order[:step]))
                right += logits.index(max(logits)) == int(rows.y[i])
            curve.append(right / len(rows))
        curves.append(curve)
    return curves


def check() -> dict[str, list[str]]:
    """Refuse to go on unless each policy's curve equals the loops', with either head."""
    for hidden in (False, True):
        model, rows, held = small(hidden)
        for name in policies():
            ours = intervention_curve(
                model, rows, name, ORDERS, validation=held if name == "lcp" else None
            ).accuracy.tolist()
            if name == "random":
                wanted = random_by_loops(model, rows)
            else:
                wanted = [by_loops(name, model, rows, held)]
            if ours != wanted:
                raise SystemExit(f"{name}, hidden layer {hidden}: {ours} is not {wanted}")
    return {head: list(policies()) for head in ("linear", "hidden 6")}
