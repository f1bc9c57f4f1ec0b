"""Run history in MLflow: a parent run a build, a child run a tokenizer.

A build is named by its digest (`dvc_repo.build_digest`). The parent gets the tag
`sidmint.complete` last: a run that a killed process left half written is deleted and
written again, and a build that is complete is never written twice. A marker in the
workspace says so without asking MLflow, or even importing it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidmint.adapters.mlflow_store import (
    Point,
    Session,
    mlflow_session,
    store_digest,
    store_is_gone,
    tracking_uri,
)
from sidmint.adapters.mlflow_versions import (
    CANDIDATE,
    COMPLETE_TAG,
    find_number,
    log_table,
    point_alias,
    reconcile,
    register_version,
    set_champion,
    set_statuses,
)
from sidmint.artifacts import Artifacts
from sidmint.contracts import STAGES, TOKENIZER_STAGES
from sidmint.disk import digest
from sidmint.execution.shards import PARTS
from sidmint.json_text import dump_json
from sidmint.layout import Layout
from sidmint.params import Params
from sidmint.publishing.describing import describe_neighbours
from sidmint.publishing.files import SOURCES_FILE
from sidmint.publishing.tables import table_path

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

__all__ = [
    "RecordedBuild",
    "is_recorded",
    "reconcile",
    "record_build",
    "register_version",
    "set_champion",
    "set_statuses",
    "tracking_uri",
]

_BUILD = "sidmint.build"
_TOKENIZER = "sidmint.tokenizer"
_DATASETS = {
    "items": ("ingest", "items.parquet"),
    "interactions": ("ingest", "interactions.parquet"),
    "embeddings": ("embed", "embeddings.npy"),
    "pairs": ("pairs", "pairs.parquet"),
}


@dataclass(frozen=True)
class RecordedBuild:
    """Where MLflow has a build: its run, and the child run of each tokenizer."""

    digest: str
    experiment: str
    run_id: str
    children: dict[str, str]


def is_recorded(layout: Layout, digest: str) -> bool:
    """Whether the build was recorded in the store that is in use. Does not import MLflow."""
    return _read_marker(layout, digest) is not None


def record_build(
    layout: Layout, params: Params, artifacts: Artifacts, digest: str, candidate: str | None = None
) -> RecordedBuild:
    """Write the build named `digest` into MLflow, once; returns where it is.

    Parameters, every metric, training curves by step, digests of the data, the report and
    the verdicts. `candidate` names the tokenizer whose table may be published: it is
    registered as a model version and gets the alias `candidate`.
    """
    known = _read_marker(layout, digest)
    if known is not None:
        return known
    with mlflow_session(layout) as session:
        writing = _Writing(session, params, artifacts, digest)
        recorded = writing.find_complete() or writing.write_all(candidate)
        writing.point_candidate()
    marker = {"store": store_digest(layout), "build": asdict(recorded)}
    _marker(layout).write_text(dump_json(marker), encoding="utf-8")
    return recorded


@dataclass(frozen=True)
class _Writing:
    """One build on its way into the store."""

    session: Session
    params: Params
    artifacts: Artifacts
    digest: str

    @property
    def experiment(self) -> str:
        return self.params.registry.model_name

    def find_complete(self) -> RecordedBuild | None:
        runs = self.session.runs(self.session.experiment(self.experiment), _BUILD, self.digest)
        parents = [run.info.run_id for run in runs if COMPLETE_TAG in run.data.tags]
        if not parents:
            return None
        children = {
            run.data.tags[_TOKENIZER]: str(run.info.run_id)
            for run in runs
            if run.data.tags.get("mlflow.parentRunId") == parents[0]
        }
        return RecordedBuild(self.digest, self.experiment, str(parents[0]), children)

    def write_all(self, candidate: str | None) -> RecordedBuild:
        """Write the build anew, after deleting what a killed process may have left of it."""
        client, experiment = self.session.client, self.session.experiment(self.experiment)
        self._delete_unfinished(experiment)
        parent = self._create_run(experiment, f"build {self.digest[:12]}", {})
        self._describe_parent(parent)
        children = {}
        for tokenizer in self.params.train.tokenizers:
            tags = {"mlflow.parentRunId": parent, _TOKENIZER: tokenizer}
            children[tokenizer] = child = self._create_run(experiment, tokenizer, tags)
            self._describe_child(child, tokenizer)
            if tokenizer == candidate:
                self._register(child, tokenizer)
            client.set_terminated(child)
        client.set_terminated(parent)
        client.set_tag(parent, COMPLETE_TAG, "true")
        return RecordedBuild(self.digest, self.experiment, parent, children)

    def point_candidate(self) -> None:
        """The alias follows the last passing build; one that refused all leaves it where it is."""
        number = find_number(self.session, self.experiment, _BUILD, self.digest)
        if number is not None:
            point_alias(self.session, self.experiment, CANDIDATE, number)

    def _delete_unfinished(self, experiment: str) -> None:
        client = self.session.client
        number = find_number(self.session, self.experiment, _BUILD, self.digest)
        if number is not None:
            client.delete_model_version(self.experiment, number)
        for run in self.session.runs(experiment, _BUILD, self.digest):
            client.delete_run(run.info.run_id)

    def _create_run(self, experiment: str, name: str, tags: dict[str, str]) -> str:
        tags = {_BUILD: self.digest, **tags}
        return str(self.session.client.create_run(experiment, tags=tags, run_name=name).info.run_id)

    def _describe_parent(self, run_id: str) -> None:
        self.session.log_params(run_id, self.params.model_dump(mode="json"))
        self.session.log_metrics(run_id, self._metrics(None))
        self.session.client.log_inputs(run_id, list(self._datasets()))
        report = self.artifacts.folder("report") / "report.html"
        self.session.client.log_artifact(run_id, str(report))

    def _describe_child(self, run_id: str, tokenizer: str) -> None:
        settings = self.params.tokenizers.get(tokenizer, {})
        self.session.log_params(run_id, {"tokenizer": {"name": tokenizer, **settings}})
        self.session.log_metrics(run_id, self._metrics(tokenizer))
        self.session.log_metrics(run_id, self._curve(tokenizer))
        verdict = self.artifacts.folder("gate", tokenizer) / "verdict.json"
        self.session.client.log_artifact(run_id, str(verdict))
        passed = bool(json.loads(verdict.read_bytes())["passed"])
        self.session.client.set_tag(run_id, "sidmint.verdict", "passed" if passed else "refused")

    def _register(self, run_id: str, tokenizer: str) -> None:
        sids = table_path(self.artifacts.folder("assign", tokenizer))
        trained = self.artifacts.folder("train", tokenizer)
        tags = {_BUILD: self.digest, _TOKENIZER: tokenizer}
        neighbours = describe_neighbours(self.artifacts.json("embed", "embed"))
        fitted = self.artifacts.folder("embed") / SOURCES_FILE
        sources = fitted if fitted.is_file() else None
        log_table(self.session, self.experiment, run_id, sids, trained, neighbours, tags, sources)

    def _metrics(self, tokenizer: str | None) -> Iterator[Point]:
        """Of the stages that run once a tokenizer, or of the others; some write no metrics."""
        for stage in STAGES:
            if (stage in TOKENIZER_STAGES) != (tokenizer is not None):
                continue
            folder = self.artifacts.folder(stage, tokenizer)
            if (folder / "metrics.json").is_file():
                for name, value in sorted(self.artifacts.metrics(stage, tokenizer).items()):
                    yield name, value, 0

    def _curve(self, tokenizer: str) -> Iterator[Point]:
        for step, name, value in (
            self.artifacts.table("train", "curve", tokenizer)
            .select("step", "metric", "value")
            .iter_rows()
        ):
            yield f"train/{name}", value, step

    def _datasets(self) -> Iterator[DatasetInput]:
        from mlflow.entities import Dataset, DatasetInput

        for name, (stage, filename) in _DATASETS.items():
            path = self.artifacts.folder(stage) / filename
            parts = self.artifacts.shards(stage, name) if path.suffix == ".parquet" else None
            if parts is not None:  # their manifest has the digest of each
                path = parts.folder / PARTS
            size = sum(p.num_bytes for p in parts.parts) if parts else path.stat().st_size
            dataset = Dataset(
                name=name,
                digest=digest(path)[:32],  # MLflow keeps 36 characters
                source_type="local",
                source=json.dumps({"uri": str(path)}),
                profile=json.dumps({"bytes": size}),
            )
            yield DatasetInput(dataset, tags=[])


def _marker(layout: Layout) -> Path:
    return layout.local / "recorded.json"


def _read_marker(layout: Layout, digest: str) -> RecordedBuild | None:
    """The newest recorded build if it is this one, in this store; a damaged marker says nothing."""
    try:
        marker: dict[str, Any] = json.loads(_marker(layout).read_bytes())
        recorded = RecordedBuild(**marker["build"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_this = recorded.digest == digest and marker.get("store") == store_digest(layout)
    return recorded if is_this and not store_is_gone(layout) else None
