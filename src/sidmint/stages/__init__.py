"""One stage, one file, one command, one entry of dvc.yaml: it reads, calls pure code, writes.

A stage knows no MLflow, Great Expectations or Prefect; what it needs of them is passed in.
"""
