"""Of several publishers that judged against one champion, exactly one moves the pointer."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from pathlib import Path

import pytest
from filelock import FileLock

from releases import FACTS, build_workspace, files_of, publish_bare, race, race_back
from sidmint.errors import RegistryConflict
from sidmint.publishing.store import VersionStore
from sidmint.publishing.verify import verify

RACERS, ROUNDS = 4, 3


def test_exactly_one_of_racing_processes_wins_each_round(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(RACERS), context.Queue()
    processes = [
        context.Process(target=race, args=(str(tmp_path), racer, ROUNDS, start, results))
        for racer in range(RACERS)
    ]
    for process in processes:
        process.start()
    told = [results.get(timeout=120) for _ in range(RACERS * ROUNDS)]
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    results.close()
    won = Counter(number for number, _, how in told if how == "won")
    assert won == dict.fromkeys(range(ROUNDS), 1)
    store = VersionStore(tmp_path)
    assert store.versions() == [f"v{number:04d}" for number in range(1, ROUNDS + 1)]
    assert verify(store).problems == ()
    assert [entry["version"] for entry in store.log.entries()] == store.versions()


def test_a_verdict_against_an_older_champion_is_a_conflict(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    publish_bare(store)
    publish_bare(store)
    publish_bare(store)
    message = "judged against v0002 but v0003 is champion now; `sidmint run` judges it again"
    with pytest.raises(RegistryConflict, match=message):
        store.publish(files_of({"sids.parquet": b"x"}), "v0002", FACTS)
    assert store.versions() == ["v0001", "v0002", "v0003"]


def test_two_tables_judged_against_the_same_champion_cannot_both_win(tmp_path: Path) -> None:
    built = build_workspace(tmp_path)
    built.publish("one")
    with pytest.raises(RegistryConflict, match="judged against an empty registry but v0001"):
        built.publish("two")
    built.judge("two")
    assert built.publish("two").version == "v0002"


def test_a_writer_that_does_not_end_is_a_conflict_not_a_hang(tmp_path: Path) -> None:
    store = VersionStore(tmp_path, lock_seconds=0.1)
    publish_bare(store)
    with FileLock(tmp_path / ".lock"), pytest.raises(RegistryConflict, match="another process"):
        publish_bare(store)
    assert publish_bare(store) == "v0002"


def test_processes_that_roll_back_at_once_end_well_or_in_a_conflict(tmp_path: Path) -> None:
    built = build_workspace(tmp_path)
    built.publish("one")
    built.judge("two")
    built.publish("two")
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(8), context.Queue()
    processes = [
        context.Process(target=race_back, args=(str(tmp_path), racer, start, results))
        for racer in range(8)
    ]
    for process in processes:
        process.start()
    told = Counter(results.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(timeout=60)
    results.close()
    assert told.keys() <= {"done", "conflict"}
    assert told["done"]
    assert built.store.release().version == "v0001"
    assert '"version": "v0001"' in built.layout.champion.read_text()
    assert list(built.layout.champion.parent.glob(".*.draft")) == []
