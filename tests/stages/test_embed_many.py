"""Vectors of many items are read a piece at a time, to the bytes of those that fit in memory."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from embed_world import catalogue, embed_params, put, random_vectors
from sidmint import neighbours
from sidmint.array_files import ArrayFile
from sidmint.artifacts import Artifacts
from sidmint.embedding import checks, scaling
from sidmint.errors import BadInput, StorageFailed
from sidmint.execution.splitting import split
from sidmint.neighbour_recall import recall
from sidmint.rows import rows_made
from sidmint.sources import frames, vector_rows
from sidmint.stages import embed as stage
from small_disk import small_disk

NUM, DIM = 500, 6
VECTORS = random_vectors(NUM, DIM, seed=1)
VECTORS[7] = VECTORS[300]
IDS = [f"i{n:04d}" for n in range(NUM)]
SHUFFLED = np.random.default_rng(2).permutation(NUM)


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return catalogue(tmp_path, {"item_id": IDS, "title": IDS})


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything stays in files, and pieces have a few rows."""
    monkeypatch.setattr(stage, "rows_of_items", partial(stage.rows_of_items, most_bytes=0))
    monkeypatch.setattr(scaling, "rows_made", partial(rows_made, most_bytes=0))
    monkeypatch.setattr(stage, "rows_made", partial(rows_made, most_bytes=0))
    monkeypatch.setattr(checks, "_ROWS_AT_ONCE", 37)
    monkeypatch.setattr(frames, "ROWS_AT_ONCE", 11)


def shuffled() -> pl.DataFrame:
    """The vectors in another order than the items, with one that is no item's."""
    extra = pl.DataFrame({"item_id": ["gone"], "vector": [[9.0] * DIM]})
    rows = pl.DataFrame({"item_id": IDS, "vector": VECTORS.tolist()})[SHUFFLED]
    return pl.concat([rows[:200], extra, rows[200:]])


def write_npy(root: Path) -> dict[str, Any]:
    put(root, "items.csv").write_text("\n".join(["item_id", *np.array(IDS)[SHUFFLED]]))
    np.save(put(root, "v.npy"), VECTORS[SHUFFLED])
    return {
        "path": "data/raw/v.npy",
        "ingest": {"source": "table", "items": "data/raw/items.csv"},
    }


def write_file(root: Path) -> dict[str, Any]:
    shuffled().write_parquet(put(root, "v.parquet"), row_group_size=64)
    return {"path": "data/raw/v.parquet"}


def write_folder(root: Path) -> dict[str, Any]:
    folder = put(root, "v")
    folder.mkdir()
    for name, rows in (("b", shuffled()[:120]), ("a", shuffled()[120:])):
        rows.with_columns(pl.col("vector").list.to_array(DIM)).write_parquet(
            folder / f"{name}.parquet"
        )
    return {"path": "data/raw/v"}


def write_parts(root: Path) -> dict[str, Any]:
    split(shuffled(), put(root, "v"), "item_id", "test", 90)
    return {"path": "data/raw/v"}


FORMS = {"npy": write_npy, "file": write_file, "folder": write_folder, "parts": write_parts}


