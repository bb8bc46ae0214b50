"""Measured comparisons: each script prints a table and writes JSON."""
