"""A log whose chain holds and whose story does not: every hash is made anew after the lie."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from releases import Built, build_workspace
from sidmint.errors import Refused
from sidmint.publishing.audit import seal, to_line
from sidmint.publishing.promotion import decide, promote, propose, retire
from sidmint.publishing.release import Override, rollback
from sidmint.publishing.verify import verify
from sidmint.publishing.versions import Head


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish v0001, override v0002, roll back, publish v0003: four moves, all of them true."""
    built = build_workspace(tmp_path_factory.mktemp("story") / "w")
    built.publish("one")
    built.judge("two", refused=True)
    built.publish("two", Override(by="Ada", reason="a demo tonight"))
    rollback(built.params, built.layout, by="test")
    built.judge("two")
    built.publish("two")
    return built.root


@pytest.fixture
def built(template: Path, tmp_path: Path) -> Built:
    return Built(shutil.copytree(template, tmp_path / "w"))


def problems(built: Built) -> tuple[str, ...]:
    return verify(built.store, snapshot=built.layout.champion).problems


@pytest.fixture(scope="module")
def stepwise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Propose v0001, approve and promote it, propose v0002, decline and retire it."""
    built = build_workspace(tmp_path_factory.mktemp("steps") / "w")
    here = built.params, built.layout
    propose(built.params, built.artifacts, built.layout, "one", by="test")
    decide(*here, "v0001", True, "Ada", "looked at it")
    promote(*here, "v0001", by="test")
    built.judge("two")
    propose(built.params, built.artifacts, built.layout, "two", by="test")
    decide(*here, "v0002", False, "Ada", "no")
    retire(*here, "v0002", "no use", "test")
    return built.root


@pytest.fixture
def steps(stepwise: Path, tmp_path: Path) -> Built:
    return Built(shutil.copytree(stepwise, tmp_path / "steps"))


def retell(built: Built, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change the entries, then seal log and pointer anew from the first line to the last."""
    entries = [dict(entry) for entry in built.store.log.entries()]
    first = [dict(entry) for entry in entries]
    change(entries)
    sealed: list[dict[str, Any]] = []
    for entry in entries:
        facts = {k: v for k, v in entry.items() if k not in ("sequence", "previous_hash", "hash")}
        # Hashes that a line holds of earlier ones go with them, as a careful liar would do it.
        now = {old["hash"]: new["hash"] for old, new in zip(first, sealed, strict=False)}
        champion, approval = facts.get("champion"), facts.get("approval")
        if champion:
            facts["champion"] = champion | {"move_hash": now.get(champion["move_hash"], "0")}
        if approval:
            facts["approval"] = now.get(approval, "0")
        sealed.append(seal(facts, sealed[-1] if sealed else None))
    built.store.log.path.write_bytes(b"".join(map(to_line, sealed)))
    (built.store.folder / "champion.json").write_bytes(Head(sealed[-1]).to_bytes())


def test_a_true_story_has_no_problem(built: Built) -> None:
    assert problems(built) == ()
    retell(built, lambda entries: None)
    assert problems(built) == ()


