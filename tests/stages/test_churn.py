"""How many ids a candidate changes: in gate, release and diff, as written and once aligned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from releases import CODES, Built, build_workspace
from sidmint.errors import Refused
from sidmint.params import parse_params
from sidmint.publishing.churn import churn_figures
from sidmint.publishing.difference import compare

SWAPPED = {item: ((3, 1, 2, 0)[a], (7, 2, 1, 0)[b]) for item, (a, b) in CODES.items()}
"""The same buckets under other numbers: 0 and 3 of the first level change places, 1 and 2 of the
second; code 3 of the second is called 0 there."""


@pytest.fixture
def built(tmp_path: Path) -> Built:
    world = build_workspace(tmp_path / "w")
    world.publish("one")
    return world


def measurements(built: Built, tokenizer: str) -> dict[str, Any]:
    path = built.layout.stage("gate", tokenizer) / "measurements.json"
    return dict(json.loads(path.read_text()))


def test_other_numbers_for_the_same_codes_are_churn_that_alignment_takes_away(
    built: Built,
) -> None:
    built.build("two", SWAPPED)
    found = measurements(built, "two")
    assert {name: found[name] for name in found if "churn" in name} == {
        "churn": 1.0,
        "churn_1": 1.0,
        "churn_2": 1.0,
        "aligned_churn": 0.0,
        "aligned_churn_1": 0.0,
        "aligned_churn_2": 0.0,
    }


def test_a_release_keeps_its_churn_and_diff_shows_both(built: Built) -> None:
    moved = CODES | {"d": (2, 2)}
    built.build("two", moved, retention=0.9)
    built.publish("two")
    release = built.store.release()
    assert release.metrics["churn"] == release.metrics["churn_1"] == 1 / 4
    difference = compare(built.store.release("v0001"), release)
    assert difference.churn == (0.25, 0.25)
    # d stands alone at both levels' last code: the first can be renamed, the second is c's too.
    assert difference.aligned_churn == (0.0, 0.25)


def test_the_champions_own_table_has_none_and_a_first_one_has_no_figure(tmp_path: Path) -> None:
    built = build_workspace(tmp_path / "w")
    assert churn_figures(built.artifacts, "one") == {}
    built.publish("one")
    assert set(churn_figures(built.artifacts, "one").values()) == {0.0}


def test_another_number_of_levels_changes_every_id(built: Built) -> None:
    built.build("two", {item: (*code, 0) for item, code in CODES.items()})
    assert churn_figures(built.artifacts, "two") == {"churn": 1, "aligned_churn": 1}


def test_tables_without_a_common_item_have_no_churn(built: Built) -> None:
    built.build("two", {"x": (0, 1), "y": (0, 2)})
    assert churn_figures(built.artifacts, "two") == {}


def gated(built: Built, **churn: Any) -> None:
    rules = {"retention_at_100": {"min": 0.5}}
    built.set_params(gate={"rules": rules, "champion": {}, "churn": churn or None})


@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_a_budget_refuses_or_warns(built: Built, severity: str) -> None:
    gated(built, max=0.2, severity=severity)
    built.build("two", CODES | {"d": (2, 2)})
    verdict = json.loads((built.layout.stage("gate", "two") / "verdict.json").read_text())
    reason = "churn is 0.250, above the 0.200 allowed"
    assert verdict["passed"] == (severity == "warning")
    assert reason in (verdict["warnings"] if verdict["passed"] else verdict["blocked_by"])
    if severity == "critical":
        with pytest.raises(Refused, match=reason):
            built.publish("two")
    gated(built, max=0.25)
    built.judge("two")
    assert built.publish("two").version == "v0002"


def test_without_a_champion_the_budget_waits(tmp_path: Path) -> None:
    built = build_workspace(tmp_path / "w")
    gated(built, max=0.2)
    built.judge("one")
    verdict = json.loads((built.layout.stage("gate", "one") / "verdict.json").read_text())
    assert verdict["not_applied"] == ["champion.churn: no champion yet"]
    assert verdict["passed"]


def test_nothing_is_asked_by_default() -> None:
    assert parse_params({}, "params.yaml").gate.churn is None
