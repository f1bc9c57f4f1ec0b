"""The commands on versions, called as a user calls them, beside an MLflow that only remembers."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from sidmint.cli import versions

app = typer.Typer()
versions.register(app)


class Mlflow(SimpleNamespace):
    """Stands for `sidmint.adapters.mlflow_runs`: remembers what it was told."""


def stub_mlflow(monkeypatch: pytest.MonkeyPatch) -> Mlflow:
    """`told`: versions registered and made champion; `stand`: the newest status of each."""
    told: list[tuple[str, ...]] = []
    stand: dict[str, str] = {}
    stub = Mlflow(
        told=told,
        stand=stand,
        register_version=lambda _, name, folder: told.append(("register", name, folder.name)),
        set_champion=lambda _, name, version: told.append(("champion", name, version)),
        set_statuses=lambda _, name, statuses: stand.update(statuses),
    )
    monkeypatch.setitem(sys.modules, "sidmint.adapters.mlflow_runs", stub)
    monkeypatch.setattr("sidmint.adapters.mlflow_runs", stub, raising=False)
    return stub


def say(*arguments: str) -> str:
    """What the command printed; its exception is raised."""
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    if result.exception is not None:
        raise result.exception
    return str(result.stdout)


def parsed(*arguments: str) -> Any:
    """What it printed under `--json`."""
    return json.loads(say(*arguments, "--json"))
