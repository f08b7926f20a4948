"""A sanity gate for likelihoods: what a density model gives away about itself when trained.

Exact likelihoods can be wrong without looking wrong (a stack that does not invert, training that
went nowhere), and right but no measure of normality: simpler images are often likelier than those
that the model was trained on (Nalisnick et al. 2019).
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.ndimage

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.files import packaged
from tfp_genens.seeds import numpy_generator

NUM_EXAMPLES = 200
BATCH_SIZE = 50
MAX_SHARE = 0.5
"""The share of held-out images that a probe may exceed in likelihood without a warning."""

MAX_INVERSION_ERROR = 0.5 / 255.0
"""Of the range of pixel values; beyond it, images come back with other 8-bit values."""

BITS_OF_UNIFORM = 8.0

Score = Callable[[np.ndarray], np.ndarray]


def _blurred(images: np.ndarray) -> np.ndarray:
    sigma = max(images.shape[1:3]) / 16.0
    return scipy.ndimage.gaussian_filter(images, (0.0, sigma, sigma, 0.0), mode="nearest")


def _coarse(images: np.ndarray) -> np.ndarray:
    """2x2 pixels become one colour, their mean."""
    num, height, width, channels = images.shape
    blocks = images.reshape(num, height // 2, 2, width // 2, 2, channels)
    return np.broadcast_to(blocks.mean(axis=(2, 4), keepdims=True), blocks.shape).reshape(
        images.shape
    )


@dataclasses.dataclass(frozen=True)
class Probe:
    """Images [0, 1] made of held-out ones (float64) and a generator; no data set need supply them.

    A simpler one should not be likelier than the images that it is made of.
    """

    make: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    is_simpler: bool


PROBES = {
    "black": Probe(lambda x, _: np.zeros_like(x), True),
    "grey": Probe(lambda x, _: np.full_like(x, 0.5), True),
    "white": Probe(lambda x, _: np.ones_like(x), True),
    "blurred": Probe(lambda x, _: _blurred(x), True),
    "coarse": Probe(lambda x, _: _coarse(x), True),
    "uniform_noise": Probe(lambda x, generator: generator.random(x.shape), False),
}
"""Constant images, the held-out images without detail (a Gaussian of a sixteenth of their side;
half the resolution), and noise."""


def check_likelihood(
    *,
    log_prob: Score,
    untrained_log_prob: Score,
    reconstruct: Score,
    images: np.ndarray,
    input_spec: InputSpec,
    seed: int,
) -> dict[str, Any]:
    """Measures a trained model on held-out images and on probes made of them.

    Args:
      log_prob: float32 images [batch, height, width, channels] on the raw scale -> nats [batch].
      untrained_log_prob: the same of the model before its first step.
      reconstruct: images -> what comes back from their latents.
      images: held-out images on the raw scale, in random order; the first NUM_EXAMPLES are used.
      input_spec: what they are.
      seed: of the noise.

    Returns:
      JSON values, null where a number is not finite; bits/dim are those of 8-bit values. A probe's
      "likelier_share" is the share of held-out images less likely than the probe's in their place,
      "advantage_nats" the median of by how much. "warnings": sentences for the user.
    """
    low, high = input_spec.value_range or (0.0, 1.0)
    images = images[:NUM_EXAMPLES].astype(np.float32)
    num_dims = math.prod(images.shape[1:])

    def bits(nats: np.ndarray) -> float | None:
        return _number(-np.mean(nats) / (num_dims * math.log(2.0)))

    held_out = _in_batches(log_prob, images)
    unit = (images.astype(np.float64) - low) / (high - low)
    probes = {}
    for name, probe in PROBES.items():
        generator = numpy_generator(seed, "probe", name)
        levels = np.rint(255.0 * probe.make(unit, generator)) / 255.0  # 8-bit values, as images are
        nats = _in_batches(log_prob, (low + (high - low) * levels).astype(np.float32))
        probes[name] = {
            "bits_per_dim": bits(nats),
            "likelier_share": _number(np.mean(nats > held_out)),
            "advantage_nats": _number(np.median(nats - held_out)),
        }
    error = np.max(np.abs(_in_batches(reconstruct, images) - images))
    found = {
        "num_examples": len(images),
        "untrained_bits_per_dim": bits(_in_batches(untrained_log_prob, images)),
        "bits_per_dim": bits(held_out),
        "inversion_error": _number(error / (high - low)),
        "probes": probes,
    }
    return {**found, "warnings": warnings_of(found)}


def warnings_of(found: dict[str, Any]) -> list[str]:
    """One sentence for each thing in `check_likelihood`'s numbers that a user should know of."""
    trained, untrained = (_or_nan(found[k]) for k in ("bits_per_dim", "untrained_bits_per_dim"))
    error = _or_nan(found["inversion_error"])
    shares = {name: _or_nan(probe["likelier_share"]) for name, probe in found["probes"].items()}
    likely = {name: share for name, share in shares.items() if not share <= MAX_SHARE}
    simple = {name: share for name, share in likely.items() if PROBES[name].is_simpler}
    noisy = {name: share for name, share in likely.items() if name not in simple}
    is_so = {  # written so that what is no number warns
        "learned_nothing": not trained < untrained,
        "worse_than_random": not trained < BITS_OF_UNIFORM,
        "not_invertible": not error <= MAX_INVERSION_ERROR,
        "noise_is_likelier": noisy,
        "simple_is_likelier": simple,
    }
    numbers = {"trained": trained, "untrained": untrained, "uniform": BITS_OF_UNIFORM}
    numbers["error"] = 255.0 * error
    texts = packaged("tfp_genens.models", "likelihood_warnings.toml")
    known = {**numbers, "noisy": _percent(noisy), "simple": _percent(simple)}
    return [texts[name].format(**known) for name, holds in is_so.items() if holds]


def _percent(shares: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {100 * s:.0f} %" for name, s in shares.items())


def _in_batches(function: Score, values: np.ndarray) -> np.ndarray:
    parts = [function(values[i : i + BATCH_SIZE]) for i in range(0, len(values), BATCH_SIZE)]
    return np.concatenate(parts).astype(np.float64)


def _number(x: float | np.floating) -> float | None:
    return float(x) if np.isfinite(x) else None


def _or_nan(x: float | None) -> float:
    return math.nan if x is None else x
