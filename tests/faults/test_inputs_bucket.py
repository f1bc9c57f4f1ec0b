"""A catalogue in a bucket is an input like another: DVC brings its files, and new ones."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import pytest
import yaml

from s3 import S3
from small_graph import run_dvc
from workspaces import environment, sidmint


def put(name: str, frame: pl.DataFrame) -> None:
    data = io.BytesIO()
    frame.write_parquet(data)
    boto3.client("s3").put_object(Bucket="tables", Key=name, Body=data.getvalue())


def shop() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Forty items and users, each of whom took eight."""
    names = [f"i{number:02d}" for number in range(40)]
    items = pl.DataFrame({"item_id": names, "title": [f"thing {name}" for name in names]})
    events = pl.DataFrame(
        [
            {
                "user_id": f"u{user:02d}",
                "item_id": names[(user + 17 * place) % 40],
                "timestamp": place,
            }
            for user in range(40)
            for place in range(8)
        ],
        schema=["user_id", "item_id", "timestamp"],
        orient="row",
    )
    return items, events


def in_two_files(folder: str, frame: pl.DataFrame) -> None:
    half = len(frame) // 2
    put(f"{folder}/0.parquet", frame[:half])
    put(f"{folder}/1.parquet", frame[half:])


def titles(root: Path) -> dict[str, str]:
    found = pl.read_parquet(root / "data" / "build" / "ingest" / "items.parquet")
    return dict(found.select("item_id", "title").iter_rows())


@pytest.mark.slow
def test_files_of_a_bucket_are_imported_and_brought_up_to_date(
    tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "shop"
    items, events = shop()
    in_two_files("shop/items", items)
    in_two_files("shop/interactions", events)
    sidmint(tmp_path, "new", str(root))
    for name, value in environment(root).items():
        monkeypatch.setenv(name, value)
    for name in ("items", "interactions"):
        run_dvc(root, "import-url", "-q", f"s3://tables/shop/{name}", f"data/raw/{name}")
    params: dict[str, Any] = yaml.safe_load((root / "params.yaml").read_text())
    params["ingest"] = {
        "source": "table",
        "items": "data/raw/items",
        "interactions": "data/raw/interactions",
    }
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    run_dvc(root, "repro", "-q", "ingest")
    assert titles(root) == dict(items.select("item_id", "title").iter_rows())

    renamed = items.with_columns(pl.lit("another name").alias("title"))
    in_two_files("shop/items", renamed)
    run_dvc(root, "update", "-q", "data/raw/items.dvc")
    run_dvc(root, "repro", "-q", "ingest")
    assert set(titles(root).values()) == {"another name"}
