"""Who may become champion, when people decide in between: the log is asked before each act."""

from __future__ import annotations

import multiprocessing
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from releases import CODES, Built, build_workspace, race_to_promote, refresh_bare
from sidmint.errors import BadInput, Refused, RegistryConflict
from sidmint.publishing.acts import ACTS, standings
from sidmint.publishing.promotion import Stands, decide, promote, propose, retire
from sidmint.publishing.release import Override, Published, rollback
from sidmint.publishing.verify import verify


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_workspace(tmp_path_factory.mktemp("promotion") / "w").root


@pytest.fixture
def built(template: Path, tmp_path: Path) -> Built:
    return Built(shutil.copytree(template, tmp_path / "w"))


def put_forward(built: Built, tokenizer: str, override: Override | None = None) -> Stands:
    return propose(built.params, built.artifacts, built.layout, tokenizer, override, by="test")


def approve(built: Built, version: str, yes: bool = True) -> Stands:
    return decide(built.params, built.layout, version, yes, "Ada", "looked at it")


def raise_up(built: Built, version: str) -> Published:
    return promote(built.params, built.layout, version, by="test")


def take_out(built: Built, version: str) -> Stands:
    return retire(built.params, built.layout, version, "old", "test")


def want_a_person(built: Built) -> None:
    built.set_params(registry={"path": "registry", "model_name": "m", "approval": "person"})


def statuses(built: Built) -> dict[str, str]:
    return {name: each.status for name, each in standings(built.store.entries()).items()}


def test_a_proposal_is_a_whole_version_and_leaves_the_champion(built: Built) -> None:
    built.publish("one")
    before = built.layout.champion.read_bytes()
    built.judge("two")
    proposed = put_forward(built, "two")
    assert (proposed.version, proposed.champion) == ("v0002", "v0001")
    assert built.store.release().version == "v0001"
    assert built.store.release("v0002").manifest["parent"] == "v0001"
    assert built.layout.champion.read_bytes() == before
    assert verify(built.store, snapshot=built.layout.champion).problems == ()


def test_a_first_proposal_leaves_a_registry_without_champion(built: Built) -> None:
    put_forward(built, "one")
    assert built.store.champion() is None
    with pytest.raises(BadInput, match="nothing is published"):
        built.store.release()
    with pytest.raises(BadInput, match="nothing to roll back"):
        rollback(built.params, built.layout)
    assert verify(built.store).problems == ()
    assert raise_up(built, "v0001").previous is None
    assert built.store.release().version == "v0001"


def test_a_proposal_does_not_make_another_verdict_stale(built: Built) -> None:
    built.publish("one")
    built.judge("one")
    built.judge("two")
    put_forward(built, "two")
    built.build("one", codes=CODES | {"a": (1, 1)})
    assert put_forward(built, "one").version == "v0003"


def test_the_same_table_is_proposed_once(built: Built) -> None:
    assert put_forward(built, "one").changed
    again = put_forward(built, "one")
    assert (again.version, again.changed) == ("v0001", False)
    approve(built, "v0001", yes=False)
    assert put_forward(built, "one").version == "v0002"


def test_what_is_promoted_is_what_was_approved(built: Built) -> None:
    want_a_person(built)
    put_forward(built, "one")
    assert approve(built, "v0001").status == "approved"
    built.build("one", codes=CODES | {"a": (1, 1)})
    digest = built.store.release("v0001").manifest["files"]["sids.parquet"]
    assert raise_up(built, "v0001").manifest["files"]["sids.parquet"] == digest
    proposed, approval, promotion = built.store.log.entries()
    assert promotion["approval"] == approval["hash"]
    assert (promotion["approved_by"], promotion["by"]) == ("Ada", "test")
    assert approval["manifest_sha256"] == proposed["manifest_sha256"]


@pytest.mark.parametrize("overriding", [False, True])
def test_without_approval_nothing_is_promoted_or_published(built: Built, overriding: bool) -> None:
    want_a_person(built)
    built.judge("one", refused=overriding)
    override = Override(by="Ada", reason="launch") if overriding else None
    with pytest.raises(Refused, match=r"registry\.approval is person"):
        built.publish("one", override)
    put_forward(built, "one", override)
    with pytest.raises(Refused, match="nobody approved v0001 yet"):
        raise_up(built, "v0001")
    assert built.store.champion() is None
    approve(built, "v0001")
    assert raise_up(built, "v0001").version == "v0001"
    assert verify(built.store).problems == ()


