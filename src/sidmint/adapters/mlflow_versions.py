"""Model versions in MLflow: a copy of the registry for those who look there.

The registry folder is the truth. Aliases in MLflow keep no history and can be set by
anybody, so `champion` is derived from the registry's pointer and `reconcile` repairs it.
Versions carry the tag `sidmint.version` (a version of the registry) or `sidmint.build` (a build
that passed its gate and may be published). `sidmint.status` says how a version stands: proposed,
approved, declined, champion, published (was champion), retired.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidmint.adapters.mlflow_files import reader_of_texts, write_files
from sidmint.adapters.mlflow_saving import save_model
from sidmint.adapters.mlflow_store import Session, mlflow_session, scratch_folder
from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.publishing.acts import standings
from sidmint.publishing.files import SOURCES_FILE
from sidmint.publishing.tables import table_path

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from sidmint.publishing.store import VersionStore

VERSION_TAG = "sidmint.version"
STATUS_TAG = "sidmint.status"
COMPLETE_TAG = "sidmint.complete"
CHAMPION = "champion"
CANDIDATE = "candidate"


def register_version(layout: Layout, model_name: str, version_folder: Path) -> str:
    """Register a published version as a model version; returns MLflow's number of it.

    `version_folder` is a version of the registry (sids.parquet, tokenizer/, metrics.json,
    manifest.json, verdict.json), named like the version. Doing it twice adds nothing.
    """
    with mlflow_session(layout) as session:
        return _registered(session, model_name, version_folder)


def set_champion(layout: Layout, model_name: str, version: str) -> None:
    """Point the alias `champion` at the model version of the published `version`."""
    with mlflow_session(layout) as session:
        number = find_number(session, model_name, VERSION_TAG, version)
        if number is None:
            raise BadInput(
                f"version {version!r} is not registered in MLflow as {model_name!r}; "
                "`sidmint reconcile` registers what is missing"
            )
        point_alias(session, model_name, CHAMPION, number)


def set_statuses(layout: Layout, model_name: str, statuses: Mapping[str, str]) -> list[str]:
    """Tag the model versions of registry versions with how these stand; the versions that changed.

    A version that MLflow does not have is left out: `reconcile` registers it.
    """
    with mlflow_session(layout) as session:
        return _tag_statuses(session, model_name, statuses)


def reconcile(layout: Layout, model_name: str, store: VersionStore) -> list[str]:
    """Make MLflow agree with the registry; returns what was done, a line each.

    Registers versions that MLflow lacks, tags each with how it stands, and points `champion`
    where the registry's pointer does. Model versions without a registry folder are named and
    left alone, and so are folders of the registry that no line of its log names.
    """
    done = []
    pointer, known_by_log = store.champion(), standings(store.entries())
    with mlflow_session(layout) as session:
        numbers: dict[str, str] = {}
        registered: set[str] = set()
        for version in filter(known_by_log.__contains__, store.versions()):
            known = find_number(session, model_name, VERSION_TAG, version)
            folder = store.release(version).whole()
            numbers[version] = known or _registered(session, model_name, folder)
            if known is None:
                registered.add(version)
                done.append(f"registered {version} as {model_name} {numbers[version]}")
        for version in sorted(_tagged_versions(session, model_name).keys() - set(numbers)):
            done.append(f"MLflow has {version}, the registry has not; left as it is")
        statuses = {version: known_by_log[version].status for version in numbers}
        changed = _tag_statuses(session, model_name, statuses)
        told = [version for version in changed if version not in registered]
        done += [f"{version} is tagged {statuses[version]}" for version in told]
        wanted = numbers[pointer.version] if pointer else None
        if point_alias(session, model_name, CHAMPION, wanted):
            done.append(f"champion now points at {pointer.version if pointer else 'nothing'}")
    return done or ["MLflow agrees with the registry"]


def log_table(
    session: Session,
    model_name: str,
    run_id: str,
    sids: Path,
    tokenizer: Path,
    neighbours: Mapping[str, Any] | None,
    tags: Mapping[str, str],
    sources: Path | None = None,
) -> str:
    """Log a table, its tokenizer and its encoder's name into a run as a model, and register that.

    `neighbours` is what `describing.describe_neighbours` says, None where a release says nothing;
    `sources` the file of what was fitted of `embed.sources`, where vectors were joined.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository

    client = session.client
    with scratch_folder(session.layout) as folder:
        (folder / "files").mkdir()
        write_files(folder / "files", sids, tokenizer, neighbours, sources)
        save_model(folder / "model", folder / "files", reader_of_texts(neighbours))
        client.log_artifacts(run_id, str(folder / "model"), "table")
    try:
        client.create_registered_model(
            model_name, description="Semantic ID tables published by sidmint"
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"runs:/{run_id}/table"
    location = RunsArtifactRepository.get_underlying_uri(source, client.tracking_uri)
    made = client.create_model_version(model_name, location, run_id=run_id, tags=dict(tags))
    return str(made.version)


def find_number(session: Session, model_name: str, tag: str, value: str) -> str | None:
    """MLflow's number of the model version that carries the tag; None if there is none."""
    query = f"name = '{model_name}' and tags.`{tag}` = '{value}'"
    found = session.client.search_model_versions(query)
    return str(min(int(version.version) for version in found)) if found else None


def point_alias(session: Session, model_name: str, alias: str, number: str | None) -> bool:
    """Point `alias` at a number, or take it away; true if it pointed elsewhere before."""
    current = _number_behind(session, model_name, alias)
    if current == number:
        return False
    if number is None:
        session.client.delete_registered_model_alias(model_name, alias)
    else:
        session.client.set_registered_model_alias(model_name, alias, number)
    return True


def _registered(session: Session, model_name: str, folder: Path) -> str:
    """The number of the version in `folder`, registered if it is not there yet."""
    version = folder.name
    known = find_number(session, model_name, VERSION_TAG, version)
    if known is not None:
        return known
    experiment = session.experiment(f"{model_name}-releases")
    for unfinished in session.runs(experiment, VERSION_TAG, version):
        session.client.delete_run(unfinished.info.run_id)
    run = session.client.create_run(experiment, tags={VERSION_TAG: version}, run_name=version)
    run_id = str(run.info.run_id)
    metrics = json.loads((folder / "metrics.json").read_bytes())
    session.log_metrics(run_id, ((name, value, 0) for name, value in sorted(metrics.items())))
    for name in ("manifest.json", "metrics.json", "verdict.json"):
        session.client.log_artifact(run_id, str(folder / name))
    session.client.set_terminated(run_id)
    neighbours = json.loads((folder / "manifest.json").read_bytes()).get("neighbours")
    fitted = folder / SOURCES_FILE
    return log_table(
        session,
        model_name,
        run_id,
        table_path(folder),
        folder / "tokenizer",
        neighbours,
        {VERSION_TAG: version},
        fitted if fitted.is_file() else None,
    )


def _number_behind(session: Session, model_name: str, alias: str) -> str | None:
    from mlflow.exceptions import MlflowException

    try:
        return str(session.client.get_model_version_by_alias(model_name, alias).version)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def _tagged_versions(session: Session, model_name: str) -> dict[str, ModelVersion]:
    """Model versions by the version of the registry that they are tagged with; the first of two."""
    found: list[ModelVersion] = list(session.client.search_model_versions(f"name = '{model_name}'"))
    newest_first = sorted(found, key=lambda version: int(version.version), reverse=True)
    return {each.tags[VERSION_TAG]: each for each in newest_first if VERSION_TAG in each.tags}


def _tag_statuses(session: Session, model_name: str, statuses: Mapping[str, str]) -> list[str]:
    tagged = _tagged_versions(session, model_name)
    changed = [
        version
        for version, status in sorted(statuses.items())
        if version in tagged and tagged[version].tags.get(STATUS_TAG) != status
    ]
    for version in changed:
        number = tagged[version].version
        session.client.set_model_version_tag(model_name, number, STATUS_TAG, statuses[version])
    return changed
