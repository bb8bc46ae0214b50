"""The smaller data set without a study: what is kept, why the rest is not, and its files."""
