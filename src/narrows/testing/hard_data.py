"""Data that is too little, too large or says too little: taken, or refused in plain words."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from sklearn.base import clone

from narrows.data import Concepts, Dataset, Examples
from narrows.errors import NarrowsError
from narrows.method import from_pretrained
from narrows.testing.subject import Subject

_NAMES = ("naïve ☂", "<b>bold</b>", "שלום", "two words", "a/b\\c", 'quote "q"', "=1+1", "ß")


def _few_rows_work_or_say_why(s: Subject) -> None:
    for count in (1, 2, 3):
        rows = s.data.train[torch.arange(count)]
        try:
            said = clone(s.method).fit(Dataset("few", rows, rows, rows)).predict_proba(s.x)
        except ValueError:  # refused, and by name: any other error is a defect
            continue
        assert np.isfinite(said).all(), f"{count} rows: probabilities are not finite"


def _a_label_never_seen_is_named_or_counted(s: Subject) -> None:
    test = s.data.test[torch.arange(len(s.x))]
    other = replace(test, y=torch.zeros_like(test.y), classes=("never seen",))
    try:
        right = s.fitted.score(other)
    except NarrowsError as error:
        named, right = "never seen" in str(error), 0.0
    else:
        named = True
    assert named, "an unseen label: the error does not name it"
    assert right == 0, f"an unseen label: a share of {right} is right"


def _data_that_says_nothing_is_taken_or_refused(s: Subject) -> None:
    train = s.data.train
    x = train.x[torch.arange(24)].repeat(2, *[1] * (s.x.ndim - 1))  # every row twice
    x[:, 0] = 1.0  # and a feature, or a line of pixels, that never changes
    c = None if train.c is None else train.c[:24, :1].repeat(2, len(train.concepts))
    names = Concepts(train.concepts.names)  # concepts that are all the same exclude nothing
    rows = Examples(x, train.y[:24].repeat(2), c, train.classes, names)
    try:
        said = clone(s.method).fit(Dataset("same", rows, rows, rows)).predict_proba(s.x)
    except NarrowsError:
        return
    assert np.isfinite(said).all(), "repeated rows and concepts: probabilities are not finite"


def _extreme_scales_are_finite_or_refused(s: Subject) -> None:
    for scale in (1e-38, 1e-30, 1e30):
        try:
            said = s.fitted.predict_proba(s.x * scale)
        except ValueError:
            continue
        assert np.isfinite(said).all(), f"inputs of size {scale}: probabilities are not finite"


def _any_name_comes_back_from_a_file(s: Subject) -> None:
    train = s.data.train
    count = min(len(_NAMES), len(train.concepts))
    names = Concepts(_NAMES[:count] + train.concepts.names[count:], train.concepts.groups)
    method = clone(s.method).fit(replace(train, concepts=names))
    with tempfile.TemporaryDirectory() as folder:
        method.save_pretrained(folder)
        again = from_pretrained(folder)
    found = again.model_.bottleneck.names
    assert found == method.model_.bottleneck.names, "names: other ones came back from the file"
    assert set(_NAMES[:count]) <= set(found), "names: those of the data are not the units'"
    wanted = method.model_.correct(s.x, {_NAMES[0]: 1.0}).prediction
    assert torch.equal(again.model_.correct(s.x, {_NAMES[0]: 1.0}).prediction, wanted)


CHECKS: tuple[Callable[[Subject], None], ...] = (
    _few_rows_work_or_say_why,
    _a_label_never_seen_is_named_or_counted,
    _data_that_says_nothing_is_taken_or_refused,
    _extreme_scales_are_finite_or_refused,
)
CONCEPT_CHECKS: tuple[Callable[[Subject], None], ...] = (_any_name_comes_back_from_a_file,)