def written(artifacts: Artifacts) -> dict[str, bytes]:
    folder = artifacts.folder("embed")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("unit_norm", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_pieces_give_the_bytes_of_the_whole(
    artifacts: Artifacts, form: str, unit_norm: bool, request: pytest.FixtureRequest
) -> None:
    given = FORMS[form](artifacts.layout.root)
    params = embed_params(encoder="precomputed", unit_norm=unit_norm, **given)
    stage.embed(params, artifacts)
    whole = written(artifacts)
    request.getfixturevalue("in_pieces")
    stage.embed(params, artifacts)
    assert written(artifacts) == whole
    assert set(whole) == {"embed.json", "embeddings.npy", "neighbours.faiss"}


def test_the_bytes_are_those_of_the_vectors_as_one_array(
    artifacts: Artifacts, tmp_path: Path, in_pieces: None
) -> None:
    stage.embed(embed_params(encoder="precomputed", **write_parts(tmp_path)), artifacts)
    lengths = np.linalg.norm(VECTORS.astype(np.float64), axis=1)
    halves = (VECTORS / lengths[:, None]).astype(np.float16)
    np.save(tmp_path / "whole.npy", halves)
    assert written(artifacts)["embeddings.npy"] == (tmp_path / "whole.npy").read_bytes()
    summary = artifacts.json("embed", "embed")
    assert summary["sha256"] == hashlib.sha256(halves.tobytes()).hexdigest()
    assert summary["num_exact_duplicates"] == 1
    assert summary["norms"]["max"] == pytest.approx(lengths.max(), rel=1e-12)


def test_an_index_that_is_not_exact_says_how_much_it_finds(
    artifacts: Artifacts, tmp_path: Path, in_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = embed_params(encoder="precomputed", **write_parts(tmp_path))
    assert "recall" not in stage.embed(params, artifacts).headline
    assert "neighbours" not in artifacts.json("embed", "embed")
    monkeypatch.setattr(neighbours, "FLAT_BELOW", NUM)
    outcome = stage.embed(params, artifacts)
    said = artifacts.json("embed", "embed")["neighbours"]
    assert (said["kind"], said["num_neighbours"], said["num_queries"]) == ("ivf", 10, 200)
    index = artifacts.index("embed", "neighbours")
    assert index.ntotal == NUM
    assert said["recall"] == recall(index, artifacts.vectors())
    assert f"neighbours by ivf (recall@10 {said['recall']:.3f} on 200 items)" in outcome.headline


def test_what_stayed_in_a_file_meanwhile_goes(
    artifacts: Artifacts, tmp_path: Path, in_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def read(*given: Any, **settings: Any) -> Any:
        rows = vector_rows.rows_of_items(*given, most_bytes=0)
        asked.append(rows.path)  # type: ignore[attr-defined]
        assert asked[0].stat().st_size >= NUM * DIM * 4
        return rows

    monkeypatch.setattr(stage, "rows_of_items", read)
    monkeypatch.setattr(stage, "build_index", lambda _: 1 / 0)
    params = embed_params(encoder="precomputed", **write_parts(tmp_path))
    with pytest.raises(ZeroDivisionError):
        stage.embed(params, artifacts)
    assert not asked[0].exists()
    assert not list((tmp_path / "data" / "build").glob("*embed*"))


@pytest.mark.parametrize(
    ("row", "value", "words"),
    [
        (60, np.nan, r"item i0060 holds NaN or infinity \(2 such items\)"),
        (60, 0.0, r"item i0060 is zero \(2 such items\)"),
        (60, 1e9, r"item i0060 has values over 65504 \(2 such items\)"),
        (60, 1e-12, r"item i0060 is so small that it is zero in float16 \(2 such items\)"),
    ],
)
def test_bad_rows_of_all_pieces_are_counted_and_the_first_item_is_named(
    artifacts: Artifacts, tmp_path: Path, in_pieces: None, row: int, value: float, words: str
) -> None:
    vectors = VECTORS.copy()
    vectors[[row, 450]] = value
    frame = pl.DataFrame({"item_id": IDS, "vector": vectors.tolist()})
    frame[::-1].write_parquet(put(tmp_path, "v.parquet"))
    params = embed_params(encoder="precomputed", path="data/raw/v.parquet", unit_norm=False)
    with pytest.raises(BadInput, match=words):
        stage.embed(params, artifacts)


def test_parts_of_other_widths_are_refused(artifacts: Artifacts, tmp_path: Path) -> None:
    folder = put(tmp_path, "v")
    folder.mkdir()
    rows = pl.DataFrame({"item_id": IDS, "vector": VECTORS.tolist()})
    rows[:400].write_parquet(folder / "a.parquet")
    rows[400:].with_columns(pl.col("vector").list.head(5)).write_parquet(folder / "b.parquet")
    with pytest.raises(BadInput, match="item i0400 has 5 dimensions where others have 6"):
        stage.embed(embed_params(encoder="precomputed", path="data/raw/v"), artifacts)


def test_a_part_that_is_missing_is_named(artifacts: Artifacts, tmp_path: Path) -> None:
    given = write_parts(tmp_path)
    (tmp_path / "data/raw/v/part-00002.parquet").unlink()
    with pytest.raises(BadInput, match="part-00002"):
        stage.embed(embed_params(encoder="precomputed", **given), artifacts)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_an_array_written_in_pieces_has_the_bytes_of_numpy(tmp_path: Path, dtype: type) -> None:
    whole = VECTORS.astype(dtype)
    np.save(tmp_path / "whole.npy", whole)
    made = ArrayFile.make(tmp_path / "pieces.npy", whole.shape, dtype)
    order = np.random.default_rng(0).permutation(NUM)
    made[order[:77]] = whole[order[:77]]
    made[order[77:]] = whole[order[77:]]
    assert (tmp_path / "pieces.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    there = ArrayFile.of(tmp_path / "whole.npy")
    assert (there.shape, there.dtype, len(there)) == ((NUM, DIM), np.dtype(dtype), NUM)
    np.testing.assert_array_equal(there[30:60], whole[30:60])
    np.testing.assert_array_equal(there[order], whole[order])


def test_a_disk_without_room_for_the_array_says_so_before_a_row_is_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "64k") as folder:
        with pytest.raises(StorageFailed, match=r"No space left.*free or mend the disk"):
            ArrayFile.make(folder / "v.npy", (1000, 128), np.float16)
        ArrayFile.make(folder / "w.npy", (10, 128), np.float16)[:5] = np.ones((5, 128))
