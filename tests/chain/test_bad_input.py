"""Bad input leaves with code 2, names what is wrong and the way out, and writes nothing."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from workspaces import edit_params, make_workspace, sidmint, tree_digests


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("bad") / "w")


def _items() -> pl.DataFrame:
    return pl.DataFrame({"sku": ["a", "b", "c"], "name": ["red cup", "blue cup", "tea"]})


def _events() -> pl.DataFrame:
    return pl.DataFrame(
        {"uid": ["u"] * 3 + ["w"] * 3, "sku": list("abc") * 2, "ts": [1, 2, 3, 4, 5, 6]}
    )


def _init(
    workspace: Path, tmp_path: Path, items: pl.DataFrame, events: pl.DataFrame, code: int
) -> str:
    items.write_parquet(tmp_path / "items.parquet")
    events.write_parquet(tmp_path / "events.parquet")
    paths = ("--items", str(tmp_path / "items.parquet"))
    return sidmint(
        workspace, "init", *paths, "--interactions", str(tmp_path / "events.parquet"), code=code
    )


def test_init_without_an_item_column_changes_nothing(workspace: Path, tmp_path: Path) -> None:
    before = tree_digests(workspace)
    said = _init(workspace, tmp_path, _items().rename({"sku": "q"}), _events(), code=2)
    assert "item" in said
    assert tree_digests(workspace) == before


def test_an_unknown_key_names_its_neighbour(workspace: Path) -> None:
    before = (workspace / "params.yaml").read_bytes()
    edit_params(workspace, **{"pairs.alhpa": 2.0})
    said = sidmint(workspace, "run", code=2)
    (workspace / "params.yaml").write_bytes(before)
    assert "pairs.alhpa" in said
    assert "did you mean alpha" in said


@pytest.mark.parametrize(
    "arguments", [("show", "../v0001"), ("rollback", "--to", "../../etc"), ("diff", "a/b", "c")]
)
def test_a_version_name_with_a_path_in_it_is_refused(
    workspace: Path, arguments: tuple[str, ...]
) -> None:
    assert "name" in sidmint(workspace, *arguments, code=2)


@pytest.mark.parametrize(
    ("told", "items", "events"),
    [
        ("item_id a stands in rows 1, 2", _items()[[0, 0, 1, 2]], _events()),
        ("item_id zz", _items(), _events().with_columns(sku=pl.lit("zz"))),
        ("user u has 2 events", _items(), _events().tail(5)),
    ],
    ids=["item twice", "unknown item", "user with two events"],
)
def test_ingest_names_the_bad_row_and_writes_nothing(
    workspace: Path, tmp_path: Path, told: str, items: pl.DataFrame, events: pl.DataFrame
) -> None:
    """The tables get past init, which looks at columns; the stage looks at every row."""
    _init(workspace, tmp_path, _items(), _events(), code=0)
    items.write_parquet(workspace / "data/raw/items.parquet")
    events.write_parquet(workspace / "data/raw/interactions.parquet")
    edit_params(workspace, **{"ingest.min_interactions": 1})
    assert told in sidmint(workspace, "ingest", code=2)
    assert not (workspace / "data/build").exists()


@pytest.mark.slow
def test_a_run_that_meets_bad_input_leaves_with_its_code(workspace: Path, tmp_path: Path) -> None:
    _init(workspace, tmp_path, _items(), _events(), code=0)
    edit_params(workspace, **{"ingest.items": "data/raw/none.parquet"})
    said = sidmint(workspace, "run", code=2)
    assert "data/raw/none.parquet" in said.replace("\n", "")
    assert "stage ingest failed" in said


def test_outside_a_workspace_the_way_in_is_told(tmp_path: Path) -> None:
    assert "--workspace" in sidmint(tmp_path, "versions", code=2)
