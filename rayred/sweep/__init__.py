"""The sweep: trials over fractions, selectors and repetitions."""
