"""What an engine cannot do is said before or within seconds, with the way out."""

from __future__ import annotations

import socket
import sys
import time

import pytest

from shard_world import Number, squared
from sidmint.errors import BadInput
from sidmint.execution.engine import PROCESS_BYTES, workers_that_fit
from sidmint.execution.local import LocalEngine
from sidmint.execution.ray_engine import RayEngine, _share_of_card
from sidmint.params import parse_params

GB = 10**9


def test_fewer_work_where_not_all_fit() -> None:
    tasks = [Number(value, GB - PROCESS_BYTES) for value in range(10)]
    assert workers_that_fit(tasks, 4, None, "work") == 4
    assert workers_that_fit(tasks, 4, 4.0, "work") == 4
    assert workers_that_fit(tasks, 4, 3.9, "work") == 3
    assert workers_that_fit(tasks, 4, 1.0, "work") == 1
    assert workers_that_fit(tasks[:2], 4, None, "work") == 2


@pytest.mark.parametrize("engine", [LocalEngine, RayEngine])
def test_memory_for_not_even_one_is_refused_with_the_number(
    engine: type[LocalEngine | RayEngine],
) -> None:
    tasks = [Number(1), Number(2, 3 * GB - PROCESS_BYTES)]
    said = r"work wants 3.0 GB for one shard.* is 2.9; set it to"
    with engine(4, 2.9) as started, pytest.raises(BadInput, match=said):
        list(started.map(squared, tasks, "work"))
    with LocalEngine(4, 3.0) as started:
        assert list(started.map(squared, tasks, "work")) == [1, 4]


@pytest.mark.parametrize(
    ("cards", "workers", "share"), [(0, 4, 0), (4, 4, 1), (8, 4, 1), (2, 4, 0.5), (2, 3, 0.5)]
)
def test_tasks_share_the_cards(cards: float, workers: int, share: float) -> None:
    assert _share_of_card(cards, workers) == share


def test_ray_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        RayEngine() as engine,
        pytest.raises(BadInput, match=r"pip install 'sidmint\[ray\]'"),
    ):
        list(engine.map(squared, [Number(1)], "work"))


@pytest.mark.parametrize("given", ["setting", "environment"])
def test_a_cluster_that_is_not_there_is_said_in_seconds(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address if given == "environment" else "127.0.0.1:9")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    started = time.monotonic()
    engine = RayEngine(address=address if given == "setting" else None)
    with pytest.raises(BadInput, match=f"Ray cluster at {address} cannot be reached: .*refused"):
        list(engine.map(squared, [Number(1)], "work"))
    assert time.monotonic() - started < 10


def test_something_else_that_listens_there_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidmint.execution.ray_engine._HANDSHAKE_SECONDS", 1.0)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        engine = RayEngine(address=f"127.0.0.1:{mute.getsockname()[1]}")
        with pytest.raises(BadInput, match="has not answered as Ray in 1 s"):
            list(engine.map(squared, [Number(1)], "work"))


def test_an_address_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(BadInput, match="RAY_ADDRESS is 'ray://head:10001'; it wants HOST:PORT"):
        list(RayEngine().map(squared, [Number(1)], "work"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ray_address": "head:6379"}, "engine local makes no use of ray_address"),
        ({"engine": "ray", "ray_address": "head"}, "ray_address wants HOST:PORT"),
        ({"engine": "spark"}, "engine: Input should be 'local' or 'ray'"),
        ({"workers": 0}, "workers: Input should be greater than or equal to 1"),
        ({"shard_rows": 0}, "shard_rows: Input should be greater than or equal to 1"),
        ({"memory_gb": 0}, "memory_gb: Input should be greater than 0"),
        ({"worker": 2}, "unknown key execution.worker; did you mean workers"),
    ],
)
def test_settings_without_effect_or_sense_are_refused(
    settings: dict[str, object], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        parse_params({"execution": settings}, "params.yaml")


def test_params_without_the_section_are_those_of_one_process() -> None:
    assert parse_params({}, "params.yaml").execution.model_dump() == {
        "engine": "local",
        "workers": 1,
        "shard_rows": 250_000,
        "memory_gb": None,
        "ray_address": None,
    }
