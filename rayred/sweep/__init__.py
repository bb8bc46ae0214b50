"""Trials over fractions, selectors and repetitions."""
