"""Classical detectors, fitted with scikit-learn and frozen as TensorFlow graphs: one file a method.

They are the yardstick: whether a deep ensemble is worth its cost shows beside them.
"""
