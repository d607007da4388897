"""Intervention curves: how fast does the decision improve while a person corrects concepts?

Corrections go in turns: a group of exclusive concepts at once, any other concept alone. After
each turn the head decides again; the encoder runs once for all. The truth is written as the
bottleneck writes it (`Bottleneck.condition`: for logits percentiles), once. Where the truth is
unknown nothing is corrected, though the turn is spent.

Public code reports the best of several random orders; here the mean over orders counts.

    curve              what is measured
    of_model           measuring it
    registry           policies by name
    state              what a policy may look at: costs, validation rows
    policies_static    random, uncertainty, lcp, cctp
    policies_expected  ectp, eudtp, oracle
    coop               coop
    moves, trial       what could be said next, and what it would do
    replay             accuracy along given orders
"""

from narrows.measure.intervention.curve import InterventionCurve
from narrows.measure.intervention.of_model import intervention_curve, intervention_curves
from narrows.measure.intervention.registry import policies, policy

__all__ = ["InterventionCurve", "intervention_curve", "intervention_curves", "policies", "policy"]
