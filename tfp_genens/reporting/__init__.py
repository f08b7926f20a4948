"""Figures and reports, made from the files that an evaluation leaves."""
