"""Imported first by every benchmark: loads TensorFlow without what it prints while it loads."""

from tfp_genens.runtime import load_tensorflow

load_tensorflow()