def test_the_newest_decision_counts(built: Built) -> None:
    put_forward(built, "one")
    approve(built, "v0001")
    approve(built, "v0001", yes=False)
    with pytest.raises(Refused, match="v0001 was declined by Ada"):
        raise_up(built, "v0001")
    approve(built, "v0001")
    assert raise_up(built, "v0001").version == "v0001"


def test_a_proposal_judged_against_an_older_champion_is_told_what_changed(built: Built) -> None:
    built.publish("one")
    built.judge("two")
    put_forward(built, "two")
    built.build("one", codes=CODES | {"a": (1, 1)})
    built.publish("one")
    said = r"judged against v0001 but v0003 is champion now.*Since then v0003 was published by test"
    with pytest.raises(RegistryConflict, match=said) as conflict:
        raise_up(built, "v0002")
    assert conflict.value.exit_code == 1
    assert built.store.release().version == "v0003"
    rollback(built.params, built.layout, by="test")
    assert raise_up(built, "v0002").previous == "v0001"


def test_of_two_promotions_at_once_one_wins(built: Built) -> None:
    put_forward(built, "one")
    put_forward(built, "two")
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=race_to_promote, args=(str(built.root), version, start, results))
        for version in ("v0001", "v0002")
    ]
    for process in processes:
        process.start()
    told = dict(results.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(timeout=60)
    results.close()
    winner = built.store.release().version
    (loser,) = {"v0001", "v0002"} - {winner}
    assert told[winner] == "done"
    assert f"judged against an empty registry but {winner} is champion now" in told[loser]
    assert f"Since then {winner} was promoted by {winner}" in told[loser]
    assert Counter(entry["action"] for entry in built.store.log.entries())["promote"] == 1
    assert verify(built.store, snapshot=built.layout.champion).problems == ()


def test_a_retired_version_is_champion_no_more(built: Built) -> None:
    built.publish("one")
    built.judge("two")
    built.publish("two")
    with pytest.raises(Refused, match="v0002 is champion; promote or roll back to another"):
        take_out(built, "v0002")
    assert take_out(built, "v0001").status == "retired"
    assert not take_out(built, "v0001").changed
    with pytest.raises(Refused, match="v0001 is retired"):
        rollback(built.params, built.layout, to="v0001", by="test")
    with pytest.raises(BadInput, match="no champion before it that is not retired"):
        rollback(built.params, built.layout, by="test")
    with pytest.raises(Refused, match="v0001 is retired"):
        raise_up(built, "v0001")
    with pytest.raises(Refused, match="v0001 is retired"):
        approve(built, "v0001")
    assert (built.store.folder / "versions" / "v0001" / "sids.parquet").is_file()
    assert verify(built.store, snapshot=built.layout.champion).problems == ()


def test_a_rollback_passes_over_a_retired_version(built: Built) -> None:
    for tokenizer in ("one", "two", "one"):
        built.judge(tokenizer)
        built.publish(tokenizer)
    take_out(built, "v0002")
    assert rollback(built.params, built.layout, by="test").version == "v0001"


def test_a_retired_proposal_is_proposed_no_more(built: Built) -> None:
    put_forward(built, "one")
    take_out(built, "v0001")
    with pytest.raises(Refused, match="v0001 is retired"):
        raise_up(built, "v0001")
    assert put_forward(built, "one").version == "v0002"


def test_what_was_champion_is_rolled_back_to_and_not_promoted(built: Built) -> None:
    built.publish("one")
    built.judge("two")
    built.publish("two")
    with pytest.raises(Refused, match=r"v0001 was champion already; .*sidmint rollback --to"):
        raise_up(built, "v0001")
    with pytest.raises(Refused, match="v0001 was champion already; there is nothing to approve"):
        approve(built, "v0001")
    put = put_forward(built, "two")
    assert (put.version, put.changed) == ("v0002", False)
    built.build("one", codes=CODES | {"a": (1, 1)})
    put_forward(built, "one")
    with pytest.raises(Refused, match="v0003 was never champion"):
        rollback(built.params, built.layout, to="v0003")


@pytest.mark.parametrize("act", [approve, raise_up])
def test_a_damaged_proposal_is_neither_approved_nor_promoted(built: Built, act: Any) -> None:
    put_forward(built, "one")
    table = built.store.release("v0001").file("sids.parquet")
    table.chmod(0o644)
    table.write_bytes(b"another table")
    with pytest.raises(Refused, match=r"v0001 is damaged:\n  - sids\.parquet was changed"):
        act(built, "v0001")
    assert [entry["action"] for entry in built.store.log.entries()] == ["propose"]


def test_a_version_that_no_line_names_is_not_promoted(built: Built) -> None:
    put_forward(built, "one")
    versions = built.store.folder / "versions"
    shutil.copytree(versions / "v0001", versions / "v0007")
    for act in (approve, raise_up, take_out):
        with pytest.raises(BadInput, match="v0007 is in no line of the log"):
            act(built, "v0007")
    assert any("v0007 is in no line" in note for note in verify(built.store).notes)


def test_what_the_gate_refused_is_in_the_log_once_with_its_reasons(built: Built) -> None:
    built.publish("two")
    built.build("one", retention=0.4)
    built.set_params(seed=8)
    for act in (built.publish, lambda name: put_forward(built, name)):
        with pytest.raises(Refused, match=r"below the 0\.500 required"):
            act("one")
    (refusal,) = [e for e in built.store.log.entries() if e["action"] == "refuse"]
    assert refusal["reasons"] == ["retention_at_100 is 0.400, below the 0.500 required"]
    assert (refusal["tokenizer"], refusal["version"], refusal["by"]) == ("one", None, "test")
    assert refusal["judged_against"] == "v0001"
    assert refusal["changed_params"] == {"seed": [None, 8]}
    assert refusal["thresholds"]["rules"]["retention_at_100"]["min"] == 0.5
    assert built.store.versions() == ["v0001"]
    assert built.store.release().version == "v0001"
    built.build("one", retention=0.3)
    with pytest.raises(Refused):
        built.publish("one")
    assert sum(e["action"] == "refuse" for e in built.store.log.entries()) == 2
    assert verify(built.store, snapshot=built.layout.champion).problems == ()


def test_who_lost_at_the_gate_is_in_the_log_beside_who_was_published(built: Built) -> None:
    built.build("two", retention=0.4)
    assert built.publish().version == "v0001"
    assert [(e["action"], e["tokenizer"]) for e in built.store.log.entries()] == [
        ("refuse", "two"),
        ("publish", "one"),
    ]


def test_a_broken_verdict_is_no_refusal_of_the_gate(built: Built) -> None:
    built.build("one", retention=0.4)
    with built.artifacts.writing("diagnose", "one") as out:
        out.metrics({"n_eff": 3.5})
    with pytest.raises(Refused, match="stale verdict"):
        built.publish("one")
    assert not built.store.folder.exists()


def test_every_act_leads_where_the_table_of_acts_says(built: Built) -> None:
    put_forward(built, "one")
    put_forward(built, "two")
    assert statuses(built) == {"v0001": "proposed", "v0002": "proposed"}
    approve(built, "v0001")
    approve(built, "v0002", yes=False)
    assert statuses(built) == {"v0001": "approved", "v0002": "declined"}
    raise_up(built, "v0001")
    assert statuses(built) == {"v0001": "champion", "v0002": "declined"}
    built.judge("two")
    built.publish("two")
    assert statuses(built) == {"v0001": "published", "v0002": "declined", "v0003": "champion"}
    rollback(built.params, built.layout, by="test")
    take_out(built, "v0003")
    assert statuses(built) == {"v0001": "champion", "v0002": "declined", "v0003": "retired"}
    built.build("two", retention=0.3)
    with pytest.raises(Refused):
        built.publish("two")
    refresh_bare(built.store, b"later items")
    assert statuses(built)["v0001.1"] == "champion"
    assert {entry["action"] for entry in built.store.log.entries()} == ACTS.keys()
    assert verify(built.store, snapshot=built.layout.champion).problems == ()
