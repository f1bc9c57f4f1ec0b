"""Fixtures every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("DVC_NO_ANALYTICS", "1")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# As many test processes as cores: threads of their own would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository under test."""
    return REPOSITORY


def real_data(name: str) -> Path:
    """The folder of a real catalogue (beauty, toys, office); skips where it is not at hand."""
    root = Path(os.environ.get("SIDMINT_DATA", REPOSITORY.parent / "shared" / "data"))
    folder = root / name
    if not (folder / "items.parquet").is_file():
        pytest.skip(f"real catalogue {name!r} not found under {root}; set SIDMINT_DATA")
    return folder


@pytest.fixture(scope="session")
def office() -> Path:
    """Amazon 2014 Office: 2,420 items, the small real catalogue."""
    return real_data("office")


@pytest.fixture(scope="session")
def beauty() -> Path:
    """Amazon 2014 Beauty: 12,101 items."""
    return real_data("beauty")


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Prefect server for all tests that run a flow; starting it takes ten seconds and more."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def migrated_mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database to copy: making one takes six seconds and more."""
    from sidmint.adapters.mlflow_store import mlflow_session
    from sidmint.layout import Layout

    layout = Layout(tmp_path_factory.mktemp("mlflow"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with mlflow_session(layout) as session:
            session.client.search_experiments()
    return layout.mlflow_database
