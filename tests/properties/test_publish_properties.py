"""What is read is what was published; one edit anywhere breaks the log."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releases import FACTS, files_of
from sidmint.errors import BadInput, Refused
from sidmint.publishing.audit import AuditLog, seal, to_line
from sidmint.publishing.difference import flatten, metric_changes, param_changes
from sidmint.publishing.store import VersionStore
from sidmint.publishing.verify import verify

names = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}\.json)?", fullmatch=True)
contents = st.dictionaries(names, st.binary(max_size=200), max_size=4).filter(
    lambda content: not any(f"{a}/" == b[: len(a) + 1] for a in content for b in content)
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
entries = st.lists(st.tuples(texts, texts), min_size=1, max_size=5)


def chain(facts: list[tuple[str, str]]) -> tuple[bytes, dict[str, object]]:
    """The bytes of a log of these (by, reason), and its newest entry."""
    log, entry = b"", None
    for by, reason in facts:
        fields = {"action": "publish", "version": "v0001", "manifest_sha256": "0", "at": "now"}
        entry = seal({**fields, "by": by, "reason": reason}, entry)
        log += to_line(entry)
    assert entry is not None
    return log, entry


def damage(data: bytes, newest: dict[str, object]) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.jsonl")
        path.write_bytes(data)
        return AuditLog(path).problems(newest)


@settings(max_examples=12, deadline=None)
@given(st.lists(contents, min_size=1, max_size=3))
def test_what_is_read_is_what_was_published(published: list[dict[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = VersionStore(Path(folder))
        for number, content in enumerate(published, start=1):
            parent = f"v{number - 1:04d}" if number > 1 else None
            assert store.publish(files_of(content), parent, FACTS).version == f"v{number:04d}"
        for number, content in enumerate(published, start=1):
            release = store.release(f"v{number:04d}")
            assert release.manifest["files"].keys() == content.keys()
            assert {name: release.file(name).read_bytes() for name in content} == content
        assert verify(store).problems == ()
        assert store.champion() is not None


@given(entries)
def test_a_log_that_nobody_touched_verifies(facts: list[tuple[str, str]]) -> None:
    log, newest = chain(facts)
    assert damage(log, newest) == []


@settings(max_examples=200)
@given(entries, st.data())
def test_any_single_edit_breaks_the_log(facts: list[tuple[str, str]], data: st.DataObject) -> None:
    log, newest = chain(facts)
    at = data.draw(st.integers(0, len(log) - 1))
    kept = data.draw(st.sampled_from([0, 1]))
    new = data.draw(st.binary(min_size=1 - kept, max_size=2))
    edited = log[:at] + new + log[at + 1 - kept :]
    if edited != log:
        assert damage(edited, newest)


@given(entries, st.data())
def test_a_line_removed_or_repeated_breaks_the_log(
    facts: list[tuple[str, str]], data: st.DataObject
) -> None:
    log, newest = chain(facts)
    lines = log.splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1))
    assert damage(b"".join(lines[:at] + lines[at + 1 :]), newest)
    assert damage(b"".join(lines[: at + 1] + lines[at:]), newest)


@given(entries, st.data())
def test_only_the_newest_line_can_be_written_again(
    facts: list[tuple[str, str]], data: st.DataObject
) -> None:
    log, newest = chain(facts)
    cut = data.draw(st.integers(0, len(log) - 1))
    begins_last_line = log.rfind(b"\n", 0, len(log) - 1) + 1
    with tempfile.TemporaryDirectory() as folder:
        found = AuditLog(Path(folder, "log.jsonl"))
        found.path.write_bytes(log[:cut])
        if cut >= begins_last_line:
            assert found.settle(newest)
            assert found.path.read_bytes() == log
        else:
            with pytest.raises((Refused, BadInput)):
                found.settle(newest)
            assert found.path.read_bytes() == log[:cut]


nested = st.recursive(
    st.none() | st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.from_regex(r"[a-z]{1,3}", fullmatch=True), inner, max_size=3),
    max_leaves=8,
)


@given(nested, nested)
def test_parameter_changes_are_the_difference_of_the_flat_keys(one: object, other: object) -> None:
    assert param_changes(one, one) == {}
    forward, backward = param_changes(one, other), param_changes(other, one)
    assert forward == {key: (a, b) for key, (b, a) in backward.items()}
    assert forward.keys() <= flatten(one).keys() | flatten(other).keys()


@given(st.floats(0, 1), st.floats(0, 1))
def test_what_is_better_one_way_is_worse_the_other(old: float, new: float) -> None:
    opposite = {"better": "worse", "worse": "better"}
    forward = metric_changes({"collision_rate": old}, {"collision_rate": new})
    backward = metric_changes({"collision_rate": new}, {"collision_rate": old})
    assert bool(forward) == bool(backward) == (old != new)
    if forward:
        change = forward["collision_rate"].change
        assert change == ("better" if new < old else "worse")
        assert backward["collision_rate"].change == opposite[change]
