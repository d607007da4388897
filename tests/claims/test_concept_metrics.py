"""What the claims about concept metrics measure, on networks that are not trained."""

from __future__ import annotations

import pytest
import torch

from narrows import measure
from narrows.claims import concept_metrics
from narrows.concepts.cem_layer import ConceptEmbeddingLayer
from narrows.concepts.layer import ConceptLayer
from narrows.data import Examples, load
from narrows.data.generated.scattered_digits import points, regions
from narrows.heads import LinearHead
from narrows.model import NarrowModel
from narrows.train import isolated


@pytest.fixture(scope="module")
def rows() -> Examples:
    return load("scattered_digits", sizes=(40, 40, 40)).test


def model_of(layer: ConceptLayer | ConceptEmbeddingLayer, rows: Examples) -> NarrowModel:
    head = LinearHead(len(rows.concepts) * layer.width, len(rows.classes))
    return NarrowModel(concept_metrics.PooledEncoder(), layer, head, rows.classes).eval()


def test_maps_by_gradient_are_found_where_activation_maps_of_a_linear_concept_are(rows) -> None:
    with isolated(0, "test"):
        model = model_of(ConceptLayer(64, rows.concepts.names), rows)
    found = concept_metrics._location(model, rows)
    with torch.no_grad():
        features = model.encoder.layers(rows.x)
        maps = measure.activation_map(features, model.bottleneck.linear.weight)
        units = model.read(rows.x).units
        said = model(rows.x).prediction.argmax(1)
    torch.testing.assert_close(features.mean((2, 3)), model.encoder(rows.x))
    alone = measure.location(
        maps,
        points(rows),
        measure.local_importance(model.head.weight.detach(), units, said),
        (16, 32),
        top=(1,),
        objects=regions(rows).any(1),
    )
    for one, other in zip(found.by_area, alone.by_area, strict=True):
        # Rounding may turn the order of two pixels round: in one row of 40 at most.
        torch.testing.assert_close(one.share, other.share, rtol=0, atol=1.01 / other.rows)
        assert one.rows == other.rows
    # Both digits together are a quarter of the canvas.
    assert [float(share.baselines["object"][0]) for share in found.by_area[1:]] == [1, 1]


def test_embeddings_are_mapped_by_the_logits_of_their_probabilities(rows) -> None:
    with isolated(0, "test"):
        model = model_of(ConceptEmbeddingLayer(64, rows.concepts.names, width=4), rows)
    with torch.no_grad():
        h = model.encoder(rows.x)
        logits = concept_metrics._logits(model, h)
        torch.testing.assert_close(logits.sigmoid(), model.read(rows.x).units)
    found = concept_metrics._location(model, rows)
    assert found.by_area[0].rows > 20
    assert found.by_area[0].share.isfinite().all()


def test_a_size_without_its_data_says_why() -> None:
    evidence = concept_metrics.run("full", 1)
    assert set(evidence.reasons) == {c.key for c in concept_metrics.CLAIMS}
    assert not evidence.values
