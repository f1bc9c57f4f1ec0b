"""The flow `release`: gate, approval, publish, announce."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from recorded_world import MLFLOW_S_OWN, client_of, predict, recorded_world
from releases import Built
from sidmint.errors import BadInput, Refused

pytestmark = MLFLOW_S_OWN


@pytest.fixture
def world(
    prefect_server: None,
    tmp_path: Path,
    migrated_mlflow_database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Built:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return recorded_world(tmp_path / "workspace", migrated_mlflow_database)


def decisions(built: Built) -> list[dict[str, Any]]:
    entries = built.store.log.entries()
    return [dict(entry) for entry in entries if entry["action"] in ("approve", "decline")]


def actions(built: Built) -> list[str]:
    return [entry["action"] for entry in built.store.log.entries()]


def test_release_publishes_the_leader_and_everybody_hears_of_it(world: Built) -> None:
    from flows.release import release

    message = release(str(world.root), approved_by="ada")
    assert message["event"] == "published"
    assert (message["version"], message["tokenizer"]) == ("v0001", "one")
    assert actions(world) == ["propose", "approve", "promote"]
    (approval,) = decisions(world)
    assert (approval["action"], approval["by"], approval["way"]) == (
        "approve",
        "ada",
        "command line",
    )
    assert world.store.log.entries()[-1]["approved_by"] == "ada"
    (tagged,) = client_of(world).search_model_versions("name = 'm'")
    assert tagged.tags["sidmint.status"] == "champion"
    assert predict(world, "champion", ["a"]) == ["0-1-0"]
    assert release(str(world.root), "one")["event"] == "already champion"
    assert release(str(world.root), "one", approved_by="ada")["event"] == "already champion"
    assert actions(world) == ["propose", "approve", "promote"]


def test_release_asks_nobody_where_the_gate_is_enough(world: Built) -> None:
    from flows.release import release

    assert release(str(world.root))["version"] == "v0001"
    assert actions(world) == ["publish"]
    world.set_params(registry={"path": "registry", "model_name": "m", "approval": "person"})
    world.judge("two")
    with pytest.raises(Refused, match=r"registry\.approval is person"):
        release(str(world.root), "two")
    assert release(str(world.root), "two", approved_by="ada")["version"] == "v0002"


def test_release_of_refused_candidates_publishes_nothing_and_raises(world: Built) -> None:
    from flows.release import release

    for tokenizer in ("one", "two"):
        world.build(tokenizer, retention=0.4)
    with pytest.raises(Refused, match=r"retention_at_100 is 0\.400, below the 0\.500"):
        release(str(world.root))
    assert world.store.versions() == []
    assert actions(world) == ["refuse", "refuse"]


def answer(name: str, approval: dict[str, Any], failures: list[BaseException]) -> None:
    """What a person does in Prefect's UI: wait for the paused run of the flow, and answer."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.flow_runs import resume_flow_run

    try:
        paused = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
        end = time.monotonic() + 120
        while time.monotonic() < end:
            with get_client(sync_client=True) as client:
                runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=paused))
            if runs:
                resume_flow_run(runs[0].id, run_input=approval)
                return
            time.sleep(0.5)
        raise TimeoutError(name)
    except BaseException as error:
        failures.append(error)


@pytest.mark.slow
@pytest.mark.parametrize("approved", [True, False])
def test_release_waits_for_a_person(world: Built, approved: bool) -> None:
    import contextvars

    from flows.release import release

    failures: list[BaseException] = []
    given = {"approved": approved, "by": "grace", "note": "seen"}
    context = contextvars.copy_context()  # where the address of the test's server is
    person = threading.Thread(target=context.run, args=(answer, "release", given, failures))
    person.start()
    try:
        if approved:
            assert release(str(world.root), wait=True, poll_seconds=1)["approved_by"] == "grace"
        else:
            with pytest.raises(Refused, match="grace declined v0001, the table of one: seen"):
                release(str(world.root), wait=True, poll_seconds=1)
    finally:
        person.join()
    assert failures == []
    assert (world.store.champion() is not None) == approved
    assert actions(world)[:1] == ["propose"]
    (decision,) = decisions(world)
    assert decision["action"] == ("approve" if approved else "decline")
    assert (decision["by"], decision["way"]) == ("grace", "prefect")


def test_waiting_without_a_server_is_refused() -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.release import _require_server

    without_server = temporary_settings(restore_defaults={PREFECT_API_URL})
    with without_server, pytest.raises(BadInput, match="--approve-by NAME"):
        _require_server()
