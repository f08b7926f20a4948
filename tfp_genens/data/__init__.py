"""Where inputs come from and what is done to them before they reach a model."""

from tfp_genens.data.adversarial import fgsm, member_gradient, pgd, waic_gradient
from tfp_genens.data.datasets import DATASETS, Dataset, TrainingData, load_training_data
from tfp_genens.data.ood import OOD_SETS, OodContext, OodSet, open_ood
from tfp_genens.data.sources import Batch, Source, read_all, take
from tfp_genens.data.specs import SCHEMES, open_source
from tfp_genens.data.transforms import hflip, vflip

__all__ = [
    "DATASETS",
    "OOD_SETS",
    "SCHEMES",
    "Batch",
    "Dataset",
    "OodContext",
    "OodSet",
    "Source",
    "TrainingData",
    "fgsm",
    "hflip",
    "load_training_data",
    "member_gradient",
    "open_ood",
    "open_source",
    "pgd",
    "read_all",
    "take",
    "vflip",
    "waic_gradient",
]
