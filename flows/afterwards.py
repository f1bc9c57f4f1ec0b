"""What follows once a flow has written to the registry: MLflow, DVC's remote, the announcement."""

from __future__ import annotations

import json
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from sidmint.adapters.dvc_repo import push
from sidmint.adapters.mlflow_runs import register_version, set_champion, set_statuses
from sidmint.errors import SidmintError
from sidmint.layout import Layout
from sidmint.params import load_params
from sidmint.publishing.history import list_versions
from sidmint.publishing.opening import open_registry
from sidmint.publishing.release import Published


@task(task_run_name="register", cache_policy=NO_CACHE, persist_result=False)
def register(layout: Layout, published: Published) -> None:
    """Let MLflow follow; if that fails, `sidmint reconcile` makes up for it."""
    params = load_params(layout.params)
    name = params.registry.model_name
    register_version(layout, name, published.path)
    set_champion(layout, name, published.version)
    rows = list_versions(open_registry(layout, params.registry.path))
    set_statuses(layout, name, {row.version: row.status for row in rows})


@task(task_run_name="push", cache_policy=NO_CACHE, persist_result=False)
def push_inputs(layout: Layout, version: str) -> None:
    """Send what `version` was just made of to DVC's default remote, where there is one.

    If that fails the flow goes on, since the version is there; `dvc push` makes up for it.
    """
    try:
        push(layout.root)
    except SidmintError as error:
        get_run_logger().warning(
            f"the inputs of {version} are not in DVC's remote yet: {error}; `dvc push` sends them"
        )


def tell(message: dict[str, Any], key: str) -> dict[str, Any]:
    """Write `message` to Prefect's log and, as a table, to its UI; within a task."""
    get_run_logger().info(json.dumps(message, sort_keys=True))
    rows = "\n".join(f"| {name} | {value} |" for name, value in message.items())
    create_markdown_artifact(f"| | |\n|---|---|\n{rows}", key=key)
    return message
