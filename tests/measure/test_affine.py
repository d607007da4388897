"""The affine form of a head: exact in double precision, within its stated rounding in single."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from narrows.concepts.layer import SideConcepts
from narrows.data.record import Examples
from narrows.heads import FixedHead, LinearHead
from narrows.measure.affine import affine
from narrows.measure.corrections import prepare
from narrows.measure.intervention.replay import replay
from narrows.model import NarrowModel

GROUPS = ((0, 1, 2), (4, 5))


@pytest.fixture
def pair(make_model, make_rows):
    """The same head in single and in double precision, on the same readings."""
    model, rows = make_model(9, 6, "logit", GROUPS, extra=1), make_rows(64, 9, 6, GROUPS, 0.1)
    corrections = prepare(model, rows)
    double = copy.deepcopy(corrections)
    double.model.double()
    for name in ("written", "truth"):
        object.__setattr__(double, name, getattr(corrections, name).double())
    reading = corrections.reading
    object.__setattr__(double, "reading", reading.replace(units=reading.units.double()))
    with torch.no_grad():
        return affine(corrections), affine(double)


def test_each_turn_shifts_each_logit_by_what_correcting_it_does(pair):
    _, form = pair
    ready, rows = form.corrections, torch.arange(64)
    z, change = form.parts(rows)
    start, shifts = form.logits(z), form.shifts(change)
    assert shifts.shape == (64, 6, 6)
    with torch.no_grad():
        for turn in range(6):
            done = torch.zeros(64, 6, dtype=torch.bool)
            done[:, turn] = True
            torch.testing.assert_close(start + shifts[:, turn], ready.logits(rows, done))
    own = shifts.gather(2, ready.y[:, None, None].expand(-1, 6, 1)).squeeze(2)
    torch.testing.assert_close(form.shifts_of(ready.y, change), own)


def test_rounding_along_any_order_stays_within_the_slack(pair):
    single, double = pair
    rows = torch.arange(64)
    now, exact = (form.logits(form.parts(rows)[0]) for form in pair)
    steps, exact_steps = (form.shifts(form.parts(rows)[1]) for form in pair)
    slack = single.slack(*single.parts(rows))
    for turn in torch.randperm(6, generator=torch.Generator().manual_seed(0)).tolist():
        now, exact = now + steps[:, turn], exact + exact_steps[:, turn]
        off = (now[:, :, None] - now[:, None]).double() - (exact[:, :, None] - exact[:, None])
        assert (off.abs().amax((1, 2)) <= slack).all()
    # Small enough that few decisions need a second look.
    assert (slack < 1e-2).all()
    assert (double.slack(*double.parts(rows)) < 1e-10).all()


def test_the_form_is_found_where_it_holds_and_only_there(make_model, make_rows):
    rows = make_rows(30, 4, 2)
    assert affine(prepare(make_model(4, 2), rows)) is not None
    assert affine(prepare(make_model(4, 2, hidden=(3,)), rows)) is None
    fixed = make_model(4, 2)
    fixed.head = FixedHead(2, parts=2)
    assert affine(prepare(fixed, rows)) is not None
    aside = make_model(4, 2)
    aside.bottleneck = SideConcepts(4, aside.bottleneck.names)
    form = affine(prepare(aside, rows))
    # The features pass beside the concepts: z has four columns, but no correction moves them.
    assert form is not None
    assert form.parts(torch.arange(30))[1].abs().max() == 0


def test_a_head_whose_input_has_no_block_per_unit_is_left_to_run(make_rows):
    rows = make_rows(10, 3, 2)
    wide = Examples(rows.x.repeat(1, 2)[:, :5], rows.y, rows.c, rows.classes, rows.concepts)
    layer = SideConcepts(5, rows.concepts.names)
    corrections = prepare(NarrowModel(nn.Identity(), layer, LinearHead(5, 2)).eval(), wide)
    assert affine(corrections) is None
    (curve,) = replay(corrections, [torch.arange(3).expand(10, -1)]).tolist()
    assert curve == [curve[0]] * 4
