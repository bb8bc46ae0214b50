"""Trials and their results, as values."""
