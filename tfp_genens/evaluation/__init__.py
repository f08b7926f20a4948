"""Metrics, intervals and results: what the scores of frozen members are worth as detectors."""
