"""A table in parts that is not whole is named; one that was interrupted goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from shard_world import KEY, cut, events, file_bytes, items, write_two_parts
from sidmint.errors import BadInput, StorageFailed
from sidmint.execution.checking import open_shards, verify
from sidmint.execution.local import LocalEngine
from sidmint.execution.rowwise import map_shards
from sidmint.execution.shards import Shards
from sidmint.execution.splitting import split
from sidmint.execution.writing import ShardWriter
from small_disk import small_disk

KILLER = Path(__file__).with_name("shard_killer.py")


@pytest.fixture
def parts(tmp_path: Path) -> Shards:
    return cut(tmp_path / "parts", 100)


def missing(parts: Shards) -> None:
    parts.path(1).unlink()


def twice(parts: Shards) -> None:
    shutil.copy(parts.path(1), parts.path(4))


def in_place_of_another(parts: Shards) -> None:
    shutil.copy(parts.path(1), parts.path(2))


def stranger(parts: Shards) -> None:
    (parts.folder / "notes.txt").write_text("mine")


def truncated(parts: Shards) -> None:
    os.truncate(parts.path(2), parts.path(2).stat().st_size - 1)


def lengthened(parts: Shards) -> None:
    with parts.path(2).open("ab") as file:
        file.write(b"more")


def other_schema(parts: Shards) -> None:
    rewrite(parts, lambda rows: rows.with_columns(pl.col("vector").arr.to_list()))


def other_name(parts: Shards) -> None:
    rewrite(parts, lambda rows: rows.rename({"vector": "latent"}))


def more_columns(parts: Shards) -> None:
    rewrite(parts, lambda rows: rows.with_columns(extra=pl.lit("x" * 40)))


def fewer_rows(parts: Shards) -> None:
    rewrite(parts, lambda rows: rows.head(99), padded=True)


def other_rows(parts: Shards) -> None:
    rewrite(parts, lambda rows: rows.with_columns(("zzz" + pl.col(KEY)).alias(KEY)))


def rewrite(
    parts: Shards, change: Callable[[pl.DataFrame], pl.DataFrame], padded: bool = False
) -> None:
    """Part 2 changed, uncompressed so that it is no shorter than it was."""
    path = parts.path(2)
    change(pl.read_parquet(path)).write_parquet(path, compression="uncompressed")
    assert path.stat().st_size >= parts.parts[2].num_bytes or not padded


def swapped(parts: Shards) -> None:
    manifest = json.loads((parts.folder / "parts.json").read_text())
    listed = manifest["parts"]
    listed[1], listed[2] = listed[2], listed[1]
    (parts.folder / "parts.json").write_text(json.dumps(manifest))
    first, second, between = parts.path(1), parts.path(2), parts.folder / "between"
    first.rename(between), second.rename(first), between.rename(second)


def half_a_manifest(parts: Shards) -> None:
    os.truncate(parts.folder / "parts.json", 100)


def no_manifest(parts: Shards) -> None:
    (parts.folder / "parts.json").unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (missing, "part-00001.parquet is missing"),
        (twice, "part-00004.parquet is not one of the 4 parts and holds what part-00001.parquet"),
        (in_place_of_another, "part-00002.parquet (and holds what part-00001|: row 1 has key)"),
        (stranger, "notes.txt is not one of the 4 parts"),
        (truncated, "part-00002.parquet is truncated: [0-9,]+ of [0-9,]+ bytes"),
        (lengthened, "part-00002.parquet (is no Parquet file|has [0-9,]+ bytes, and)"),
        (other_schema, r"part-00002.parquet has other columns .*: vector List\(Float32\) in place"),
        (other_name, "part-00002.parquet has other columns than the table: latent Array"),
        (more_columns, "part-00002.parquet has other columns than the table: extra String is too"),
        (fewer_rows, "part-00002.parquet has 99 rows, and 100 were written"),
        (other_rows, "part-00002.parquet: row 1 has key 'zzzitem-000200', and 'item-000200'"),
        (swapped, "row 1 of part-00002.parquet has key 'item-000100', which does not lie behind"),
        (half_a_manifest, "parts.json does not describe parts"),
        (no_manifest, "parts.json is not there: .* goes on from complete parts"),
    ],
)
def test_a_table_that_is_not_whole_is_not_opened(
    parts: Shards, harm: Callable[[Shards], None], said: str
) -> None:
    harm(parts)
    with pytest.raises(BadInput, match=said):
        open_shards(parts.folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_verify_finds_a_changed_byte_and_no_other(parts: Shards, workers: int) -> None:
    with LocalEngine(workers) as engine:
        assert verify(parts, engine) == ()
        data = bytearray(parts.path(3).read_bytes())
        data[len(data) // 2] ^= 1
        parts.path(3).write_bytes(data)
        found = verify(open_shards(parts.folder), engine)
    assert f"{parts.path(3)} holds other bytes than were written" in found
    assert all(problem.startswith(str(parts.path(3))) for problem in found)


def test_verify_names_the_row_that_is_out_of_order(parts: Shards) -> None:
    rows = pl.read_parquet(parts.path(1))
    order = [*range(40), 41, 40, *range(42, 100)]
    rows[order].write_parquet(parts.path(1))
    with LocalEngine() as engine:
        found = verify(parts, engine)
    assert f"{parts.path(1)}: row 42 has key 'item-000140' behind 'item-000141'" in found


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"key": [1, 3, 2]}, "part-00000.parquet: row 3 has key 2 behind 3; sort by key"),
        ({"key": [1, 1]}, "row 2 has key 1 behind 1; sort by key, one row each"),
        ({"key": [1, None]}, "row 2 has no key"),
        ({"key": []}, "has no rows"),
        ({"key": [1.5]}, "key is of type Float64"),
        ({"other": [1]}, "wants the column key, has other"),
    ],
)
def test_a_part_that_is_not_in_order_is_not_written(
    tmp_path: Path, rows: dict[str, list[float | None]], said: str
) -> None:
    writer = ShardWriter(tmp_path / "parts", "key")
    writer.begin()
    frame = pl.DataFrame(rows, schema={"key": pl.Int64} if rows == {"key": []} else None)
    with pytest.raises(BadInput, match=said):
        writer.write(0, frame, "x")
    assert file_bytes(tmp_path / "parts") == {}


def test_keys_that_come_twice_are_in_order_where_they_may(tmp_path: Path) -> None:
    split(events(50, 5), tmp_path / "parts", "user_id", "x", 20, unique=False)
    with LocalEngine() as engine:
        assert verify(open_shards(tmp_path / "parts"), engine) == ()


def test_parts_that_do_not_fit_together_are_no_table(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, "key")
    writer.write(0, pl.DataFrame({"key": [5]}), "x")
    writer.write(1, pl.DataFrame({"key": [4]}), "x")
    with pytest.raises(BadInput, match=r"row 1 of part-00001.parquet has key 4, which does not"):
        writer.finish(2)
    writer.write(1, pl.DataFrame({"key": [6], "more": [1]}), "x")
    with pytest.raises(BadInput, match=r"part-00001.parquet has columns key Int64, more Int64"):
        writer.finish(2)
    with pytest.raises(BadInput, match=r"part-00002.parquet is not complete"):
        writer.finish(3)


def test_what_is_made_of_the_same_is_not_made_again(tmp_path: Path) -> None:
    made: list[int] = []

    def doubled(rows: pl.DataFrame) -> pl.DataFrame:
        made.append(len(rows))
        return rows.with_columns(pl.col("at") * 2)

    log = events(70, 70).with_columns(pl.col("at").alias("user_id"))
    source = split(log, tmp_path / "in", "user_id", "a", 20)
    with LocalEngine() as engine:

        def run(made_with: str) -> list[int]:
            made.clear()
            map_shards(engine, doubled, source, tmp_path / "out", "double", made_with, 1000)
            return list(made)

        assert run("one") == [20, 20, 20, 10]
        assert run("one") == []
        (tmp_path / "out" / "part-00002.parquet").unlink()
        assert run("one") == [20]
        assert run("two") == [20, 20, 20, 10]
        changed = log.with_columns(at=pl.when(pl.col("user_id") == 65).then(0).otherwise("at"))
        source = split(changed, tmp_path / "in", "user_id", "b", 20)
        assert run("two") == [10]
        source = split(changed.head(30), tmp_path / "in", "user_id", "c", 20)
        assert run("two") == [10]
    assert len(open_shards(tmp_path / "out").parts) == 2


def stopped(folder: Path, step: int, how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(KILLER), str(folder), str(step), how]
    path = os.pathsep.join(sys.path)
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )


@pytest.mark.parametrize("how", ["killed", "full"])
def test_a_writer_stopped_at_any_step_goes_on_to_the_same_bytes(tmp_path: Path, how: str) -> None:
    write_two_parts(tmp_path / "wanted")
    old = ShardWriter(tmp_path / "old", "key")
    old.begin()
    old.write(0, pl.DataFrame({"key": [0, 1], "old": [7, 7]}), "old")
    old.finish(1)
    num_steps = int(stopped(shutil.copytree(tmp_path / "old", tmp_path / "all"), 0, how).stdout)
    assert num_steps > 20
    for step in range(2, num_steps + 1, 4):  # the first is swallowed: the folder is there
        folder = shutil.copytree(tmp_path / "old", tmp_path / f"{step}")
        ended = stopped(folder, step, how)
        assert ended.returncode == {"killed": -signal.SIGKILL, "full": 1}[how], step
        assert how == "killed" or "Parts that are complete stay" in ended.stderr
        if (folder / "parts.json").exists():
            with LocalEngine() as engine:
                assert verify(open_shards(folder), engine) == (), step
        write_two_parts(folder)
        assert file_bytes(folder) == file_bytes(tmp_path / "wanted"), step


def test_a_small_disk_keeps_complete_parts_and_the_run_goes_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "40k") as disk:
        folder = disk / "parts"
        with pytest.raises(StorageFailed, match=r"cannot be written.*Parts that are complete stay"):
            split(items(), folder, KEY, "items", 100)
        left = {name: data for name, data in file_bytes(folder).items() if "part-" in name}
        whole = {name: data for name, data in left.items() if name.endswith(".parquet")}
        assert whole
        assert not any("draft" in name for name in left)
        times = {name: (folder / name).stat().st_mtime_ns for name in whole}
        subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
        split(items(), folder, KEY, "items", 100)
        assert {name: (folder / name).stat().st_mtime_ns for name in whole} == times
        cut(tmp_path / "wanted", 100)
        assert file_bytes(folder) == file_bytes(tmp_path / "wanted")
