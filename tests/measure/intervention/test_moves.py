"""What a person could say next, and how probable the model finds it."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.measure.corrections import prepare
from narrows.measure.intervention.moves import answers, truths

GROUPS = ((1, 3, 4),)


def test_a_single_concept_has_two_answers_and_a_group_one_a_member(make_model, make_rows):
    moves = answers(prepare(make_model(5, 3, groups=GROUPS, extra=1), make_rows(6, 5, 3, GROUPS)))
    said = [
        (turn, [i for i, v in enumerate(told) if v], [i for i, v in enumerate(asked) if v])
        for turn, told, asked in zip(
            moves.turn.tolist(), moves.told.tolist(), moves.asked.tolist(), strict=True
        )
    ]
    assert said == [
        (0, [], [0]),
        (0, [0], [0]),
        (1, [1], [1, 3, 4]),
        (1, [3], [1, 3, 4]),
        (1, [4], [1, 3, 4]),
        (2, [], [2]),
        (2, [2], [2]),
    ]
    # Moves of one slot are of different turns.
    pairs = list(zip(moves.turn.tolist(), moves.slot.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)


def test_the_truth_is_one_move_a_turn_and_certain(make_model, make_rows):
    ready = prepare(make_model(5, 3, groups=GROUPS), make_rows(6, 5, 3, GROUPS))
    moves = truths(ready)
    assert moves.turn.tolist() == [0, 1, 2]
    assert torch.equal(moves.chances(ready.reading.units), torch.ones(6, 3, dtype=torch.float64))
    assert torch.equal(moves.written(torch.arange(6), 0), ready.written)


def test_all_moves_of_a_slot_are_written_as_one_by_one(make_model, make_rows):
    model, rows = make_model(5, 3, "logit", GROUPS, extra=1), make_rows(6, 5, 3, GROUPS)
    ready, every = prepare(model, rows), torch.arange(6)
    moves = answers(ready)
    for slot in range(3):
        with torch.no_grad():
            together = moves.written(every, slot)
        for move in (moves.slot == slot).nonzero().flatten().tolist():
            known = (moves.asked[move].expand(6, -1), moves.told[move].expand(6, -1))
            with torch.no_grad():
                alone = model.bottleneck.condition(ready.reading, known).units
            asked = moves.asked[move]
            assert torch.equal(together[:, asked], alone[:, asked])


@given(st.integers(0, 2**20))
@settings(max_examples=40, deadline=None)
def test_answers_of_a_turn_are_a_distribution(seed):
    scores = torch.rand(4, 5, generator=torch.Generator().manual_seed(seed))
    scores[0] = 0
    scores[1] = scores[1].round()
    found = MOVES.chances(scores)
    assert (found >= 0).all()
    torch.testing.assert_close(MOVES.per_turn(found), torch.ones(4, 3, dtype=torch.float64))
    assert found[0, 2:5].tolist() == [1 / 3] * 3
    for i in (2, 3):
        row = scores[i].double().tolist()
        total = row[1] + row[3] + row[4]
        wanted = [1 - row[0], row[0], row[1] / total, row[3] / total, row[4] / total]
        wanted += [1 - row[2], row[2]]
        torch.testing.assert_close(found[i].tolist(), wanted)


def _moves():
    from narrows.bottleneck import IdentityBottleneck
    from narrows.data.record import Concepts, Examples
    from narrows.heads import LinearHead
    from narrows.model import NarrowModel

    layer = IdentityBottleneck(5)
    layer.groups = GROUPS
    model = NarrowModel(torch.nn.Identity(), layer, LinearHead(5, 2)).eval()
    y = torch.tensor([0, 1])
    rows = Examples(torch.zeros(2, 5), y, torch.zeros(2, 5), (0, 1), Concepts(layer.names))
    return answers(prepare(model, rows))


MOVES = _moves()
