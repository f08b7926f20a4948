"""The default score taken apart by members: what curves and intervals over members are made of."""

import numpy as np

from tfp_genens.artifact.held_out import FIT
from tfp_genens.artifact.spec import HIGHER_IS_NORMAL
from tfp_genens.errors import UserError
from tfp_genens.evaluation.rows import member_values
from tfp_genens.reporting.evaluation_files import Evaluation
from tfp_genens.scoring import dose
from tfp_genens.scoring.scores import EnsembleScore, mean

DOSE = "dose"
LOG_DENSITY = "log_density"

OF_DENSITIES = EnsembleScore(
    DOSE, "Density of states", "nats", HIGHER_IS_NORMAL, (LOG_DENSITY,), mean
)
"""The score as the mean over members of their log densities."""


def statistics(evaluation: Evaluation) -> list[str]:
    """The member outputs that the score is made of; raises UserError where there are none."""
    specs = evaluation.in_distribution.scores.member_scores
    names = [name for name, spec in specs.items() if spec.statistic]
    if not names:
        got = f"{evaluation.directory}, which has {', '.join(specs)}"
        raise UserError(evaluation.argument, f"evaluations with the statistics of {DOSE}", got)
    return names


def member_densities(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """Log densities of all sets, in-distribution first: float64 [num_members, num_inputs].

    Each member's is fitted on the statistics that it had of held-out inputs, as in the frozen
    ensemble. Raises UserError where the evaluation has none of these.
    """
    names = statistics(evaluation)
    state = dose.fit(*evaluation.held_out(FIT, names).values())
    return {
        one.name: dose.member_log_density(
            *(member_values(one.scores, name) for name in names), state=state
        ).numpy()
        for one in evaluation.sets
    }
