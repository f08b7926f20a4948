"""Judges scores that no score file holds, as the evaluation has judged its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfp_genens.evaluation import bootstrap, metrics


def judge(
    in_values: np.ndarray,
    ood_values: np.ndarray,
    direction: str,
    *,
    ood_dataset: str,
    settings: Mapping[str, Any],
) -> dict[str, float]:
    """AUROC of one score; of several members' scores, the mean of their AUROCs.

    Args:
      in_values: of in-distribution inputs, float64 [num_in] or [num_members, num_in].
      ood_values: of OoD inputs by the same members, likewise.
      direction: of the score.
      ood_dataset: names the OoD set; with the seed it picks the bootstrap's resamples, so that they
        are those of the evaluation's own rows.
      settings: of the evaluation: "num_bootstrap" and "seed".

    Returns:
      "auroc", and the ends of its 95 % interval over inputs, "auroc_low" and "auroc_high", percent;
      "num_in", "num_out", and "num_nan", how many of the values are NaN.
    """
    in_values, ood_values = np.atleast_2d(in_values), np.atleast_2d(ood_values)
    intervals = bootstrap.bootstrap_intervals(
        in_values,
        ood_values,
        direction,
        num_resamples=settings["num_bootstrap"],
        seed=settings["seed"],
        path=(ood_dataset,),
    )
    low, high = intervals["auroc"]
    aurocs = [metrics.auroc(*v, direction) for v in zip(in_values, ood_values, strict=True)]
    return {
        "auroc": 100.0 * float(np.mean(aurocs)),
        "auroc_low": 100.0 * low,
        "auroc_high": 100.0 * high,
        "num_in": in_values.shape[1],
        "num_out": ood_values.shape[1],
        "num_nan": int(np.isnan(in_values).sum() + np.isnan(ood_values).sum()),
    }
