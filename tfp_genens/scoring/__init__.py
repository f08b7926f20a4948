"""Scoring with frozen members: needs their files, not their code."""

from tfp_genens.scoring.columns import ScoreFile, read_scores
from tfp_genens.scoring.ensemble import Ensemble
from tfp_genens.scoring.stream import score_table, score_to_file

__all__ = ["Ensemble", "ScoreFile", "read_scores", "score_table", "score_to_file"]
