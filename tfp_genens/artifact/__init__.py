"""What crosses from training to scoring: files, and nothing but files."""
