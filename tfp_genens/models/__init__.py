"""The registry of model families: a new family is one file here and one row below."""

from __future__ import annotations

from tfp_genens.learner import Family
from tfp_genens.models import vae, wgan

FAMILIES: dict[str, Family] = {
    "vae": vae.FAMILY,
    "wgan": wgan.FAMILY,
}
