"""Generative Ensembles for out-of-distribution detection, on TensorFlow Probability."""

__version__ = "0.1.0"
