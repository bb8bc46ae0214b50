"""From embeddings to trees of classes and redundant groups, on one machine or on Ray."""
