"""`--table=false_alarms`: how often p-values of the default score flag normal inputs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.stats
import tensorflow as tf

from tfp_genens import seeds
from tfp_genens.artifact.held_out import CALIBRATE, FIT
from tfp_genens.artifact.spec import HIGHER_IS_NORMAL
from tfp_genens.evaluation.results import IN_DISTRIBUTION
from tfp_genens.paper import configurations, densities, shared
from tfp_genens.paper.documents import Document
from tfp_genens.reporting.evaluation_files import Evaluation
from tfp_genens.scoring import calibration, dose

NUM_SPLITS = 20
ALPHAS = (0.01, 0.05, 0.1)
LEVEL = 0.95


def table(evaluations: Sequence[Evaluation]) -> Document:
    """A line a training set and alpha.

    Raises:
      UserError: evaluations without the score or its held-out statistics.
    """
    cells = pd.concat([_cells(evaluation) for evaluation in evaluations], ignore_index=True)
    groups = cells.groupby(["train_dataset", "model", "alpha"], sort=False)
    lines = [_line(of_one) for _, of_one in groups]
    context = {
        "table": pd.DataFrame(lines),
        "num_splits": NUM_SPLITS,
        "evaluations": evaluations,
        "num_within": int(cells["is_within"].sum()),
        "num_all": len(cells),
        "level": 100 * LEVEL,
    }
    return Document("false_alarms", context, cells)


def _cells(evaluation: Evaluation) -> pd.DataFrame:
    """A line a split and alpha."""
    configurations.require_scores(evaluation, [densities.DOSE])
    names = densities.statistics(evaluation)
    parts = [evaluation.held_out(FIT, names), evaluation.held_out(CALIBRATE, names)]
    num_fit, num_calibrate = (len(part[names[0]][0]) for part in parts)
    inside = {name: shared.values(evaluation, name)[IN_DISTRIBUTION] for name in names}
    pooled = [np.concatenate([*(part[n] for part in parts), inside[n]], axis=1) for n in names]
    num_test = pooled[0].shape[1] - num_fit - num_calibrate
    found = []
    for split in range(NUM_SPLITS):
        generator = seeds.numpy_generator(0, "false_alarms", split)
        order = generator.permutation(pooled[0].shape[1])
        fit, calibrate, test = np.split(order, [num_fit, num_fit + num_calibrate])
        state = dose.fit(*(values[:, fit] for values in pooled))
        scores = tf.constant(dose.log_density(*pooled, state=state))
        scores = calibration.normality(scores, HIGHER_IS_NORMAL).numpy()
        p_value = calibration.p_value(
            tf.constant(scores[test]), tf.constant(np.sort(scores[calibrate]))
        ).numpy()
        for alpha in ALPHAS:
            flagged = int((p_value <= alpha).sum())
            low, high = _band(alpha, num_calibrate, num_test)
            about = {
                **shared.identity(evaluation),
                "label": shared.train_label(evaluation.document),
            }
            counts = {"num_calibrate": num_calibrate, "num_test": num_test, "flagged": flagged}
            ends = {"low": 100 * low / num_test, "high": 100 * high / num_test}
            line = {**about, "split": split, "alpha": alpha, **counts, **ends}
            line |= {"percent": 100 * flagged / num_test, "is_within": low <= flagged <= high}
            found.append(line)
    return pd.DataFrame(found)


def _band(alpha: float, num_calibrate: int, num_test: int) -> tuple[float, float]:
    """What `flagged` is in LEVEL of all draws of exchangeable inputs.

    Of n calibrating scores, a test score is below the k-th lowest, k = floor(alpha (n + 1)), with
    a chance that is Beta(k, n + 1 - k): the number flagged is beta-binomial (Vovk 2012).
    """
    k = int(np.floor(alpha * (num_calibrate + 1) + 1e-9))
    if k == 0:
        return 0.0, 0.0
    law = scipy.stats.betabinom(num_test, k, num_calibrate + 1 - k)
    low, high = law.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _line(cells: pd.DataFrame) -> dict[str, object]:
    first = cells.iloc[0]
    return {
        "trained on": first["label"],
        "model": first["model"],
        "asked for": 100 * first["alpha"],
        "mean": cells["percent"].mean(),
        "lowest to highest": (cells["percent"].min(), cells["percent"].max()),
        "expected range": (first["low"], first["high"]),
        "splits within": int(cells["is_within"].sum()),
        "calibrating inputs": int(first["num_calibrate"]),
        "judged inputs": int(first["num_test"]),
    }
