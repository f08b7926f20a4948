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
REACH = 2.5
"""All steps together are this many times as long as EPS, so that any corner can be reached."""


@dataclasses.dataclass(frozen=True)
class AttackSpec:
    """What a text of FORM says."""

    scores: tuple[str, ...]
    start: str
    eps: float
    steps: int

    @property
    def attack(self) -> Attack:
        return Attack(
            gradient=functools.partial(scores_gradient, scores=self.scores),
            steps=self.steps,
            eps=self.eps,
            step_size=min(self.eps, REACH * self.eps / self.steps),
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
