"""MLflow: the runs of a study, what a store lacks of them, and its pages."""
