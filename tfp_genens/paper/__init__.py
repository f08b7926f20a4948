"""One paper: its tables and figures, from the files that evaluations leave."""
