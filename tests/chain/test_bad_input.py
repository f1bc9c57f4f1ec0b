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


def test_outside_a_workspace_the_way_in_is_told(tmp_path: Path) -> None:
    assert "--workspace" in sidmint(tmp_path, "versions", code=2)
