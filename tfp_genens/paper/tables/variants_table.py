"""`--table=variants`: what each variant of the default score makes of the sets of the final report.

Nothing is chosen here: `ablation` does that, on corruptions. It shows what the choice has cost, and
which statistic tells a set from normal inputs.
"""

from collections.abc import Sequence

import pandas as pd

from tfp_genens.errors import UserError
from tfp_genens.paper.documents import Document
from tfp_genens.paper.tables.ablation_table import by_set, candidates_of, is_corruption, judge
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation

KINDS = ("statistics", "alone", "densities", "members")


def table(evaluations: Sequence[Evaluation]) -> Document:
    """A section an evaluation, a table a kind of variant.

    Raises:
      UserError: an evaluation lacks held-out scores, statistics or OoD sets other than corruptions,
        or they are not of one family.
    """
    candidates = candidates_of(evaluations)
    for evaluation in evaluations:
        if all(is_corruption(ood.name) for ood in evaluation.ood):
            expected = "evaluations of OoD sets that are no corruptions"
            raise UserError(ARGUMENT, expected, str(evaluation.directory))
    judged = [judge(e, candidates, lambda name: not is_corruption(name)) for e in evaluations]
    sections = [
        {
            "evaluation": evaluation,
            **{kind: by_set(evaluation, one, (kind,), "OoD set") for kind in KINDS},
        }
        for evaluation, one in zip(evaluations, judged, strict=True)
    ]
    return Document("variants", {"sections": sections}, pd.concat(judged))
