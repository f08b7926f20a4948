"""How often models that classify are right about in-distribution test inputs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.stats

from tfp_genens import seeds
from tfp_genens.data.sources import Source
from tfp_genens.evaluation import tables


def measure(
    ensemble: Any, source: Source, *, batch_size: int, num_bootstrap: int, seed: int
) -> dict[str, Any] | None:
    """Accuracy of the members and of the ensemble, which goes by their averaged probabilities.

    The 95 % intervals are over `num_bootstrap` resamples of the in-distribution inputs; the members
    are taken as given.

    Returns:
      In percent: "members", one number each; "mean" over them and "ensemble", with their ends
      "_low" and "_high"; and "num_in". None where the members do not classify, or the inputs have
      no labels or others than the members know.
    """
    if "classify" not in ensemble.functions:
        return None
    parts = []
    for batch in source.batches(batch_size):
        if batch.labels is None:
            return None
        probabilities = ensemble.classify(batch.values)
        is_known = (batch.labels >= 0) & (batch.labels < probabilities.shape[-1])
        if not is_known.all():
            return None
        everyone = np.concatenate([probabilities, probabilities.mean(axis=0, keepdims=True)])
        parts.append(everyone.argmax(axis=-1) == batch.labels)
    is_right = 100.0 * np.concatenate(parts, axis=1)  # [num_members + 1, num_inputs]
    members, of_ensemble = is_right[:-1], is_right[-1]
    measured: dict[str, Any] = {"members": members.mean(axis=1).tolist()}
    for name, values in (("mean", members.mean(axis=0)), ("ensemble", of_ensemble)):
        interval = scipy.stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=num_bootstrap,
            batch=100,
            method="percentile",
            rng=seeds.numpy_generator(seed, "bootstrap", "accuracy"),
        ).confidence_interval
        measured |= {
            name: float(values.mean()),
            f"{name}_low": float(interval.low),
            f"{name}_high": float(interval.high),
        }
    return measured | {"num_in": is_right.shape[1]}


def note(document: Mapping[str, Any]) -> tuple[str, ...]:
    """One sentence, or none where it was not measured; `document` is results.json."""
    measured = document.get("accuracy")
    if measured is None:
        return ()
    mean, ensemble = (tables.value_text(measured, name) for name in ("mean", "ensemble"))
    who = f"{document['model']}, {measured['num_in']:,} in-distribution test inputs"
    if len(measured["members"]) == 1:
        return (f"Accuracy in percent ({who}): {mean}.",)
    return (
        f"Accuracy in percent ({who}): {mean}, the mean over members, and {ensemble} by their "
        "averaged class probabilities.",
    )
