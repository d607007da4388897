"""Edits of a linear head against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.bottleneck import Bottleneck
from narrows.concepts.post_hoc.edits import prune
from narrows.data import Concepts, Examples
from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.heads import LinearHead, MLPHead
from narrows.model import NarrowModel
from narrows.reading import Reading
from narrows.studio import edits
from narrows.studio.desk import Desk
from narrows.studio.edits import Edit, affine, apply, parse, with_head
from narrows.studio.standing import stand
from studio.small_runs import known_model

NAMES, LABELS = ["u0", "u1", "u2", "u3"], ["c0", "c1", "c2"]
value = st.floats(-3, 3, width=32)
one_edit = st.builds(
    Edit,
    st.sampled_from(edits.KINDS),
    st.sampled_from(NAMES),
    st.sampled_from([*LABELS, None]),
    value,
)


@given(st.lists(one_edit, max_size=6))
def test_edits_are_made_one_after_the_other_as_in_numpy(chosen: list[Edit]) -> None:
    weight, _ = affine(known_model(), Reading(torch.zeros(2, 4)))
    wanted = weight.numpy()[:, :, 0].copy()
    for edit in chosen:
        for k, label in enumerate(LABELS):
            if edit.label in (None, label):
                j = NAMES.index(edit.unit)
                factor = 0.0 if edit.kind == "prune" else edit.value
                wanted[k, j] = factor if edit.kind == "set" else wanted[k, j] * np.float32(factor)
    chosen = [Edit(e.kind, e.unit, e.label, None) if e.kind == "prune" else e for e in chosen]
    found = apply(weight, chosen, NAMES, LABELS)[:, :, 0].numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_an_edited_model_decides_by_the_edited_weights() -> None:
    model, units = known_model(), torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    weight, bias = affine(model, Reading(units))
    changed = apply(weight, [Edit("prune", "u2", "c1")], NAMES, LABELS)
    table = weight[:, :, 0].numpy().copy()
    table[1, 2] = 0
    logits = units.numpy() @ table.T + bias.numpy()
    said = stand(with_head(model, changed, bias), Reading(units))
    assert said.prediction.tolist() == logits.argmax(1).tolist()
    assert torch.equal(model.head.weight, weight[:, :, 0])  # the model itself is as it was


def test_pruning_gives_the_accuracy_of_the_concepts_room() -> None:
    """Another implementation, which reads the rows through the encoder."""
    model, source = known_model(), torch.Generator().manual_seed(2)
    x = torch.randn(60, 4, generator=source)
    y = torch.randint(0, 3, (60,), generator=source)
    rows = Examples(x, y, None, tuple(LABELS), Concepts(()))
    there = prune(model, {"c0": ["u1"], "c2": ["u3"]}, rows)
    weight, bias = affine(model, Reading(x))
    chosen = [Edit("prune", "u1", "c0"), Edit("prune", "u3", "c2")]
    here = stand(with_head(model, apply(weight, chosen, NAMES, LABELS), bias), Reading(x))
    assert float((here.prediction == y.numpy()).mean()) == pytest.approx(there.after)


def test_heads_that_do_more_than_add_are_refused() -> None:
    layer, rows = Bottleneck(["a", "b"]), Reading(torch.randn(3, 2))
    with pytest.raises(InvalidInput, match="linear layer"):
        affine(NarrowModel(torch.nn.Identity(), layer, MLPHead(2, 2)), rows)

    class Squashed(LinearHead):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return super().forward(z).tanh()

    with pytest.raises(InvalidInput, match="more than add"):
        affine(NarrowModel(torch.nn.Identity(), layer, Squashed(2, 2)), Reading(rows.units * 9))


@pytest.mark.parametrize(
    ("given_edits", "error", "words"),
    [
        ([], InvalidType, "at least one"),
        ("prune", InvalidType, "list"),
        ([3], InvalidType, "object"),
        ([{"kind": "drop", "unit": "u0"}], UnknownName, "kind"),
        ([{"kind": "prune", "unit": "u9"}], UnknownName, "u9"),
        ([{"kind": "prune", "unit": "u0", "label": "c9"}], UnknownName, "c9"),
        ([{"kind": "prune", "unit": "u0", "value": 1}], InvalidInput, "value"),
        ([{"kind": "set", "unit": "u0"}], InvalidInput, "value"),
        ([{"kind": "set", "unit": "u0", "value": float("nan")}], InvalidInput, "finite"),
        ([{"kind": "set", "unit": "u0", "value": 1e39}], InvalidInput, "finite"),
        ([{"kind": "set", "unit": "u0", "value": True}], InvalidType, "number"),
        ([{"kind": "set", "unit": "u0", "value": "1"}], InvalidType, "number"),
        ([{"kind": "prune", "unit": "u0", "extra": 1}], UnknownName, "extra"),
        ([{"kind": "prune", "unit": ["u0"]}], UnknownName, "u0"),
    ],
)
def test_bad_edits_are_refused_by_name(given_edits: object, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        parse(given_edits, NAMES, LABELS)  # type: ignore[arg-type]  # wrong on purpose


def test_a_preview_counts_validation_rows_and_keeps_nothing(desk: Desk) -> None:
    matrix = np.array(desk.weights()["matrix"])
    unit = desk.about()["units"][0]["name"]
    shown = desk.preview([{"kind": "prune", "unit": unit}])
    model, val = desk.opened.model, desk.opened.data.val  # type: ignore[union-attr]  # it is there
    units = desk.opened.method.transform(val)
    bias = model.head.bias.numpy()
    pruned = matrix.copy()
    pruned[:, 0] = 0
    before, after = ((units @ w.T + bias).argmax(1) for w in (matrix, pruned))
    y = val.y.numpy()
    assert shown["before"]["accuracy"] == pytest.approx((before == y).mean())
    assert shown["after"]["accuracy"] == pytest.approx((after == y).mean())
    assert shown["changed"] == (before != after).sum()
    assert shown["rows"] == len(y)
    assert desk.log()["total"] == 0
    assert np.array_equal(desk.weights()["matrix"], matrix)


def test_kept_edits_change_the_answers_of_every_case_until_they_are_undone(desk: Desk) -> None:
    plain = [case["prediction"] for case in desk.cases()["cases"]]
    units = [unit["name"] for unit in desk.about()["units"]]
    done = desk.edit([{"kind": "set", "unit": u, "value": 0.0} for u in units])
    assert done["after"] == desk.preview([{"kind": "prune", "unit": units[0]}])["before"]
    only = desk.cases()["cases"]
    assert len({case["prediction"] for case in only}) == 1  # nothing but the bias is left
    assert desk.case("test", 0)["now"]["label"] == only[0]["prediction"]
    assert [edit["unit"] for edit in desk.weights()["edits"]] == units
    digests = {desk.about()["digest"]}
    assert desk.undo()["kind"] == "edit"
    assert [case["prediction"] for case in desk.cases()["cases"]] == plain
    digests.add(desk.about()["digest"])
    assert len(digests) == 2
    desk.redo()
    assert desk.about()["digest"] in digests
    assert desk.cases()["cases"] == only
