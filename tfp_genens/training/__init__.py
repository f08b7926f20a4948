"""Training: the loop, checkpoints, progress. Knows learners, not models."""
