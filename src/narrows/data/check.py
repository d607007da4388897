"""Looking at a data set before trusting what is learned from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from narrows.data.check_rows import leaks, listed, places, repeats, some_rows, unreadable
from narrows.data.data_report import DataReport, Problem, sorted_problems
from narrows.data.load import load
from narrows.data.record import Dataset, Examples

_RARE = 0.1  # of the largest class: below this a class is called rare


def check(source: Any, **options: Any) -> DataReport:
    """Count rows, classes and annotations, and look for what makes results wrong.

    Errors: equal rows in two splits; a class or an annotated concept that train lacks. Warnings:
    exclusive concepts that are both true; constant concepts; concepts that equal the label or
    one another; equal rows with other labels or annotations. Notes: duplicated rows, rare
    classes, constant features, annotations missing.

    Args:
        source: a `Dataset`, or whatever `load` takes.
        **options: of the loader.

    Raises:
        NarrowsError: whatever `load` raises.

    Memory: four `(rows, concepts)` float64 matrices, and a digest of 64 characters a row.

    Example:
        >>> report = check("digit_pairs", sizes=(2000, 200, 200), task="parity")
        >>> report.ok, report.rows
        (True, {'train': 2000, 'val': 200, 'test': 200})
    """
    data = load(source, **options)
    digests = {name: split.digests() for name, split in data.splits.items()}
    problems = [
        *_class_problems(data),
        *unreadable(data),
        *leaks(data, digests),
        *repeats(data, digests),
        *_annotation_problems(data),
        *_contradictions(data),
        *_equal_concepts(data.train),
        *_constant_features(data),
    ]
    return DataReport(
        name=data.name,
        rows={name: len(split) for name, split in data.splits.items()},
        classes={name: _class_counts(split) for name, split in data.splits.items()},
        missing=_missing(data),
        problems=sorted_problems(problems),
    )


def _class_counts(split: Examples) -> dict[str, int]:
    counts = torch.bincount(split.y.cpu(), minlength=len(split.classes)).tolist()
    return {str(label): n for label, n in zip(split.classes, counts, strict=True)}


def _missing(data: Dataset) -> dict[str, dict[str, int]]:
    unknown = {name: (~s.known).sum(0).tolist() for name, s in data.splits.items()}
    return {
        concept: {split: counts[i] for split, counts in unknown.items()}
        for i, concept in enumerate(data.concepts.names)
    }


def _class_problems(data: Dataset) -> Iterator[Problem]:
    counts = {name: _class_counts(split) for name, split in data.splits.items()}
    train = counts["train"]
    for split in ("val", "test"):
        unseen = [label for label, n in counts[split].items() if n and not train[label]]
        if unseen:
            yield "error", f"{listed('class', unseen)} in {split} but not in train"
        absent = [label for label, n in counts[split].items() if not n and train[label]]
        if absent:
            yield "note", f"{listed('class', absent)} in train but not in {split}"
    empty = [label for label in train if not any(n[label] for n in counts.values())]
    if empty:
        yield "note", f"{listed('class', empty)} without a row"
    rare = [label for label, n in train.items() if 0 < n < _RARE * max(train.values())]
    if rare:
        yield "note", f"{listed('class', rare)} rare in train: under a tenth of the largest"


def _annotation_problems(data: Dataset) -> Iterator[Problem]:
    """Concepts that train does not annotate, or always with one value."""
    c = data.train.c
    if c is None:
        return
    names = data.concepts.names
    known = data.train.known
    never = [names[i] for i in (~known.any(0)).nonzero().flatten().tolist()]
    if never:
        yield "error", f"{listed('concept', never)} never annotated in train"
    low = torch.where(known, c, torch.inf).amin(0)
    high = torch.where(known, c, -torch.inf).amax(0)
    constant = [f"{names[i]} (always {low[i].item():g})" for i in places(low == high)]
    if constant:
        yield "warning", f"{listed('concept', constant)} constant in train: nothing to learn"
    partly = len(places(~known.all(0))) - len(never)
    if partly:
        share = 100 * (1 - known.double().mean().item())
        yield "note", f"{partly} concepts partly annotated in train ({share:.1f} % of all unknown)"


def _contradictions(data: Dataset) -> Iterator[Problem]:
    """Groups of which two members are true at once, per group and split."""
    for group in data.concepts.groups:
        for name, split in data.splits.items():
            if split.c is None:
                continue
            true = split.c[:, list(group)] > 0.5
            rows = places(true.sum(1) > 1)
            if rows:
                members = [data.concepts.names[i] for i in group]
                both = [n for n, t in zip(members, true[rows[0]].tolist(), strict=True) if t]
                first = " and ".join(repr(n) for n in both[:2])
                yield (
                    "warning",
                    f"{len(rows)} rows of {name} have two exclusive concepts true, like "
                    f"{first} in {some_rows(split, rows)}",
                )


def _equal_concepts(train: Examples) -> Iterator[Problem]:
    """Concepts that say the same as a class or as another concept wherever both are known."""
    if train.c is None:
        return
    # Only annotations of 0 and 1 can equal a label; one probability makes a concept its own.
    hard = [i for i in range(len(train.concepts)) if bool(_is_hard(train.c[:, i]).all())]
    names = [train.concepts.names[i] for i in hard]
    true, false = (train.c[:, hard] == 1).double(), (train.c[:, hard] == 0).double()
    classes = torch.nn.functional.one_hot(train.y, len(train.classes)).double()
    labels = [
        f"{names[i]} = {train.classes[k]}" for i, k in _same(true, false, classes, 1 - classes)
    ]
    equal = [f"{names[i]} / {names[j]}" for i, j in _same(true, false, true, false) if i < j]
    opposite = [f"{names[i]} / {names[j]}" for i, j in _same(true, false, false, true) if i < j]
    if labels:
        yield "warning", f"{listed('concept', labels)} the same as a class in train"
    if equal:
        yield "warning", f"{listed('concept pair', equal)} the same in train"
    if opposite:
        yield "note", f"{listed('concept pair', opposite)} opposite in train"


def _is_hard(column: Tensor) -> Tensor:
    return (column == 0) | (column == 1) | column.isnan()


def _same(true: Tensor, false: Tensor, yes: Tensor, no: Tensor) -> list[tuple[int, int]]:
    """Pairs of columns that never differ where both are known, and take both values there."""
    both_true, both_false = true.T @ yes, false.T @ no
    differ = true.T @ no + false.T @ yes
    pairs = ((differ == 0) & (both_true > 0) & (both_false > 0)).nonzero().tolist()
    return [(i, j) for i, j in pairs]


def _constant_features(data: Dataset) -> Iterator[Problem]:
    x = data.train.x
    names = data.settings.get("features")
    if not isinstance(x, Tensor) or x.ndim != 2 or not names:
        return
    constant = [names[i] for i in places(x.amin(0) == x.amax(0))]
    if constant:
        yield "note", f"{listed('feature', constant)} constant in train"
