"""MLflow: what a study is told to it, and its pages."""
