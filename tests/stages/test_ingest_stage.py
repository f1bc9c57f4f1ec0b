"""Ingest reads the raw files and nothing else, writes its folder, or writes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sidmint.adapters.gx_catalogue import check_catalogue
from sidmint.artifacts import Artifacts
from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.params import Params, parse_params
from sidmint.stages.ingest import check_without_log, ingest

SMALL = {
    "source": "synthetic",
    "synthetic": {"num_items": 300, "num_users": 400, "duplicate_share": 0.05},
}


def passes(items: pl.DataFrame, interactions: pl.DataFrame, **_: Any) -> list[dict[str, Any]]:
    return [{"name": "all_well", "severity": "critical", "passed": True, "reason": "fine"}]


def fails(severity: str) -> Any:
    row = {"name": "num_items", "severity": severity, "passed": False, "reason": "7, wanted 8"}
    return lambda items, interactions, **_: [row]


def _params(**settings: Any) -> Params:
    return parse_params({"seed": 3, "ingest": settings}, "test")


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_it_writes_its_folder_and_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    artifacts = Artifacts(Layout(tmp_path))
    outcome = ingest(_params(**SMALL), artifacts, passes)
    first = _files(tmp_path)
    shutil.rmtree(tmp_path / "data")
    ingest(_params(**SMALL), artifacts, passes)
    assert _files(tmp_path) == first
    assert sorted(first) == [
        f"data/build/ingest/{name}"
        for name in (
            "checks.json",
            "interactions.parquet",
            "items.parquet",
            "metrics.json",
            "profile.json",
        )
    ]
    assert artifacts.metrics("ingest") == outcome.metrics
    assert outcome.metrics["num_items"] == artifacts.items().height


def test_tables_follow_their_contract(tmp_path: Path) -> None:
    artifacts = Artifacts(Layout(tmp_path))
    ingest(_params(**SMALL), artifacts, passes)
    items, interactions = artifacts.items(), artifacts.interactions()
    assert items["item_id"].is_sorted()
    assert items["item_id"].is_unique().all()
    assert interactions.equals(interactions.sort("user_id", "position"))
    assert interactions.schema["timestamp"] == pl.Int64
    trained = interactions.filter(pl.col("split") == "train")["item_id"].value_counts()
    counted = items.join(trained, on="item_id", how="left", maintain_order="left")
    assert (counted["count"].fill_null(0) == items["num_train"]).all()
    assert items.filter("cold")["num_train"].sum() == 0


def test_a_critical_check_stops_it_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"num_items: 7, wanted 8"):
        ingest(_params(**SMALL), Artifacts(Layout(tmp_path)), fails("critical"))
    assert _files(tmp_path) == {}


def test_a_warning_is_told_and_written(tmp_path: Path) -> None:
    artifacts = Artifacts(Layout(tmp_path))
    assert "warnings: num_items" in ingest(_params(**SMALL), artifacts, fails("warning")).headline
    assert artifacts.json("ingest", "checks")[0]["passed"] is False


def test_a_failure_leaves_the_last_good_catalogue(tmp_path: Path) -> None:
    artifacts = Artifacts(Layout(tmp_path))
    ingest(_params(**SMALL), artifacts, passes)
    before = _files(tmp_path)
    impossible = {**SMALL, "min_interactions": 5000}
    with pytest.raises(BadInput, match=r"lower ingest.min_interactions \(now 5000\)"):
        ingest(_params(**impossible), artifacts, passes)
    assert _files(tmp_path) == before


def test_the_check_is_told_what_params_expect(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    def check(items: pl.DataFrame, interactions: pl.DataFrame, **expected: Any) -> list[Any]:
        told.update(expected)
        return []

    settings = {**SMALL, "expected_items": 8, "expected_interactions": 9}
    ingest(_params(**settings), Artifacts(Layout(tmp_path)), check)
    assert told == {"expected_items": 8, "expected_interactions": 9, "has_log": True}


def _without_log(root: Path, **settings: Any) -> Params:
    raw = root / "data" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"item_id": ["b", "a"], "title": ["tea", "cup"]}).write_parquet(raw / "i.parquet")
    return _params(source="table", items="data/raw/i.parquet", **settings)


def test_items_alone_are_a_catalogue_that_passes_its_checks(tmp_path: Path) -> None:
    artifacts = Artifacts(Layout(tmp_path))
    outcome = ingest(_without_log(tmp_path, expected_items=2), artifacts, check_catalogue)
    assert "2 items, no interaction log" in outcome.headline
    assert not artifacts.has_log()
    assert outcome.metrics["num_items_without_events"] == outcome.metrics["num_cold_items"] == 2
    assert "density" not in outcome.metrics
    names = [row["name"] for row in artifacts.json("ingest", "checks")]
    assert "items_item_id_unique" in names
    assert not [name for name in names if "interaction" in name]


@pytest.mark.parametrize(
    "settings",
    [{"protocol": "time", "cold_share": 0.0}, {"tie_order": "shuffled"}, {"item_set": "core"}],
)
def test_a_setting_that_wants_a_log_is_named_where_there_is_none(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    params = _without_log(tmp_path, **settings)
    with pytest.raises(BadInput, match=rf"ingest.interactions is null.*{next(iter(settings))}"):
        ingest(params, Artifacts(Layout(tmp_path)), check_catalogue)
    with pytest.raises(BadInput, match="num_interactions"):
        ingest(
            _without_log(tmp_path, expected_interactions=9),
            Artifacts(Layout(tmp_path)),
            check_catalogue,
        )


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({}, "train.fit_on is warm"),
        ({"train": {"fit_on": "all"}}, "nobody measures retention_at_100"),
    ],
)
def test_other_sections_that_want_a_log_are_named_before_the_first_stage(
    sections: dict[str, Any], named: str
) -> None:
    ingest_section = {"source": "table", "items": "data/raw/i.parquet"}
    with pytest.raises(BadInput, match=named):
        check_without_log(parse_params({"ingest": ingest_section, **sections}, "test"))


def test_a_catalogue_of_content_alone_asks_no_more_of_other_sections() -> None:
    sections = {"train": {"fit_on": "all"}, "gate": {"select_by": "relative_mse"}}
    check_without_log(parse_params({"ingest": {"source": "table"}, **sections}, "test"))


def test_the_headline_says_how_many_items_stand_in_each_part(tmp_path: Path) -> None:
    artifacts = Artifacts(Layout(tmp_path))
    said = ingest(_params(**SMALL), artifacts, passes).headline
    counts = artifacts.json("ingest", "profile")["items_by_standing"]
    assert sum(counts.values()) == SMALL["synthetic"]["num_items"]  # type: ignore[index]
    assert f"{counts['below_core']} below the k-core" in said
    assert counts["below_core"] > 0
    core = ingest(_params(**SMALL, item_set="core"), artifacts, passes)
    assert core.metrics["num_items"] == counts["warm"] + counts["withheld"]
    assert f"{300 - core.metrics['num_items']:.0f} items outside the k-core left out" in (
        core.headline
    )


def test_files_outside_the_workspace_are_refused(tmp_path: Path) -> None:
    settings = {"source": "table", "items": "../items.csv", "interactions": "x.csv"}
    with pytest.raises(BadInput, match="outside the workspace"):
        ingest(_params(**settings), Artifacts(Layout(tmp_path / "w")), passes)


def test_office_is_the_five_core_that_was_published(office: Path, tmp_path: Path) -> None:
    raw = tmp_path / "data" / "raw"
    raw.mkdir(parents=True)
    for name in ("items", "interactions"):
        shutil.copyfile(office / f"{name}.parquet", raw / f"{name}.parquet")
    artifacts = Artifacts(Layout(tmp_path))
    ingest(
        _params(
            source="table",
            items="data/raw/items.parquet",
            interactions="data/raw/interactions.parquet",
        ),
        artifacts,
        passes,
    )
    profile = artifacts.json("ingest", "profile")
    assert (profile["users"], profile["items"], profile["interactions"]) == (4905, 2420, 53258)
    assert sum(profile["dropped"].values()) == 0
    assert profile["cold_items"] == 121
    assert profile["cold_selection"] == "random sample (no time)"
    assert profile["titles_filled"] == 3
    assert profile["sorted_sequence_share"] < 0.05
    source = pl.read_parquet(office / "interactions.parquet")
    kept = artifacts.interactions()
    assert kept.select("user_id", "item_id", "position").equals(
        source.sort("user_id", "position").select("user_id", "item_id", "position")
    )