LIES = {
    "a champion before that never was": (
        lambda log: log[1].update(previous="v0009"),
        "line 2 says that v0009 was champion before v0002; by the line above it was v0001",
    ),
    "nothing before": (
        lambda log: log[3].update(previous=None),
        "line 4 says that nothing was champion before v0003",
    ),
    "no version": (lambda log: log[2].pop("version"), "line 3 names no version"),
    "a version that is no name": (lambda log: log[2].update(version=3), "line 3 names no version"),
    "no digest": (lambda log: log[2].pop("manifest_sha256"), "line 3 names no version, or no"),
    "two digests of one version": (
        lambda log: log[2].update(manifest_sha256="0" * 64),
        "line 3 gives v0001 another manifest than an earlier line",
    ),
    "a version published twice": (
        lambda log: log[2].update(action="publish"),
        "line 3 moves the pointer to v0001, which was published again",
    ),
    "a rollback to what never was": (
        lambda log: log[3].update(action="rollback"),
        "line 4 moves the pointer to v0003, which was never published",
    ),
    "another publisher": (
        lambda log: log[0].update(by="nobody"),
        "line 1 says by 'nobody' of v0001, its manifest 'test'",
    ),
    "another tokenizer": (
        lambda log: log[0].update(tokenizer="two"),
        "line 1 says tokenizer 'two' of v0001, its manifest 'one'",
    ),
    "no override": (
        lambda log: log[1].update(override=False),
        "line 2 says override False of v0002, its manifest True",
    ),
    "another reason": (
        lambda log: log[1].update(reason="launch day"),
        "line 2 says reason 'launch day' of v0002, its manifest 'a demo tonight'",
    ),
    "an override left out": (
        lambda log: log[1].pop("override"),
        "line 2 says override False of v0002, its manifest True",
    ),
    "a rollback to another tokenizer": (
        lambda log: log[2].update(tokenizer="two"),
        "line 3 says tokenizer 'two' of v0001, its manifest 'one'",
    ),
    "nothing overruled": (
        lambda log: log[1].update(overruled=[]),
        "line 2 says overruled [] of v0002, its manifest ['retention_at_100",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_line_that_tells_what_cannot_have_happened_is_found(built: Built, lie: str) -> None:
    change, said = LIES[lie]
    retell(built, change)
    found = problems(built)
    assert any(said in problem for problem in found), found


LIES_ABOUT_STEPS = {
    "an approval of what never was": (
        lambda log: log[1].update(version="v0009"),
        "line 2 approves v0009, which was never proposed",
    ),
    "an approval of what was champion": (
        lambda log: log[4].update(
            action="approve", version="v0001", manifest_sha256=log[0]["manifest_sha256"]
        ),
        "line 5 approves v0001, which was champion already",
    ),
    "an approval of other files": (
        lambda log: log[1].update(manifest_sha256="0" * 64),
        "line 2 gives v0001 another manifest",
    ),
    "a promotion of what was declined": (
        lambda log: log[1].update(action="decline"),
        "line 3 moves the pointer to v0001, which was declined by Ada",
    ),
    "an approval by somebody else": (
        lambda log: log[1].update(by="Eve"),
        "line 3 says that v0001 was approved, which no line above it does",
    ),
    "a promotion without its approval": (
        lambda log: log[2].update(approval=None, approved_by=None),
        "line 3 says that v0001 was approved, which no line above it does",
    ),
    "a proposal that moves the pointer": (
        lambda log: log[0].pop("champion"),
        "line 1 moves the pointer, which to propose does not",
    ),
    "a promotion that moves nothing": (
        lambda log: log[2].update(champion=None),
        "line 3 leaves the pointer where it is, which to promote does not",
    ),
    "another champion all the while": (
        lambda log: log[4]["champion"].update(sequence=1),
        "line 5 says another move than an earlier line",
    ),
    "a champion retired": (
        lambda log: log[5].update(version="v0001", manifest_sha256=log[0]["manifest_sha256"]),
        "line 6 retires v0001, which is champion",
    ),
    "a decision on what is retired": (
        lambda log: log[4].update(action="retire") or log[5].update(action="approve"),
        "line 6 approves v0002, which is retired",
    ),
    "a version proposed twice": (
        lambda log: log[5].update(action="propose"),
        "line 6 proposes v0002, which was proposed again",
    ),
    "an act that nobody knows": (
        lambda log: log[5].update(action="bless"),
        "line 6 tells of an act 'bless'",
    ),
    "a refusal of a version": (
        lambda log: log[5].update(action="refuse"),
        "line 6 refuses a table and names v0002, a version",
    ),
    "another proposer": (
        lambda log: log[3].update(by="Eve"),
        "line 4 says by 'Eve' of v0002, its manifest 'test'",
    ),
}


def test_a_true_story_in_steps_has_no_problem(steps: Built) -> None:
    assert problems(steps) == ()
    retell(steps, lambda entries: entries[5].update(reason="no use at all"))
    assert problems(steps) == ()


@pytest.mark.parametrize("lie", LIES_ABOUT_STEPS)
def test_a_step_that_cannot_have_been_taken_is_found(steps: Built, lie: str) -> None:
    change, said = LIES_ABOUT_STEPS[lie]
    retell(steps, change)
    found = problems(steps)
    assert any(said in problem for problem in found), found


def test_a_last_move_cut_off_log_and_pointer_is_known_by_the_workspace(built: Built) -> None:
    retell(built, lambda entries: entries.pop())
    assert not any("log" in problem for problem in verify(built.store).problems)
    assert any("knows of the move in line 4" in problem for problem in problems(built))


def test_a_last_move_told_otherwise_is_known_by_the_workspace(built: Built) -> None:
    retell(built, lambda entries: entries[3].update(at="2020-01-01T00:00:00+00:00"))
    assert any("knows of the move in line 4" in problem for problem in problems(built))


def test_a_workspace_that_is_behind_the_registry_is_no_problem(built: Built) -> None:
    behind = built.layout.champion.read_bytes()
    built.judge("one")
    built.publish("one")
    built.layout.champion.write_bytes(behind)
    assert problems(built) == ()


@pytest.mark.parametrize("name", ["log.jsonl", "champion.json", "versions", "staging", ".lock"])
def test_a_link_in_the_place_of_the_registrys_own_is_told_and_moves_nothing(
    built: Built, tmp_path: Path, name: str
) -> None:
    own, elsewhere = built.store.folder / name, tmp_path / "elsewhere"
    if own.exists():
        own.rename(elsewhere)
    elif name == "staging":
        elsewhere.mkdir()
    else:
        elsewhere.write_text("precious")
    own.symlink_to(elsewhere)
    assert f"{name} is a link, not the registry's own" in problems(built)
    before = os.readlink(own), sorted(path.name for path in elsewhere.parent.iterdir())
    with pytest.raises(Refused, match=rf"{name} is a link"):
        rollback(built.params, built.layout, to="v0001", by="test")
    assert built.store.champion().version == "v0003"  # type: ignore[union-attr]
    assert (os.readlink(own), sorted(path.name for path in elsewhere.parent.iterdir())) == before


@pytest.mark.parametrize("name", ["log.jsonl", "champion.json", "versions", "staging", ".lock"])
def test_another_kind_of_thing_in_the_place_of_the_registrys_own_is_told(
    built: Built, name: str
) -> None:
    own = built.store.folder / name
    is_folder = name in ("versions", "staging")
    if own.exists():
        own.rename(built.root / "elsewhere")
    own.touch() if is_folder else own.mkdir()
    said = f"{name} is not a regular {'folder' if is_folder else 'file'}"
    assert said in problems(built)
    with pytest.raises(Refused, match=said):
        built.store.recover()
