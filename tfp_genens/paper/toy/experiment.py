"""Trains what Figure 2 of the paper shows, and measures it; all that is drawn leaves as arrays."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens.artifact.manifest import git_commit
from tfp_genens.paper.toy import regions
from tfp_genens.paper.toy.models import STEPS_A_CALL, Flow, FlowSettings, Gans, GanSettings


@dataclasses.dataclass(frozen=True)
class ToySettings:
    """How the toy example is trained and measured."""

    flow: FlowSettings = dataclasses.field(default_factory=FlowSettings)
    # The same are trained with `is_centred` false, for comparison.
    gans: GanSettings = dataclasses.field(default_factory=GanSettings)
    num_points: int = 10000  # held-out draws of p(x), fresh ones, samples of each generator
    side: int = 400  # cells along either side of the box


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Trained GANs.

    Attributes:
      discriminators: D on the grid, logits of being real, float64 [num_members, side, side].
      samples: of each generator, float32 [num_members, num_points, 2].
      distances: the critics' estimates of the Wasserstein distance, float32 [calls, num_members],
        see `models.train`.
      cross_entropies: of the discriminators in nats, likewise.
      accuracies: share of fresh draws and samples that each discriminator tells right, float64
        [num_members].
    """

    discriminators: np.ndarray
    samples: np.ndarray
    distances: np.ndarray
    cross_entropies: np.ndarray
    accuracies: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """Var(D) over all members on the grid, float64 [side, side]; ddof 0."""
        return self.discriminators.var(axis=0)


@dataclasses.dataclass(frozen=True)
class Toy:
    """The trained toy example.

    Attributes:
      settings, seed: what it was made with.
      git_commit: of the code that made it, if known.
      steps_a_mean: training steps behind each entry of a loss curve; behind the last maybe fewer.
      points: held-out draws of p(x), float32 [num_points, 2].
      flow_log_prob: the flow's log density on the grid in nats, float64 [side, side], the second
        coordinate first.
      flow_losses: mean negative log-likelihoods in nats, float32 [calls].
      gans: what panels (b) and (c) show.
      uncentred: the same with `is_centred` the other way, for comparison.
      regions: what scores accept, a line each:
        part: "data" (log p(x) itself, than which none can do better), "flow", "variance" (ddof 0)
          and "mean" of D over members, "member" (D of one) or "boundary" (D > 0 of one).
        is_centred: of which GANs; True where it is of none.
        name, threshold, higher_is_normal (normal is at least the threshold, else at most),
          is_fitted (the threshold was set on held-out draws of p(x)).
        mass, mass_low, mass_high: share of fresh draws of p(x) inside, from 0 to 1, and its 95 %
          interval (Clopper-Pearson).
        box: share of the box's area inside.
        edge: share of its edge; more than 0 means that the region is not closed within the box,
          and so does not fence p(x) in.
    """

    settings: ToySettings
    seed: int
    git_commit: str | None
    steps_a_mean: int
    points: np.ndarray
    flow_log_prob: np.ndarray
    flow_losses: np.ndarray
    gans: Ensemble
    uncentred: Ensemble
    regions: pd.DataFrame

    @property
    def flow_mass(self) -> float:
        """The flow's mass in the box, from its density on the grid; p(x)'s is 1 - 1e-6."""
        low, high = regions.BOX
        cell = ((high - low) / len(self.flow_log_prob)) ** 2
        return float(np.exp(self.flow_log_prob).sum() * cell)


def run(settings: ToySettings, seed: int) -> Toy:
    """Trains flow, GANs and discriminators, and measures their scores; a few minutes.

    Every random number derives from `seed`.

    Raises:
      FloatingPointError: training diverged.
    """
    commit = git_commit()  # of the code as it starts, whatever is edited while it trains
    places = regions.places(settings.num_points, settings.side, seed)
    flow = Flow(settings.flow, seed)
    flow_losses = flow.train()
    exact, learned = (
        {name: log_prob(x) for name, x in places.items()}
        for log_prob in (regions.log_prob, flow.log_prob)
    )
    of_density = [
        {"part": "data", "is_centred": True, **regions.region("log p(x) itself", exact)},
        {"part": "flow", "is_centred": True, **regions.region("log density of the flow", learned)},
    ]
    (gans, of_gans), (uncentred, of_uncentred) = (
        _trained(dataclasses.replace(settings.gans, is_centred=is_centred), seed, places)
        for is_centred in (True, False)
    )
    return Toy(
        settings,
        seed,
        commit,
        STEPS_A_CALL,
        points=places["held_out"],
        flow_log_prob=learned["box"].reshape(settings.side, settings.side),
        flow_losses=flow_losses,
        gans=gans,
        uncentred=uncentred,
        regions=pd.DataFrame([*of_density, *of_gans, *of_uncentred]),
    )


def _trained(
    settings: GanSettings, seed: int, places: Mapping[str, np.ndarray]
) -> tuple[Ensemble, list[dict[str, Any]]]:
    """GANs and their regions."""
    label = "" if settings.is_centred else "uncentred: "
    gans = Gans(settings, seed, label)
    distances = gans.train()
    cross_entropies = gans.finetune()
    logits = {name: gans.logits(x) for name, x in places.items()}
    samples = gans.samples(len(places["test"]))
    sample_logits = np.stack([gans.logits(x)[member] for member, x in enumerate(samples)])
    side = math.isqrt(len(places["box"]))
    ensemble = Ensemble(
        discriminators=logits["box"].reshape(-1, side, side),
        samples=samples,
        distances=distances,
        cross_entropies=cross_entropies,
        accuracies=0.5 * ((logits["test"] > 0).mean(axis=1) + (sample_logits <= 0).mean(axis=1)),
    )
    found = gan_regions(logits, label)
    return ensemble, [{**line, "is_centred": settings.is_centred} for line in found]


def gan_regions(logits: Mapping[str, np.ndarray], label: str) -> list[dict[str, Any]]:
    """Regions of D, whose logits of all places are float64 [num_members, num] each."""
    variance, mean = ({k: f(v, axis=0) for k, v in logits.items()} for f in (np.var, np.mean))
    members = {
        f"{label}D of GAN {m + 1}": {k: v[m] for k, v in logits.items()}
        for m in range(len(logits["box"]))
    }
    return [
        {"part": "variance", **regions.region(f"{label}Var(D)", variance, False)},
        {"part": "mean", **regions.region(f"{label}mean D", mean)},
        *({"part": "member", **regions.region(*member)} for member in members.items()),
        *({"part": "boundary", **regions.region(*member, value=0.0)} for member in members.items()),
    ]
