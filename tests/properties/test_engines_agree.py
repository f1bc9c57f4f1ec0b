"""The engines give the same bytes, the same integers and the same errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from shard_world import (
    GRID,
    KEY,
    DiesOnce,
    Encode,
    Number,
    count_ids,
    cut,
    defective,
    dying,
    file_bytes,
    first_rows,
    fit_codes,
    giving_what_cannot_be_sent,
    grid,
    process_id,
    raising_fussily,
    refusing,
    squared,
    walk,
)
from sidmint.errors import BadInput, WorkerDied
from sidmint.execution.checking import open_shards
from sidmint.execution.engine import Engine
from sidmint.execution.local import LocalEngine
from sidmint.execution.making import open_engine
from sidmint.execution.rowwise import map_shards, reduce_shards
from sidmint.execution.settings import ExecutionParams
from sidmint.execution.shards import Shards
from sidmint.execution.splitting import split

ENGINES = ["local 1", "local 2", "local 4", "ray 4"]
MANY = ["local 4", "ray 4"]


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    """Started once: a Ray of this machine takes seconds."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        found = {}
        for name in ENGINES:
            engine, workers = name.split()
            params = ExecutionParams(engine=engine, workers=int(workers))
            found[name] = stack.enter_context(open_engine(params))
        yield found


@pytest.fixture
def engine(request: pytest.FixtureRequest, engines: dict[str, Engine]) -> Engine:
    return engines[request.param]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return split(grid(), tmp_path_factory.mktemp("grid") / "parts", KEY, "grid", 35)


@pytest.fixture(scope="module")
def wanted(parts: Shards, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The codes of one process."""
    folder = tmp_path_factory.mktemp("codes") / "parts"
    with LocalEngine() as alone:
        map_shards(alone, walk, parts, folder, "assign", "grid", 1000)
    return folder


def test_codes_by_shard_are_what_the_items_are_made_of(wanted: Path) -> None:
    found = open_shards(wanted).scan().collect()
    assert found.drop(KEY).to_numpy().tolist() == GRID.codes.tolist()


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_codes_by_shard_are_the_same_files(
    engine: Engine, parts: Shards, wanted: Path, tmp_path: Path
) -> None:
    made = map_shards(engine, walk, parts, tmp_path / "codes", "assign", "grid", 1000)
    assert len(made.parts) == 8
    assert file_bytes(tmp_path / "codes") == file_bytes(wanted)


@pytest.mark.slow
def test_codes_of_a_fitted_tokenizer_are_the_same_files(
    engines: dict[str, Engine], tmp_path: Path
) -> None:
    fit_codes(tmp_path / "tokenizer")
    shards = cut(tmp_path / "items", 55)
    encode = Encode(tmp_path / "tokenizer")
    for name, engine in engines.items():
        map_shards(engine, encode, shards, tmp_path / name, "assign", "fit", 1000)
        assert file_bytes(tmp_path / name) == file_bytes(tmp_path / ENGINES[0])
    whole = encode(shards.scan().collect())
    assert open_shards(tmp_path / ENGINES[0]).scan().collect().equals(whole)


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_merged_integers_are_the_same(engine: Engine, parts: Shards) -> None:
    counted = reduce_shards(engine, count_ids, np.add, parts, "count", 1000)
    assert counted.tolist() == [64] * 4 + [0] * 6


@pytest.mark.parametrize("engine", MANY, indirect=True)
def test_a_worker_killed_in_the_middle_changes_nothing(
    engine: Engine, parts: Shards, wanted: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "died"
    work = DiesOnce(str(parts.parts[4].first), mark)
    map_shards(engine, work, parts, tmp_path / "codes", "assign", "grid", 1000)
    assert mark.exists()
    assert file_bytes(tmp_path / "codes") == file_bytes(wanted)


@pytest.mark.parametrize("engine", MANY, indirect=True)
def test_a_task_that_kills_every_worker_is_named(engine: Engine) -> None:
    tasks = [Number(value) for value in range(8)]
    results = engine.map(dying, tasks, "work")
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(WorkerDied, match=r"work: the process of task 4 of 8, Number\(value=3"):
        next(results)


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_results_come_in_the_order_of_tasks(engine: Engine) -> None:
    tasks = [Number(value) for value in range(50)]
    assert list(engine.map(squared, tasks, "square")) == [value**2 for value in range(50)]
    assert list(engine.map(squared, [], "square")) == []


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_the_first_refusal_comes_through_as_itself(engine: Engine) -> None:
    tasks = [Number(value) for value in (0, 1, 3, 5, 4)]
    results = engine.map(refusing, tasks, "work")
    assert (next(results), next(results)) == (0, 1)
    with pytest.raises(BadInput, match=r"^three is not wanted$"):
        next(results)


@pytest.mark.parametrize("engine", MANY, indirect=True)
def test_a_defect_says_where_it_was(engine: Engine) -> None:
    with pytest.raises(KeyError, match="no 0") as raised:
        list(engine.map(defective, [Number(0), Number(1)], "work"))
    assert any("in defective" in note for note in raised.value.__notes__)


def test_what_cannot_travel_between_processes_is_an_error_and_the_workers_go_on(
    engines: dict[str, Engine],
) -> None:
    engine, tasks = engines["local 2"], [Number(0), Number(1)]
    with pytest.raises(RuntimeError, match="Fussy: 0 and 2"):
        list(engine.map(raising_fussily, tasks, "work"))
    with pytest.raises(TypeError, match="a result that cannot be sent: "):
        list(engine.map(giving_what_cannot_be_sent, tasks, "work"))
    assert list(engine.map(squared, tasks, "work")) == [0, 1]


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_work_that_loses_rows_is_a_defect(engine: Engine, parts: Shards, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gave other keys than those of"):
        map_shards(engine, first_rows, parts, tmp_path / "out", "lose", "x", 1000)


def test_a_shard_that_no_machine_has_room_for_is_refused(engines: dict[str, Engine]) -> None:
    with pytest.raises(BadInput, match=r"work wants 1000.4 GB for one shard, and the largest mach"):
        list(engines["ray 4"].map(squared, [Number(1, 10**12)], "work"))


def test_local_processes_stay_and_end_with_the_engine() -> None:
    tasks = [Number(value) for value in range(6)]
    with LocalEngine(2) as engine:
        first = set(engine.map(process_id, tasks, "work"))
        assert len(first) <= 2
        assert set(engine.map(process_id, tasks, "work")) <= first
    assert not any(Path(f"/proc/{number}").exists() for number in first)


def test_progress_counts_shards(engines: dict[str, Engine]) -> None:
    seen: list[tuple[str, int | None]] = []

    def track(steps: Iterator[int], label: str, total: int | None = None) -> Iterator[int]:
        seen.append((label, total))
        for step in steps:
            seen.append(("step", step))
            yield step

    tasks = [Number(value) for value in (2, 3)]
    assert list(engines["local 2"].map(squared, tasks, "square", track)) == [4, 9]
    assert seen == [("square", 2), ("step", 4), ("step", 9)]
