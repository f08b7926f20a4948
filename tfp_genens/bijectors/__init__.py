"""Bijectors beyond those of TensorFlow Probability."""

from tfp_genens.bijectors.maf import masked_autoregressive_flow, random_permutation

__all__ = ["masked_autoregressive_flow", "random_permutation"]
