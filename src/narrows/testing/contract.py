"""The laws of the contract: corrections, explanations, halves, files, batches, seeds."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from narrows.data import Examples
from narrows.errors import InvalidInput, InvalidType, NarrowsError, UnknownName
from narrows.method import concept_labels, from_pretrained
from narrows.reading import Reading
from narrows.testing.subject import Subject, assert_equal, require_error

_CLOSE = 1e-6


def _size(s: Subject) -> float:
    """How large the terms of a logit are: rounding is a share of them, not of their sum."""
    try:
        explanation = s.fitted.model_.explain(s.x)
    except InvalidInput:
        return 10.0
    return 10.0 + float(explanation.contributions.abs().sum(1).max())


def _nothing_known(s: Subject) -> tuple[Tensor, Tensor]:
    scores = s.fitted.model_.bottleneck.scores(s.output.reading)
    return torch.zeros(scores.shape, dtype=torch.bool), scores


def _strict(reading: Reading) -> bool:
    return not reading.context


def _the_reading_has_the_contracts_shapes(s: Subject) -> None:
    reading, model = s.output.reading, s.fitted.model_
    names = model.bottleneck.names
    assert len(set(names)) == len(names), "names: not unique"
    assert reading.units.shape[0] == len(s.x), "units: not one row an example"
    if reading.indices is None:
        assert reading.units.shape[-1] == len(names), "units: not one column a name"
    else:
        assert int(reading.indices.max()) < len(names), "indices: one has no name"
    assert reading.rate.shape == (len(s.x),), "rate: not one number an example"
    assert reading.penalty.shape == (), "penalty: not a single number"
    assert s.output.prediction.shape == (len(s.x), len(model.classes)), "prediction: wrong shape"
    scores = model.bottleneck.scores(reading)
    assert scores.shape[-1] == len(model.bottleneck.columns), "scores: not one column a name"
    assert torch.isfinite(s.output.prediction).all(), "prediction: not finite"


def _correcting_nothing_changes_nothing(s: Subject) -> None:
    again = s.fitted.model_.correct(s.output.reading, _nothing_known(s))
    assert_equal(again.prediction, s.output.prediction, 0, "no correction")


def _confirming_a_unit_changes_nothing(s: Subject) -> None:
    mask, scores = _nothing_known(s)
    for unit in range(min(scores.shape[-1], 8)):
        one = mask.clone()
        # A score of exactly 1 in a group says that all others are 0, which is news.
        one[:, unit] = scores[:, unit] != 1 if s.output.reading.indices is None else True
        again = s.fitted.model_.correct(s.output.reading, (one, scores))
        assert_equal(again.prediction, s.output.prediction, _CLOSE, f"confirming unit {unit}")


def _fixing_every_unit_decides_alone(s: Subject) -> None:
    if not _strict(s.output.reading) or not s.fitted.model_.bottleneck.interventions:
        return
    model = s.fitted.model_
    mask, scores = _nothing_known(s)
    corrected = [i for group in model.bottleneck.interventions for i in group]
    if len(corrected) < scores.shape[-1]:
        return
    known = (torch.ones_like(mask), torch.zeros_like(scores))
    decided = model.correct(s.output.reading, known).prediction
    assert_equal(decided, decided[:1].expand_as(decided), 0, "all units fixed")


def _corrections_of_different_groups_commute(s: Subject) -> None:
    model, reading = s.fitted.model_, s.output.reading
    groups = model.bottleneck.interventions
    if len(groups) < 2 or reading.indices is not None:
        return
    a, b = (model.bottleneck.names[groups[i][0]] for i in (0, 1))
    fix = model.bottleneck.condition
    there = fix(fix(reading, {a: 1.0}), {b: 1.0})
    back = fix(fix(reading, {b: 1.0}), {a: 1.0})
    together = fix(reading, {a: 1.0, b: 1.0})
    for other in (back, together):
        assert_equal(other.units, there.units, 0, "order of corrections")
    last = fix(fix(reading, {a: 0.0}), {a: 1.0})
    assert_equal(last.units[:, groups[0][0]], there.units[:, groups[0][0]], 0, "last one wins")


def _contributions_sum_to_the_logits(s: Subject) -> None:
    try:
        explanation = s.fitted.model_.explain(s.x)
    except InvalidInput:
        return  # a label that does not pass through its units has nothing to share out
    total = explanation.contributions.sum(1) + explanation.rest
    tolerance = _CLOSE * _size(s) if explanation.exact else 1e-2
    assert_equal(total, explanation.logits, tolerance, "contributions")
    assert str(explanation), "explanation: prints nothing"


def _the_receiver_of_the_sender_is_the_model(s: Subject) -> None:
    sender, receiver = s.fitted.model_.split()
    message = sender(s.x)
    assert isinstance(message, bytes), "sender: a message must be bytes"
    assert_equal(receiver(message).prediction, s.output.prediction, 0, "split")
    damaged = bytearray(message)
    damaged[len(damaged) // 2] ^= 1
    require_error(NarrowsError, "message", lambda: receiver(bytes(damaged)))
    require_error(NarrowsError, "message", lambda: receiver(message[:-1]))


def _a_saved_model_answers_the_same_bits(s: Subject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        s.fitted.save_pretrained(folder)
        again = from_pretrained(folder)
    assert_equal(again.model_(s.x).prediction, s.output.prediction, 0, "save and load")
    assert (again.predict(s.x) == s.fitted.predict(s.x)).all(), "save and load: labels differ"


def _answers_do_not_depend_on_the_batch(s: Subject) -> None:
    single = torch.cat([s.fitted.model_(row[None]).prediction for row in s.x[:7]])
    tolerance = _CLOSE * _size(s)
    assert_equal(single, s.output.prediction[:7], tolerance, "one by one")
    flipped = s.fitted.model_(s.x.flip(0)).prediction.flip(0)
    assert_equal(flipped, s.output.prediction, tolerance, "rows in another order")
    assert len(s.fitted.model_(s.x[:0]).prediction) == 0, "no rows: wanted no answers"


def _inputs_are_never_modified(s: Subject) -> None:
    before = s.x.clone()
    s.fitted.model_.correct(s.x, _nothing_known(s))
    s.fitted.predict_proba(s.x)
    assert_equal(s.x, before, 0, "inputs")


def _the_same_seed_gives_the_same_bits(s: Subject) -> None:
    again = clone(s.method).fit(s.data)
    assert_equal(again.model_(s.x).prediction, s.output.prediction, 0, "two fits of one seed")


def _numpy_state() -> str:
    return str(np.random.get_state(legacy=False))  # noqa: NPY002  # compared, not drawn from


def _the_global_random_state_is_untouched(s: Subject) -> None:
    before, kept = torch.get_rng_state(), _numpy_state()
    clone(s.method).fit(s.data).predict(s.x)
    assert_equal(torch.get_rng_state(), before, 0, "torch's generator")
    assert _numpy_state() == kept, "numpy's generator was used"


def _corrections_of_parallel_calls_do_not_mix(s: Subject) -> None:
    model, names = s.fitted.model_, s.fitted.model_.bottleneck.names
    if not model.bottleneck.interventions:
        return
    wanted = {n: model.correct(s.x, {n: 1.0}).prediction for n in names[:4]}
    found: dict[str, bool] = {}

    def work(name: str) -> None:
        answers = [model.correct(s.x, {name: 1.0}).prediction for _ in range(5)]
        found[name] = all(torch.equal(a, wanted[name]) for a in answers)

    threads = [threading.Thread(target=work, args=(n,)) for n in wanted for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found.values()), "threads: a correction reached another call"


def _dtypes_and_shapes_work_or_say_why(s: Subject) -> None:
    model = s.fitted.model_
    strided = s.x.transpose(0, -1).contiguous().transpose(0, -1)
    for x in (s.x.double(), strided):
        assert_equal(model(x).prediction, s.output.prediction, _CLOSE * _size(s), f"{x.dtype} x")
    assert torch.isfinite(model(s.x.half()).prediction).all(), "half input: not finite"
    require_error(InvalidType, "complex", lambda: model(s.x.to(torch.complex64)))
    require_error(InvalidInput, "wanted shape", lambda: model(s.x[0]))
    require_error(InvalidType, "tensor", lambda: model(s.x.numpy()))


def _bad_numbers_are_refused(s: Subject) -> None:
    y = np.arange(len(s.x)) % 2
    c = None if s.data.train.c is None else s.data.train.c[: len(s.x)].numpy()
    for bad in (float("nan"), float("inf")):
        x = s.x.clone()
        x.view(-1)[3] = bad
        require_error(ValueError, "", partial(s.fitted.predict, x.numpy()))
        require_error(ValueError, "", partial(clone(s.method).fit, x.numpy(), y, c))


def _a_wrong_name_gets_the_nearest(s: Subject) -> None:
    name = s.fitted.model_.bottleneck.names[0]
    call = partial(s.fitted.model_.correct, s.x, {name + "?": 1.0})
    require_error(UnknownName, name, call)
    index_list = (torch.zeros(len(s.x), 1, dtype=torch.long), torch.zeros(len(s.x), 1))
    require_error(InvalidType, "mask", lambda: s.fitted.model_.correct(s.x, index_list))


def _labels_keep_their_type(s: Subject) -> None:
    words = tuple(f"class {i}" for i in s.data.classes)
    train = s.data.train
    renamed = Examples(train.x, train.y, train.c, words, train.concepts)
    predicted = clone(s.method).fit(renamed).predict(s.x)
    assert set(predicted.tolist()) <= set(words), "labels: predictions are not the user's labels"


def _unknown_concepts_are_allowed(s: Subject) -> None:
    train = s.data.train
    c = concept_labels(train).clone()
    c[::2] = torch.nan
    c[:, 0] = torch.nan
    sparse = Examples(train.x, train.y, c, train.classes, train.concepts)
    scores = clone(s.method).fit(sparse).transform(s.x)
    assert np.isfinite(scores).all(), "unknown labels: scores are not finite"


def _concepts_are_needed(s: Subject) -> None:
    train = s.data.train
    require_error(InvalidInput, "concepts", lambda: clone(s.method).fit(train.x, train.y))
    short = concept_labels(train)[:-1].numpy()
    call = partial(clone(s.method).fit, train.x, train.y, short)
    require_error(InvalidInput, "concepts", call)


CHECKS: tuple[Callable[[Subject], None], ...] = (
    _the_reading_has_the_contracts_shapes,
    _correcting_nothing_changes_nothing,
    _confirming_a_unit_changes_nothing,
    _fixing_every_unit_decides_alone,
    _corrections_of_different_groups_commute,
    _contributions_sum_to_the_logits,
    _the_receiver_of_the_sender_is_the_model,
    _a_saved_model_answers_the_same_bits,
    _answers_do_not_depend_on_the_batch,
    _inputs_are_never_modified,
    _the_same_seed_gives_the_same_bits,
    _the_global_random_state_is_untouched,
    _corrections_of_parallel_calls_do_not_mix,
    _dtypes_and_shapes_work_or_say_why,
    _bad_numbers_are_refused,
    _a_wrong_name_gets_the_nearest,
    _labels_keep_their_type,
)
CONCEPT_CHECKS: tuple[Callable[[Subject], None], ...] = (
    _unknown_concepts_are_allowed,
    _concepts_are_needed,
)
