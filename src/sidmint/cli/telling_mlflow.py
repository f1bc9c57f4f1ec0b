"""Bring MLflow level after a command wrote to the registry."""

from __future__ import annotations

from pathlib import Path

from sidmint.cli.output import warn
from sidmint.cli.workspace import Workspace, open_store


def tell_mlflow(here: Workspace, version: str, new: Path | None, moved: bool) -> None:
    """Register the `new` folder of `version`, point the alias if it `moved`, tag what changed.

    MLflow is derived from the registry: where it fails, a warning says so and nothing is undone.
    """
    name = here.params.registry.model_name
    try:
        from sidmint.adapters import mlflow_runs
        from sidmint.publishing.history import list_versions

        if new is not None:
            mlflow_runs.register_version(here.layout, name, new)
        if moved:
            mlflow_runs.set_champion(here.layout, name, version)
        statuses = {row.version: row.status for row in list_versions(open_store())}
        mlflow_runs.set_statuses(here.layout, name, statuses)
    except Exception as error:
        warn(
            f"the registry knows what was done to {version}, but MLflow does not know it yet "
            f"({type(error).__name__}: {error}); `sidmint reconcile` tells it"
        )
