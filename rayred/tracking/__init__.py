"""MLflow: logging of a study's runs, and MLflow's pages."""
