"""Bijectors beyond those of TensorFlow Probability."""

from tfp_genens.bijectors.actnorm import ActNorm
from tfp_genens.bijectors.convolution import Invertible1x1Conv
from tfp_genens.bijectors.coupling import AdditiveCoupling, AffineCoupling
from tfp_genens.bijectors.glow import Glow
from tfp_genens.bijectors.maf import masked_autoregressive_flow, random_permutation
from tfp_genens.bijectors.split import Split
from tfp_genens.bijectors.squeeze import Squeeze

__all__ = [
    "ActNorm",
    "AdditiveCoupling",
    "AffineCoupling",
    "Glow",
    "Invertible1x1Conv",
    "Split",
    "Squeeze",
    "masked_autoregressive_flow",
    "random_permutation",
]
