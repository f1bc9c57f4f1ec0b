"""Prefect lives here: it owns the clock (when, again, how long, tell whom, who approves).

What is stale and in which order stages run is DVC's, read from dvc.yaml.
"""

from flows.settings import prepare_prefect

# Here, because Prefect reads its settings when it is imported.
prepare_prefect()
