"""Trials, their results and points of curves, as values."""
