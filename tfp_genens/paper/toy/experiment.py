"""Trains what Figure 2 of the paper shows, and measures it; all that is drawn leaves as arrays."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from tfp_genens.artifact.manifest import git_commit
from tfp_genens.paper.toy import normal, regions
from tfp_genens.paper.toy.flow import Flow, FlowSettings
from tfp_genens.paper.toy.gans import Gans, GanSettings
from tfp_genens.paper.toy.regions import Region, Scores
from tfp_genens.paper.toy.steps import STEPS_A_CALL


@dataclasses.dataclass(frozen=True)
class ToySettings:
    """How the toy example is trained and measured.

    Attributes:
      flow: of panel (a).
      gans: of panels (b) and (c); the same are trained with `is_centred` false, for comparison.
      num_points: held-out draws of p(x) that set the thresholds; as many fresh ones, and samples of
        each generator, measure.
      side: cells along either side of the box.
    """

    flow: FlowSettings = dataclasses.field(default_factory=FlowSettings)
    gans: GanSettings = dataclasses.field(default_factory=GanSettings)
    num_points: int = 10000
    side: int = 400


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Trained GANs, and what their discriminators accept.

    Attributes:
      settings: what they were made with.
      discriminators: D on the grid, logits of being real, float64 [num_members, side, side].
      samples: of each generator, float32 [num_members, num_points, 2].
      distances: the critics' estimates of the Wasserstein distance, float32 [calls, num_members],
        means over `STEPS_A_CALL` steps.
      cross_entropies: of the discriminators in nats, likewise.
      accuracies: share of fresh draws and samples that each discriminator tells right, float64
        [num_members].
      variance_region: of Var(D) over all members, ddof 0.
      mean_region: of mean D over all members.
      member_regions: of D of each member, with thresholds set like those above.
      boundary_regions: of D of each member, with the discriminators' own threshold, 0.
    """

    settings: GanSettings
    discriminators: np.ndarray
    samples: np.ndarray
    distances: np.ndarray
    cross_entropies: np.ndarray
    accuracies: np.ndarray
    variance_region: Region
    mean_region: Region
    member_regions: tuple[Region, ...]
    boundary_regions: tuple[Region, ...]

    @property
    def variance(self) -> np.ndarray:
        """Var(D) over all members on the grid, float64 [side, side]; ddof 0."""
        return self.discriminators.var(axis=0)

    @property
    def regions(self) -> tuple[Region, ...]:
        return (
            self.variance_region,
            self.mean_region,
            *self.member_regions,
            *self.boundary_regions,
        )


@dataclasses.dataclass(frozen=True)
class Toy:
    """The trained toy example.

    Attributes:
      settings: what it was made with.
      seed: likewise.
      git_commit: of the code that made it, if known.
      steps_a_mean: training steps behind each entry of a loss curve; behind the last maybe fewer.
      centre: of p(x).
      box: ends of either coordinate.
      ticks: either coordinate of the grid's points, float64 [side].
      points: held-out draws of p(x), float32 [num_points, 2].
      flow_log_prob: the flow's log density on the grid in nats, float64 [side, side], the second
        coordinate first.
      flow_losses: mean negative log-likelihoods in nats, float32 [calls].
      gans: what panels (b) and (c) show.
      uncentred: the same with `is_centred` the other way, for comparison.
      data_region: of log p(x) itself, than which none can do better.
      flow_region: of the flow's log density.
    """

    settings: ToySettings
    seed: int
    git_commit: str | None
    steps_a_mean: int
    centre: tuple[float, float]
    box: tuple[float, float]
    ticks: np.ndarray
    points: np.ndarray
    flow_log_prob: np.ndarray
    flow_losses: np.ndarray
    gans: Ensemble
    uncentred: Ensemble
    data_region: Region
    flow_region: Region

    @property
    def regions(self) -> tuple[Region, ...]:
        return (self.data_region, self.flow_region, *self.gans.regions, *self.uncentred.regions)

    @property
    def flow_mass(self) -> float:
        """The flow's mass in the box, from its density on the grid; p(x)'s is 1 - 1e-6."""
        cell = (self.ticks[1] - self.ticks[0]) ** 2
        return float(np.exp(self.flow_log_prob).sum() * cell)


def run(settings: ToySettings, seed: int) -> Toy:
    """Trains flow, GANs and discriminators, and measures their scores; a few minutes.

    Args:
      settings: how.
      seed: every random number derives from it.

    Raises:
      FloatingPointError: training diverged.
    """
    commit = git_commit()  # of the code as it starts, whatever is edited while it trains
    held_out = normal.draws(settings.num_points, seed, "toy", "held_out")
    places = (
        held_out,
        normal.draws(settings.num_points, seed, "toy", "test"),
        regions.box_points(settings.side),
        regions.edge_points(settings.side),
    )
    flow = Flow(settings.flow, seed)
    flow_losses = flow.train()
    flow_scores = Scores(*map(flow.log_prob, places))
    uncentred = dataclasses.replace(settings.gans, is_centred=False)
    return Toy(
        settings=settings,
        seed=seed,
        git_commit=commit,
        steps_a_mean=STEPS_A_CALL,
        centre=normal.CENTRE,
        box=regions.BOX,
        ticks=regions.box_ticks(settings.side),
        points=held_out,
        flow_log_prob=flow_scores.box.reshape(settings.side, settings.side),
        flow_losses=flow_losses,
        gans=_ensemble(settings.gans, seed, places, ""),
        uncentred=_ensemble(uncentred, seed, places, "uncentred: "),
        data_region=regions.fitted("log p(x) itself", Scores(*map(normal.log_prob, places)), True),
        flow_region=regions.fitted("log density of the flow", flow_scores, True),
    )


def _ensemble(
    settings: GanSettings, seed: int, places: Sequence[np.ndarray], prefix: str
) -> Ensemble:
    """Trains GANs; `places` are held-out draws, fresh draws, the box and its edge."""
    gans = Gans(settings, seed, prefix)
    distances = gans.train()
    cross_entropies = gans.finetune()
    logits = [gans.logits(x) for x in places]
    _, test, box, _ = logits
    samples = gans.samples(len(places[1]))
    sample_logits = np.stack([gans.logits(x)[member] for member, x in enumerate(samples)])
    members = {
        f"{prefix}D of GAN {k + 1}": Scores(*(x[k] for x in logits))
        for k in range(settings.num_members)
    }
    variance, mean = (Scores(*(f(x, axis=0) for x in logits)) for f in (np.var, np.mean))
    side = math.isqrt(box.shape[1])
    return Ensemble(
        settings=settings,
        discriminators=box.reshape(-1, side, side),
        samples=samples,
        distances=distances,
        cross_entropies=cross_entropies,
        accuracies=0.5 * ((test > 0).mean(axis=1) + (sample_logits <= 0).mean(axis=1)),
        variance_region=regions.fitted(f"{prefix}Var(D)", variance, False),
        mean_region=regions.fitted(f"{prefix}mean D", mean, True),
        member_regions=tuple(regions.fitted(*item, True) for item in members.items()),
        boundary_regions=tuple(regions.measured(*item, 0.0, True) for item in members.items()),
    )
