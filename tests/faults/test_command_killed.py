"""Whole commands killed at any moment: registry, workspace, MLflow's database and artifacts.

`SIDMINT_KILLS` says how often each command is killed, 3 by default.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recorded_world import MLFLOW_S_OWN
from refresh_world import candidate, names, refreshing_world, vectors_of_world
from releases import Built
from sidmint.adapters.mlflow_runs import reconcile
from sidmint.publishing.promotion import propose

pytestmark = [pytest.mark.slow, *MLFLOW_S_OWN]

TESTS = Path(__file__).resolve().parents[1]
KILLS = os.environ.get("SIDMINT_KILLS", "3")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, migrated_mlflow_database: Path) -> Path:
    """v0001, the champion v0002, v0003 proposed, a candidate nobody published, and new items.

    Beside it stands the folder `place`, where it was made.
    """
    place = tmp_path_factory.mktemp("commands") / "place"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        built = refreshing_world(place).built
        built.set_params(train={"tokenizers": ["one"]})
        built.layout.local.mkdir(exist_ok=True)
        shutil.copyfile(migrated_mlflow_database, built.layout.mlflow_database)
        pl.DataFrame({"item_id": names(9, "new")}).write_csv(place / "new.csv")
        np.save(place / "new.npy", vectors_of_world(9, seed=2))
        candidate(built, seed=2)
        built.publish("one")
        candidate(built, seed=3)
        propose(built.params, built.artifacts, built.layout, "one", by="test")
        reconcile(built.layout, "m", built.store)
        candidate(built, seed=4)
    return Path(shutil.copytree(place, place.parent / "kept"))


def rounds(kept: Path, results: Path, command: str) -> list[dict[str, Any]]:
    """What was seen after the command that nobody stopped, and after each that was killed."""
    script, place = str(TESTS / "faults" / "command_killer.py"), kept.parent / "place"
    path = os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("MLFLOW_TRACKING_URI", None)
    arguments = [str(kept), str(place), KILLS, str(results), *command.split()]
    subprocess.run(
        [sys.executable, "-W", "ignore", script, *arguments],
        env=environment,
        check=True,
        timeout=3000,
    )
    return [json.loads(line) for line in results.read_text().splitlines()]


def check(seen: list[dict[str, Any]], before: str, after: str) -> None:
    """A champion at every moment, the old one and then the new one; and the same command heals.

    It and `sidmint reconcile` end well, after which the registry is whole and MLflow level with it.
    """
    finished, *killed = seen
    assert len(killed) >= min(int(KILLS), 3)
    for each in seen:
        assert all("lacks line" in problem for problem in each["problems"])
        assert (each["again"][0], each["reconcile"][0]) == (0, 0), each
        assert each["problems_after"] == []
        assert each["mlflow"] == each["champion_after"]
        assert each["registered"] == each["versions"]
    assert finished["champion"] == after
    moments = [each["champion"] for each in killed]
    assert moments == sorted(moments, key=(before, after).index)
    assert moments[0] == before


@pytest.mark.parametrize(
    ("command", "after"),
    [
        ("refresh new.csv --vectors new.npy", "v0002.1"),
        ("promote v0003", "v0003"),
        ("rollback --to v0001", "v0001"),
        ("publish", "v0004"),
        ("propose", "v0002"),
    ],
)
def test_a_killed_command_is_done_or_not_and_done_by_the_next(
    kept: Path, tmp_path: Path, command: str, after: str
) -> None:
    seen = rounds(kept, tmp_path / "seen.jsonl", command)
    check(seen, "v0002", after)
    if command not in ("publish", "propose"):  # these leave a draft's number unused
        assert {each["champion_after"] for each in seen} == {after}
    assert {len(each["versions"]) for each in seen} == {len(seen[0]["versions"])}


def test_a_killed_reconcile_is_made_up_for_by_the_next(
    kept: Path, tmp_path: Path, migrated_mlflow_database: Path
) -> None:
    """MLflow knows nothing yet; the registry is not touched at all."""
    behind = Path(shutil.copytree(kept, kept.parent / "behind"))
    shutil.copyfile(migrated_mlflow_database, Built(behind).layout.mlflow_database)
    check(rounds(behind, tmp_path / "seen.jsonl", "reconcile"), "v0002", "v0002")
