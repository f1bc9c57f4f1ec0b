"""Tries of `sidmint choose` in MLflow: a run each, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sidmint.adapters.mlflow_store import Session, mlflow_session
from sidmint.layout import Layout

_TRY = "sidmint.try"
_PARAMS = ("name", "sizes", "share", "seed", "num_fitted", "settings", "failed")


def record_tries(layout: Layout, model_name: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """A run of the experiment MODEL_NAME-choose for each of `rows` that has none; how many are new.

    `rows` are those of tries.jsonl. A run carries the key of its try as the tag sidmint.try, set
    last: one that a killed process left without it is deleted.
    """
    if not rows:
        return 0
    with mlflow_session(layout) as session:
        experiment = session.experiment(f"{model_name}-choose")
        known = _known(session, experiment)
        new = [row for row in rows if row["key"] not in known]
        for row in new:
            _write(session, experiment, row)
    return len(new)


def _known(session: Session, experiment: str) -> set[str]:
    """Keys of the recorded tries; runs that were left half written are deleted."""
    known, token = set[str](), None
    while True:
        page = session.client.search_runs([experiment], max_results=1000, page_token=token)
        for run in page:
            key = run.data.tags.get(_TRY)
            if key is None:
                session.client.delete_run(run.info.run_id)
            else:
                known.add(key)
        token = page.token
        if not token:
            return known


def _write(session: Session, experiment: str, row: Mapping[str, Any]) -> None:
    client = session.client
    name = f"{row['name']} {'x'.join(map(str, row['sizes']))} on {row['share']:.3g}"
    run_id = str(client.create_run(experiment, run_name=name).info.run_id)
    session.log_params(run_id, {key: row[key] for key in _PARAMS})
    figures = {key: row[key] for key in ("fit_seconds", "measure_seconds", "quality")}
    points = {**row["metrics"], **figures}
    session.log_metrics(
        run_id, [(key, float(value), 0) for key, value in points.items() if value is not None]
    )
    client.set_terminated(run_id, "FAILED" if row["failed"] else "FINISHED")
    client.set_tag(run_id, _TRY, str(row["key"]))
