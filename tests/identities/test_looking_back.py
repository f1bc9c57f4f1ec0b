"""What the registry says of its own past, on a history whose every change is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from releases import CODES, Built, build_workspace
from sidmint.errors import BadInput, Refused
from sidmint.gate.loosening import threshold_changes
from sidmint.gate.thresholds import GateParams
from sidmint.publishing.blame import blame
from sidmint.publishing.chronicle import chronicle
from sidmint.publishing.difference import MovedItem, compare
from sidmint.publishing.promotion import decide, promote, propose
from sidmint.publishing.release import Override

STRICT = {"select_by": "retention_at_100", "rules": {"retention_at_100": {"min": 0.5}}}
LOOSE = {"select_by": "retention_at_100", "rules": {"retention_at_100": {"min": 0.3}}}


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """v0001 by `one` (.8); v0002 by `two` (.4) under a looser gate and another seed; a refusal."""
    built = build_workspace(tmp_path)
    built.publish("one")
    built.set_params(gate={**LOOSE, "champion": {}}, seed=8)
    built.build("two", codes=CODES | {"a": (1, 1), "d": (3, 4)}, retention=0.4)
    built.publish("two")
    built.build("one", retention=0.2)
    with pytest.raises(Refused):
        built.publish("one")
    return built


def gate(rules: dict[str, Any], champion: Any = None, **others: Any) -> GateParams:
    champion = {} if champion is None else champion
    return GateParams.model_validate({"rules": rules, "champion": champion, **others})


CRITICAL = {"num_items": {"min": 1}}
BOUNDS = [
    ({"collision_rate": {"max": 0.3}}, {"collision_rate": {"max": 0.4}}, "looser"),
    ({"collision_rate": {"max": 0.3}}, {"collision_rate": {"max": 0.2}}, "tighter"),
    ({"n_eff": {"min": 3}}, {"n_eff": {"min": 2}}, "looser"),
    ({"n_eff": {"min": 3}}, {"n_eff": {"min": 4}}, "tighter"),
    ({"n_eff": {"min": 3}}, {}, "looser"),
    ({}, {"n_eff": {"min": 3}}, "tighter"),
    ({"n_eff": {"min": 3}}, {"n_eff": {"min": 4, "severity": "warning"}}, "looser"),
    ({"n_eff": {"min": 3, "severity": "warning"}}, {"n_eff": {"min": 3}}, "tighter"),
    ({"n_eff": {"min": 3, "max": 9}}, {"n_eff": {"min": 4, "max": 10}}, "looser"),
    ({"n_eff": {"min": 3}}, {"n_eff": {"min": 3, "max": 9}}, "tighter"),
]


@pytest.mark.parametrize(("before", "after", "direction"), BOUNDS)
def test_a_bound_that_lets_more_through_is_looser(
    before: dict[str, Any], after: dict[str, Any], direction: str
) -> None:
    changes = threshold_changes(gate(CRITICAL | before), gate(CRITICAL | after), 3)
    assert [change.direction for change in changes.values()] == [direction]
    assert threshold_changes(gate(CRITICAL | after), gate(CRITICAL | after), 3) == {}


@pytest.mark.parametrize(
    ("before", "after", "direction"),
    [(0.01, 0.02, "looser"), (0.02, 0.01, "tighter"), (0.01, None, "looser")],
)
def test_an_allowance_that_grows_or_goes_is_looser(
    before: float, after: float | None, direction: str
) -> None:
    old = gate(CRITICAL, {"n_eff": {"may_worsen_by": before}})
    new = gate(CRITICAL, {} if after is None else {"n_eff": {"may_worsen_by": after}})
    (change,) = threshold_changes(old, new, 1).items()
    assert (change[0], change[1].direction) == ("champion.n_eff", direction)


@pytest.mark.parametrize(
    ("before", "after", "direction"),
    [
        ({"max": 0.1}, {"max": 0.2}, "looser"),
        ({"max": 0.2}, {"max": 0.1}, "tighter"),
        ({"max": 0.2}, None, "looser"),
        (None, {"max": 0.2}, "tighter"),
        ({"max": 0.2, "severity": "critical"}, {"max": 0.2, "severity": "warning"}, "looser"),
    ],
)
def test_a_budget_of_churn_that_grows_or_goes_is_looser(
    before: dict[str, Any] | None, after: dict[str, Any] | None, direction: str
) -> None:
    old, new = gate(CRITICAL, churn=before), gate(CRITICAL, churn=after)
    assert {k: c.direction for k, c in threshold_changes(old, new, 1).items()} == {
        "churn": direction
    }


def test_no_longer_blocking_on_what_cannot_be_told_is_looser() -> None:
    old, new = gate(CRITICAL, cannot_tell="block"), gate(CRITICAL, cannot_tell="warning")
    assert threshold_changes(old, new, 1)["cannot_tell"].direction == "looser"
    assert threshold_changes(new, old, 1)["cannot_tell"].direction == "tighter"


def test_a_level_taken_out_of_a_rule_for_all_levels_shows_where_it_became_looser() -> None:
    every = CRITICAL | {"dead_code_share_level": {"max": 0.2}}
    but_one = every | {"dead_code_share_2": {"max": 0.9}}
    changes = threshold_changes(gate(every), gate(but_one), 3)
    assert {key: change.direction for key, change in changes.items()} == {
        "rules.dead_code_share_2": "looser"
    }
    stricter = threshold_changes(
        gate(every), gate(CRITICAL | {"dead_code_share_level": {"max": 0.1}}), 3
    )
    assert stricter.keys() == {"rules.dead_code_share_level"}


def test_a_difference_names_the_gate_code_data_churn_and_examples(built: Built) -> None:
    store = built.store
    found = compare(store.release("v0001"), store.release("v0002"), lambda _: {"a": "An apple"})
    assert found.thresholds is not None
    change = found.thresholds["rules.retention_at_100"]
    assert (change.before, change.after) == ("min 0.5, critical", "min 0.3, critical")
    assert change.direction == "looser"
    # b leaves the bucket of a and b, so its suffix changes: 0-1-1 becomes 0-1-0.
    assert found.examples == (
        MovedItem("a", "An apple", "0-1-0", "1-1-0"),
        MovedItem("d", None, "3-3-0", "3-4-0"),
        MovedItem("b", None, "0-1-1", "0-1-0"),
    )
    assert (found.turnover.moved, found.turnover.added, found.turnover.removed) == (0.75, 0.0, 0.0)
    assert found.revisions == {}


def test_items_that_come_and_go_are_counted_in_their_own_version(built: Built) -> None:
    built.build("two", codes={"a": (0, 1), "b": (0, 1), "x": (1, 1), "y": (2, 2), "z": (2, 3)})
    built.publish("two")
    found = compare(built.store.release("v0001"), built.store.release("v0003"))
    assert (found.turnover.added, found.turnover.removed) == (3 / 5, 2 / 4)
    assert found.turnover.moved == 0.0


def publish_with_inputs(built: Built, tracked: bool) -> None:
    """Two more versions, whose input data/raw/items.csv has the hashes aaa and bbb."""
    (built.root / "data/raw").mkdir()
    for name, md5 in (("one", "aaa"), ("two", "bbb")):
        folder = {"path": "data/raw", "md5": f"{md5}.dir", "size": 3}
        lock = {"stages": {"ingest": {"deps": [folder, {"path": "src/x.py", "md5": md5}]}}}
        (built.root / "dvc.lock").write_text(yaml.safe_dump(lock))
        if tracked:
            output = {"path": "items.csv", "md5": md5, "hash": "md5", "size": 3}
            dvc_file = built.root / "data/raw/items.csv.dvc"
            dvc_file.write_text(yaml.safe_dump({"outs": [output]}))
        built.build(name, codes=CODES | {"c": (0, ord(md5[0]) % 8)}, retention=0.6)
        built.publish(name)


@pytest.mark.parametrize(
    ("tracked", "revisions"),
    [
        (True, {"raw.data/raw/items.csv": ("aaa", "bbb")}),
        (False, {"raw.data/raw": ("aaa.dir", "bbb.dir")}),
    ],
)
def test_another_input_is_another_revision(
    built: Built, tracked: bool, revisions: dict[str, Any]
) -> None:
    publish_with_inputs(built, tracked)
    found = compare(built.store.release("v0003"), built.store.release("v0004"))
    assert found.revisions == revisions


def test_blame_names_the_version_and_what_was_changed_with_it(built: Built) -> None:
    found = blame(built.store, "retention_at_100")
    assert found.worst == "v0002"
    (step,) = found.steps
    assert (step.before, step.after, step.change, step.parent) == (0.8, 0.4, "worse", "v0001")
    assert step.params["seed"] == (None, 8)
    assert step.thresholds is not None
    assert step.thresholds["rules.retention_at_100"].direction == "looser"
    assert blame(built.store, "n_eff").steps == ()
    assert blame(built.store, "n_eff").worst is None
    with pytest.raises(BadInput, match="did you mean retention_at_100"):
        blame(built.store, "retention_at_10")


def test_blame_compares_with_the_champion_of_its_time_and_finds_the_worst(tmp_path: Path) -> None:
    built = build_workspace(tmp_path)
    built.publish("one")
    built.build("two", codes=CODES | {"a": (1, 1)}, retention=0.9)
    built.publish("two")
    built.judge("one")
    built.build("one", codes=CODES | {"a": (2, 1)}, retention=0.85)
    built.publish("one")
    built.build("two", codes=CODES | {"a": (3, 1)}, retention=0.6)
    built.publish("two")
    found = blame(built.store, "retention_at_100")
    assert [(step.version, step.parent, step.change) for step in found.steps] == [
        ("v0002", "v0001", "better"),
        ("v0003", "v0002", "worse"),
        ("v0004", "v0003", "worse"),
    ]
    assert found.worst == "v0004"


def test_the_chronicle_tells_every_act_with_verdict_parameters_and_thresholds(
    built: Built,
) -> None:
    first, second, refused = chronicle(built.store)
    assert [each.action for each in (first, second, refused)] == ["publish", "publish", "refuse"]
    assert [each.champion for each in (first, second, refused)] == ["v0001", "v0002", "v0002"]
    assert first.judged is not None
    assert (first.judged.verdict, first.judged.against) == ("passed", None)
    assert first.judged.params["registry.path"] == (None, "registry")
    assert second.judged is not None
    assert second.judged.params["seed"] == (None, 8)
    assert second.judged.thresholds is not None
    assert second.judged.thresholds["rules.retention_at_100"].direction == "looser"
    assert refused.judged is not None
    assert (refused.version, refused.by, refused.tokenizer) == (None, "test", "one")
    assert refused.judged.verdict == "refused"
    assert refused.judged.reasons == ("retention_at_100 is 0.200, below the 0.300 required",)
    assert refused.judged.params == {}
    assert refused.judged.thresholds == {}


def test_the_chronicle_tells_who_overruled_approved_and_promoted(tmp_path: Path) -> None:
    built = build_workspace(tmp_path)
    assert chronicle(built.store) == []
    built.judge("one", refused=True)
    override = Override(by="Ada", reason="a demo")
    propose(built.params, built.artifacts, built.layout, "one", override, by="test")
    decide(built.params, built.layout, "v0001", True, "Grace", "seen")
    promote(built.params, built.layout, "v0001", by="test")
    told = chronicle(built.store)
    assert [(each.action, each.by, each.reason, each.champion) for each in told] == [
        ("propose", "Ada", "a demo", None),
        ("approve", "Grace", "seen", None),
        ("promote", "test", None, "v0001"),
    ]
    assert told[0].judged is not None
    assert told[0].judged.verdict == "overruled"
    assert told[0].judged.reasons
    assert told[1].judged is None
