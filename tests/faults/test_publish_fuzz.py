"""Files that anything may have happened to: every reader answers, or says what is wrong.

A file of a workspace or of its registry is damaged in one place, as JSON, YAML or bytes, and all
that reads it is asked. What comes is an answer or one of our own errors, never another exception.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from releases import Built, build_workspace
from sidmint.errors import SidmintError
from sidmint.params import load_params
from sidmint.publishing.difference import compare
from sidmint.publishing.history import list_versions, metric_history
from sidmint.publishing.lookup import items_of, lookup
from sidmint.publishing.release import publish, rollback
from sidmint.publishing.snapshot import read_history, sync_champion
from sidmint.publishing.verify import verify

Damage = Callable[[bytes], bytes]

EACH = int(os.environ.get("SIDMINT_FUZZ_EXAMPLES", "300"))
"""Examples a kind of file, of six kinds; 1,700 make ten thousand."""

values = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**400, 1e308, float("nan"), float("inf")]),
    st.sampled_from(["", "\x00", "../../evil", "v0001", "v" + "9" * 400, "\ud800", "a" * 5000]),
    st.recursive(
        st.integers() | st.text(max_size=3) | st.none(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=5,
    ),
)


@st.composite
def damages(draw: st.DrawFn) -> tuple[Any, ...]:
    """What happens to a file: to a place of its tree, or to its bytes."""
    kind = draw(st.sampled_from(["value", "key", "bytes", "cut", "deep", "empty"]))
    return kind, draw(st.integers(0, 10**6)), draw(values), draw(st.binary(max_size=3))


def damaged(data: bytes, damage: tuple[Any, ...], load: Any, dump: Any) -> bytes:
    kind, at, value, raw = damage
    if kind == "bytes":
        at %= len(data) + 1
        return data[:at] + raw + data[at + 1 :]
    if kind == "cut":
        return data[: at % (len(data) + 1)]
    if kind in ("deep", "empty"):
        return b"[" * (at % 200_000) if kind == "deep" else b""
    tree = copy.deepcopy(load(data))
    places = list(_places(tree))
    if not places:
        return dump(value)
    holder, key = places[at % len(places)]
    if kind == "key":
        del holder[key]
    else:
        holder[key] = value
    return dump(tree)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree))
    for key in list(keys):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


def to_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def to_yaml(value: Any) -> bytes:
    try:
        return yaml.safe_dump(value).encode("utf-8", "surrogatepass")
    except yaml.YAMLError:
        return b"{"


@contextmanager
def changed(path: Path, data: bytes) -> Iterator[None]:
    """`data` in the place of the file's own, for a while."""
    whole, mode = path.read_bytes(), path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(whole)
        path.chmod(mode)


def ask(*questions: Callable[[], object]) -> None:
    """Every question has an answer, or one of our errors."""
    for question in questions:
        with suppress(SidmintError):
            question()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Two versions, and a third candidate that passes."""
    built = build_workspace(tmp_path_factory.mktemp("fuzz"))
    built.publish("one")
    built.judge("two")
    built.publish("two")
    built.judge("one")
    return built


def readers(built: Built) -> list[Callable[[], object]]:
    store = built.store
    return [
        lambda: list_versions(store),
        lambda: metric_history(store, "n_eff"),
        lambda: verify(store, snapshot=built.layout.champion),
        lambda: compare(store.release("v0001"), store.release("v0002")),
        lambda: lookup(store.release("v0002"), "a"),
        lambda: items_of(store.release("v0002"), "0-1"),
        lambda: store.release("v0002").verdict,
    ]


def movers(built: Built) -> list[Callable[[], object]]:
    """Asked of a copy: what these do may succeed."""
    return [
        lambda: publish(built.params, built.artifacts, built.layout, "one", by="fuzz"),
        lambda: rollback(built.params, built.layout, "v0001", by="fuzz"),
        lambda: sync_champion(built.layout, built.store),
        lambda: read_history(built.layout),
    ]


slowly = settings(
    max_examples=EACH,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),  # the first case is enough; to shrink it takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "registry/versions/v0002/manifest.json",
        "registry/versions/v0002/metrics.json",
        "registry/champion.json",
        "registry/log.jsonl",
    ],
)
@slowly
@given(damage=damages())
def test_a_damaged_file_of_the_registry(built: Built, name: str, damage: tuple[Any, ...]) -> None:
    path = built.root / name

    def load(data: bytes) -> Any:
        lines = data.splitlines()
        return [json.loads(line) for line in lines] if name.endswith("l") else json.loads(data)

    def dump(tree: Any) -> bytes:
        lines = tree if name.endswith("l") and isinstance(tree, list) else [tree]
        return b"".join(to_json(line) + b"\n" for line in lines)

    with changed(path, damaged(path.read_bytes(), damage, load, dump)):
        ask(*readers(built))


@pytest.mark.slow
@slowly
@given(damage=damages())
def test_a_damaged_params_yaml(built: Built, damage: tuple[Any, ...]) -> None:
    path = built.layout.params
    data = damaged(path.read_bytes(), damage, yaml.safe_load, to_yaml)
    with changed(path, data):
        ask(lambda: load_params(path))


@pytest.mark.slow
@slowly
@given(damage=damages())
def test_a_damaged_table(built: Built, damage: tuple[Any, ...]) -> None:
    path = built.root / "registry/versions/v0002/sids.parquet"
    kind, at, value, _ = damage
    if kind in ("value", "key"):
        table = pl.read_parquet(path)
        column = table.columns[at % len(table.columns)]
        written = path.parent.parent.parent / "damaged.parquet"
        try:
            changed_to = None if kind == "key" else pl.lit(value).alias(column)
            table = table.drop(column) if changed_to is None else table.with_columns(changed_to)
            table.write_parquet(written)
        except (TypeError, OverflowError, pl.exceptions.PolarsError):
            return  # no column of Parquet holds that
        data = written.read_bytes()
        written.unlink()
    else:
        data = damaged(path.read_bytes(), damage, None, None)
    with changed(path, data):
        ask(*readers(built))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "registry/versions/v0002/manifest.json",
        "registry/champion.json",
        "registry/log.jsonl",
        "data/build/gate/one/verdict.json",
        "data/build/evaluate/one/metrics.json",
        "data/champion.json",
        "data/champion/history.json",
    ],
)
@settings(slowly, max_examples=max(EACH // 12, 1))
@given(damage=damages())
def test_a_damaged_file_before_the_pointer_is_to_move(
    built: Built, name: str, damage: tuple[Any, ...]
) -> None:
    for number, _ in enumerate(movers(built)):
        root = built.root.parent / "work"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(built.root, root)
        path = root / name
        path.chmod(0o644)
        lines = path.read_bytes().splitlines()
        whole = [json.loads(line) for line in lines] if name.endswith("l") else None
        path.write_bytes(
            damaged(
                path.read_bytes(),
                damage,
                (lambda _, whole=whole: whole) if whole else json.loads,
                to_json,
            )
        )
        ask(movers(Built(root))[number])
