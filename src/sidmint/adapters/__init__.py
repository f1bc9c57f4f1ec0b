"""Outside systems, one a file: DVC, MLflow, Great Expectations. Imported where they are used."""
