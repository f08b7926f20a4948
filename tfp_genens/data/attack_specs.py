"""`attack:SCORES:START:EPS:STEPS`: an attack on scores of the whole ensemble, as anyone wants it.

SCORES are ensemble scores whose gradient the model offers, joined by "+": dose, waic, dose+waic.
START is "noise", or an OoD set whose inputs are moved. EPS is how far each pixel may move, a
fraction of the value range; STEPS is how many sign steps are taken (Madry et al. 2018).
"""

import dataclasses
import functools

from tfp_genens.data.adversarial import Attack, scores_gradient
from tfp_genens.errors import UserError

PREFIX = "attack:"
FORM = "attack:SCORES:START:EPS:STEPS, e.g. attack:dose:noise:0.1:10"
NOISE = "noise"
FIRST_STEP, LAST_STEP = 0.3, 0.0003
"""Of EPS. Steps shrink: long ones reach any corner, short ones come to rest."""


@dataclasses.dataclass(frozen=True)
class AttackSpec:
    """What a text of FORM says."""

    scores: tuple[str, ...]
    start: str
    eps: float
    steps: int

    @property
    def attack(self) -> Attack:
        gradient = functools.partial(scores_gradient, scores=self.scores)
        first, last = (self.eps * share for share in (FIRST_STEP, LAST_STEP))
        if self.steps == 1:
            first = last = self.eps
        return Attack(
            gradient=gradient,
            steps=self.steps,
            eps=self.eps,
            step_size=first,
            last_step_size=last,
        )


def parse(text: str, argument: str) -> AttackSpec:
    """Reads a text of FORM; raises UserError for another."""
    parts = text.removeprefix(PREFIX).split(":")
    try:
        scores, start, eps, steps = parts
        found = AttackSpec(tuple(scores.split("+")), start, float(eps), int(steps))
    except ValueError as e:
        raise UserError(argument, FORM, repr(text)) from e
    if not all(found.scores) or not start or not 0 < found.eps <= 1 or found.steps < 1:
        expected = f"{FORM}, with 0 < EPS <= 1 and STEPS of at least 1"
        raise UserError(argument, expected, repr(text))
    return found
