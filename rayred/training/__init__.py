"""Training from scratch: recipe, batches, the loop, and Ray Train around it."""
