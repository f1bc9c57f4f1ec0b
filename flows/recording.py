"""The task after the graph: write the build into MLflow, once for each content."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from sidmint.adapters.mlflow_runs import RecordedBuild, record_build
from sidmint.artifacts import Artifacts
from sidmint.errors import Refused
from sidmint.layout import Layout
from sidmint.params import Params, load_params
from sidmint.publishing.candidates import choose


@task(name="record", task_run_name="record", cache_policy=NO_CACHE, persist_result=False)
def record_history(layout: Layout, digest: str) -> str:
    """Record the build named `digest`; the MLflow run id. Recording it again adds nothing."""
    params, artifacts = load_params(layout.params), Artifacts(layout)
    recorded: RecordedBuild = record_build(
        layout, params, artifacts, digest, _candidate(params, artifacts)
    )
    create_markdown_artifact(
        f"MLflow run `{recorded.run_id}` in experiment `{recorded.experiment}`",
        key="run-history",
    )
    return recorded.run_id


def _candidate(params: Params, artifacts: Artifacts) -> str | None:
    """The tokenizer that `publish` would take; None where the gate refused all of them."""
    try:
        return choose(params, artifacts, None, overriding=False).tokenizer
    except Refused:
        return None
