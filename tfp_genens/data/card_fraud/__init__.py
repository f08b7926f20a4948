"""Kaggle's card-fraud table, which tensorflow_datasets lacks, and its splits."""
