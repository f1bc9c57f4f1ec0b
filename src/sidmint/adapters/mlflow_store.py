"""The connection to MLflow: which store, opened by one process at a time, without its noise."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidmint.errors import BadInput, StorageFailed
from sidmint.json_text import dump_json
from sidmint.layout import Layout

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_LONGEST_VALUE = 6000  # characters of a parameter that MLflow keeps
_LONGEST_KEY = 250
_METRICS_A_CALL = 1000
_PARAMS_A_CALL = 100
_DATABASE = "mlflow.store.db.utils"
_NOISY = ("alembic", "httpx", "mlflow", _DATABASE)

Point = tuple[str, float, int]
"""A metric's name, value and step."""


def tracking_uri(layout: Layout) -> str:
    """`MLFLOW_TRACKING_URI`, else an SQLite file in the workspace, by its absolute path."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    return given or f"sqlite:///{layout.mlflow_database.resolve()}"


def store_digest(layout: Layout) -> str:
    """Tells one store from another without showing its address, which may hold a password."""
    return hashlib.sha256(tracking_uri(layout).encode()).hexdigest()


def store_is_gone(layout: Layout) -> bool:
    """Whether the store is the workspace's own SQLite file and that file is not there."""
    return not os.environ.get("MLFLOW_TRACKING_URI") and not layout.mlflow_database.is_file()


@dataclass(frozen=True)
class Session:
    """An open store. Everything goes through `client`: MLflow's global state is not used."""

    client: MlflowClient
    layout: Layout

    def experiment(self, name: str) -> str:
        """The id of the experiment, made if it is not there.

        A new one keeps its artifacts in the workspace, unless a tracking server decides
        that. A team whose database is shared without a server makes the experiment first,
        with an artifact location that all of them reach.
        """
        known = self.client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        is_server = tracking_uri(self.layout).startswith(("http://", "https://"))
        folder = (self.layout.local / "mlartifacts" / name).resolve()
        location = None if is_server else folder.as_uri()
        return str(self.client.create_experiment(name, artifact_location=location))

    def runs(self, experiment_id: str, tag: str, value: str) -> list[Run]:
        """The runs that are not deleted and carry the tag."""
        query = f"tags.`{tag}` = '{value}'"
        return list(self.client.search_runs([experiment_id], query, max_results=1000))

    def log_metrics(self, run_id: str, points: Iterable[Point]) -> None:
        """Log many metrics in few calls."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        metrics = [Metric(metric_name(key), value, now, step) for key, value, step in points]
        for start in range(0, len(metrics), _METRICS_A_CALL):
            self.client.log_batch(run_id, metrics=metrics[start : start + _METRICS_A_CALL])

    def log_params(self, run_id: str, values: Mapping[str, Any]) -> None:
        """Log nested values under dotted keys, and in full as the artifact params.json."""
        from mlflow.entities import Param

        params = [Param(_key(key), _shortened(value)) for key, value in flatten(values)]
        for start in range(0, len(params), _PARAMS_A_CALL):
            self.client.log_batch(run_id, params=params[start : start + _PARAMS_A_CALL])
        self.client.log_text(run_id, dump_json(dict(values)), "params.json")


@contextmanager
def mlflow_session(layout: Layout) -> Iterator[Session]:
    """Open the store, one process of the workspace at a time: the first use migrates it.

    Raises `StorageFailed` where the store cannot be reached, or its database is held by another
    process for longer than it waits (SQLite: 5 s a try).
    """
    from filelock import FileLock

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    layout.local.mkdir(parents=True, exist_ok=True)
    with FileLock(layout.local / "mlflow.lock", fallback_to_soft=False), _quietly():
        from mlflow import MlflowClient

        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(_DATABASE).setLevel(logging.CRITICAL)  # what it logs it also raises
        uri = tracking_uri(layout)
        registry = os.environ.get("MLFLOW_REGISTRY_URI") or uri
        try:
            with _told_briefly():  # it opens the store at once
                client = MlflowClient(tracking_uri=uri, registry_uri=registry)
        except ModuleNotFoundError as error:
            scheme = uri.partition(":")[0]  # the rest may hold a password
            raise BadInput(
                f"MLFLOW_TRACKING_URI begins with {scheme}: and wants the package {error.name}, "
                "which is not installed; for PostgreSQL install sidmint[postgres] and write "
                "postgresql+psycopg2://USER@HOST/DATABASE"
            ) from error
        with _told_briefly():
            yield Session(client, layout)


@contextmanager
def _told_briefly() -> Iterator[None]:
    """Errors of the store as ours, by their first line: a database's go on with its statement."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise StorageFailed(
            f"MLflow's store does not do what it was asked ({str(error).partition(chr(10))[0]}); "
            "nothing that is published needs it: try again when it answers"
        ) from error


@contextmanager
def scratch_folder(layout: Layout) -> Iterator[Path]:
    """A folder for files on their way into the store; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="mlflow-", dir=layout.local))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def metric_name(name: str) -> str:
    """`name` with every character that MLflow refuses in a metric turned into an underscore."""
    return re.sub(r"[^A-Za-z0-9_\-. :/]", "_", name)


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of nested mappings, in key order."""
    for key, value in sorted(values.items()):
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _key(name: str) -> str:
    return metric_name(name)[:_LONGEST_KEY]


def _shortened(value: Any) -> str:
    """As JSON, except text; what is too long for MLflow ends in the digest of the whole."""
    text = value if isinstance(value, str) else dump_json(value).strip()
    if not isinstance(value, str):
        text = " ".join(text.split())
    if len(text) <= _LONGEST_VALUE:
        return text
    mark = f"... sha256 {hashlib.sha256(text.encode()).hexdigest()}"
    return text[: _LONGEST_VALUE - len(mark)] + mark


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep MLflow's noise in, and undo what its migration does: it sets the root logger to INFO."""
    root = logging.getLogger()
    levels = {logger: logger.level for logger in (root, *map(logging.getLogger, _NOISY))}
    handlers = root.handlers[:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what MLflow uses of SQLAlchemy and pydantic is its own
        try:
            yield
        finally:
            root.handlers[:] = handlers
            for logger, level in levels.items():
                logger.setLevel(level)
