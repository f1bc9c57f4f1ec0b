"""The flow `release`: gate, approval, publish, announce."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from recorded_world import predict, recorded_world
from releases import Built
from sidmint.errors import BadInput, Refused

# MLflow's own: what it uses of SQLAlchemy, and the type hints of its modules.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*type hint:UserWarning"),
]


@pytest.fixture
def world(
    prefect_server: None,
    tmp_path: Path,
    migrated_mlflow_database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Built:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return recorded_world(tmp_path / "workspace", migrated_mlflow_database)


def approvals(built: Built) -> list[dict[str, Any]]:
    text = (built.layout.local / "approvals.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_release_publishes_the_leader_and_everybody_hears_of_it(world: Built) -> None:
    from flows.release import release

    message = release(str(world.root), approved_by="ada")
    assert message["event"] == "published"
    assert (message["version"], message["tokenizer"]) == ("v0001", "one")
    (entry,) = world.store.log.entries()
    assert (entry["by"], entry["override"]) == ("ada", False)
    (approval,) = approvals(world)
    assert (approval["action"], approval["by"], approval["way"]) == (
        "approve",
        "ada",
        "command line",
    )
    assert predict(world, "champion", ["a"]) == ["0-1-0"]
    assert release(str(world.root), "one")["event"] == "already champion"


def test_release_of_refused_candidates_publishes_nothing_and_raises(world: Built) -> None:
    from flows.release import release

    for tokenizer in ("one", "two"):
        world.build(tokenizer, retention=0.4)
    with pytest.raises(Refused, match=r"retention_at_100 is 0\.400, below the 0\.500"):
        release(str(world.root))
    assert world.store.versions() == []


@pytest.mark.slow
def test_an_edited_list_of_approvals_is_found_out(world: Built) -> None:
    from flows.release import release

    release(str(world.root), "two", approved_by="ada")
    path = world.layout.local / "approvals.jsonl"
    path.write_text(path.read_text().replace("ada", "eve"))
    world.judge("one")
    with pytest.raises(Refused, match="was edited"):
        release(str(world.root), "one", approved_by="ada")
    assert world.store.versions() == ["v0001"]


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
            with pytest.raises(Refused, match="grace declined the table of one: seen"):
                release(str(world.root), wait=True, poll_seconds=1)
    finally:
        person.join()
    assert failures == []
    assert world.store.versions() == (["v0001"] if approved else [])
    (decision,) = approvals(world)
    assert decision["action"] == ("approve" if approved else "decline")
    assert (decision["by"], decision["way"]) == ("grace", "prefect")


def test_waiting_without_a_server_is_refused(world: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.release import _ask, gate

    without_server = temporary_settings(restore_defaults={PREFECT_API_URL})
    with without_server, pytest.raises(BadInput, match="--approve-by NAME"):
        _ask(world.layout, gate.fn(world.layout, None), 1, 1)
