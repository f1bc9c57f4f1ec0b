"""MLflow's model versions follow the registry, and can be repaired from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from recorded_world import (
    MLFLOW_S_OWN,
    client_of,
    predict,
    recorded_world,
    runs_of,
    with_two_versions,
)
from releases import Built
from sidmint.adapters.mlflow_runs import (
    reconcile,
    register_version,
    set_champion,
    set_statuses,
)
from sidmint.errors import BadInput
from sidmint.publishing.promotion import decide, promote, propose, retire
from sidmint.publishing.release import rollback

pytestmark = MLFLOW_S_OWN


@pytest.fixture
def world(tmp_path: Path, migrated_mlflow_database: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return with_two_versions(tmp_path / "workspace", migrated_mlflow_database)


def test_a_version_is_registered_once(world: Built) -> None:
    folder = world.store.release("v0001").folder
    number = register_version(world.layout, "m", folder)
    assert register_version(world.layout, "m", folder) == number
    (version,) = client_of(world).search_model_versions("name = 'm'")
    assert version.tags["sidmint.version"] == "v0001"
    (run,) = runs_of(world, "m-releases")
    assert run.data.metrics["retention_at_100"] == 0.8


def test_champion_serves_the_published_table(world: Built) -> None:
    for version in ("v0001", "v0002"):
        register_version(world.layout, "m", world.store.release(version).folder)
    set_champion(world.layout, "m", "v0002")
    assert predict(world, "champion", ["d", "nowhere", "b"]) == ["2-2-0", None, "0-1-1"]
    set_champion(world.layout, "m", "v0001")
    assert predict(world, "champion", ["d"]) == ["3-3-0"]


def test_an_unregistered_version_cannot_be_champion(world: Built) -> None:
    with pytest.raises(BadInput, match=r"v0009.*not registered.*sidmint reconcile"):
        set_champion(world.layout, "m", "v0009")


def test_reconcile_registers_what_is_missing_and_moves_the_alias_back(world: Built) -> None:
    assert reconcile(world.layout, "m", world.store) == [
        "registered v0001 as m 1",
        "registered v0002 as m 2",
        "champion now points at v0002",
    ]
    assert reconcile(world.layout, "m", world.store) == ["MLflow agrees with the registry"]
    client_of(world).set_registered_model_alias("m", "champion", "1")
    assert reconcile(world.layout, "m", world.store) == ["champion now points at v0002"]
    client_of(world).delete_model_version("m", "2")
    assert reconcile(world.layout, "m", world.store) == [
        "registered v0002 as m 3",
        "champion now points at v0002",
    ]
    assert predict(world, "champion", ["d"]) == ["2-2-0"]
    assert len(runs_of(world, "m-releases")) == 2


def tags(world: Built) -> dict[str, str | None]:
    found = client_of(world).search_model_versions("name = 'm'")
    return {each.tags["sidmint.version"]: each.tags.get("sidmint.status") for each in found}


def test_reconcile_tells_mlflow_what_happened_while_it_was_down(world: Built) -> None:
    reconcile(world.layout, "m", world.store)
    assert tags(world) == {"v0001": "published", "v0002": "champion"}
    here = world.params, world.layout
    world.judge("one")
    propose(world.params, world.artifacts, world.layout, "one", by="test")
    decide(*here, "v0003", True, "Ada", "looked at it")
    retire(*here, "v0001", "old", "test")
    promote(*here, "v0003", by="test")
    assert reconcile(world.layout, "m", world.store) == [
        "registered v0003 as m 3",
        "v0001 is tagged retired",
        "v0002 is tagged published",
        "champion now points at v0003",
    ]
    assert tags(world) == {"v0001": "retired", "v0002": "published", "v0003": "champion"}
    assert reconcile(world.layout, "m", world.store) == ["MLflow agrees with the registry"]
    rollback(*here, to="v0002", by="test")
    assert reconcile(world.layout, "m", world.store) == [
        "v0002 is tagged champion",
        "v0003 is tagged published",
        "champion now points at v0002",
    ]


def test_reconcile_of_a_registry_with_proposals_alone_sets_no_champion(
    tmp_path: Path, migrated_mlflow_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    built = recorded_world(tmp_path / "workspace", migrated_mlflow_database)
    propose(built.params, built.artifacts, built.layout, "one", by="test")
    assert reconcile(built.layout, "m", built.store) == ["registered v0001 as m 1"]
    assert tags(built) == {"v0001": "proposed"}


def test_statuses_are_told_of_what_mlflow_has_and_changed(world: Built) -> None:
    register_version(world.layout, "m", world.store.release("v0001").folder)
    wanted = {"v0001": "published", "v0002": "champion"}
    assert set_statuses(world.layout, "m", wanted) == ["v0001"]
    assert set_statuses(world.layout, "m", wanted) == []


def test_what_mlflow_stores_of_a_table_is_not_pickled(world: Built) -> None:
    number = register_version(world.layout, "m", world.store.release("v0001").folder)
    source = Path(client_of(world).get_model_version("m", number).source.removeprefix("file://"))
    names = {path.name for path in source.rglob("*") if path.is_file()}
    wanted = {"sids.parquet", "tokenizer.safetensors", "tokenizer.json", "mlflow_model.py"}
    assert wanted <= names
    assert not {name for name in names if name.endswith((".pkl", ".pickle"))}
