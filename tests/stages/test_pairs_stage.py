"""Stage pairs: training events alone, sorted, and the same bytes twice."""

from __future__ import annotations

import polars as pl
import pytest

from embed_world import with_events
from sidmint.errors import BadInput
from sidmint.execution.splitting import split
from sidmint.params import parse_params
from sidmint.stages.pairs import pairs

TRAIN = [(user, item, "train") for user in ("u1", "u2", "u3") for item in "ab"]
TRAIN += [("u3", "c", "train"), ("u4", "c", "train"), ("u4", "b", "train")]


def params(**settings):
    return parse_params({"pairs": settings}, "params.yaml")


def bytes_of(root):
    return {path.name: path.read_bytes() for path in (root / "data/build/pairs").iterdir()}


def test_scores_worked_by_hand(tmp_path):
    # I_u1 = I_u2 = {a, b}, I_u3 = {a, b, c}, I_u4 = {b, c}; weights 1/sqrt(2) but u3 1/sqrt(3).
    # (a, b): pairs 12, 13, 23, all with two items in common: (1/2 + 2/sqrt(6)) / 3.
    # (b, c): pair 34 with two in common: 1/sqrt(6) / 3. (a, c) has one user in common.
    artifacts = with_events(tmp_path, TRAIN, "abcd")
    outcome = pairs(params(), artifacts)
    ab, bc = (1 / 2 + 2 / 6**0.5) / 3, 1 / 6**0.5 / 3
    frame = artifacts.table("pairs", "pairs")
    assert frame.schema == {"trigger": pl.String, "target": pl.String, "score": pl.Float32}
    assert frame["trigger"].to_list() == ["a", "b", "b", "c"]
    assert frame["target"].to_list() == ["b", "a", "c", "b"]
    assert frame["score"].to_list() == pytest.approx([ab, ab, bc, bc])
    # d has no training event: it is no item that pairs could speak of.
    wanted = {"num_pairs": 4, "num_triggers": 3, "trigger_share": 1.0, "pairs_per_trigger": 4 / 3}
    assert outcome.metrics == artifacts.metrics("pairs") == pytest.approx(wanted)


@pytest.mark.parametrize("split", ["validation", "test", "cold"])
def test_events_outside_training_change_no_byte(tmp_path, split):
    pairs(params(), with_events(tmp_path / "one", TRAIN, "abcd"))
    held_out = [(f"u{n}", item, split) for n in range(1, 9) for item in "cd"]
    pairs(params(), with_events(tmp_path / "two", TRAIN + held_out, "abcd"))
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_the_same_events_in_training_do_change_them(tmp_path):
    # The leak test above would pass if nothing were read at all; this one would not.
    pairs(params(), with_events(tmp_path / "one", TRAIN, "abcd"))
    more = [("u1", "d", "train"), ("u2", "d", "train")]
    pairs(params(), with_events(tmp_path / "two", TRAIN + more, "abcd"))
    assert bytes_of(tmp_path / "one") != bytes_of(tmp_path / "two")


def test_twice_gives_the_same_bytes_even_where_users_are_sampled(tmp_path):
    events = [(f"u{n}", item, "train") for n in range(30) for item in "abcd" if n % 3 or item > "b"]
    artifacts = with_events(tmp_path, events, "abcd")
    pairs(params(max_users_per_item=5), artifacts)
    first = bytes_of(tmp_path)
    pairs(params(max_users_per_item=5), artifacts)
    assert bytes_of(tmp_path) == first


def test_artifacts_give_the_pairs_back_as_rows(tmp_path):
    artifacts = with_events(tmp_path, TRAIN, "abcd")
    pairs(params(), artifacts)
    read = artifacts.pairs()
    assert read.triggers.tolist() == [0, 1, 1, 2]
    assert read.targets.tolist() == [1, 0, 2, 1]


def test_a_log_without_pairs_is_said_and_is_no_error(tmp_path):
    events = [("u1", "a", "train"), ("u2", "b", "train")]
    artifacts = with_events(tmp_path, events, "ab")
    outcome = pairs(params(), artifacts)
    assert outcome.headline.startswith("no pairs")
    assert outcome.metrics == {"num_pairs": 0, "num_triggers": 0, "trigger_share": 0.0}
    assert artifacts.table("pairs", "pairs").schema["score"] == pl.Float32


def test_without_a_log_there_are_no_pairs_and_no_share_of_anything(tmp_path):
    artifacts = with_events(tmp_path, [("u1", "a", "test")], "ab")
    outcome = pairs(params(), artifacts)
    assert outcome.headline == "no pairs: there is no training interaction to learn them from"
    assert outcome.metrics == {"num_pairs": 0, "num_triggers": 0}


def test_an_event_of_an_unknown_item_is_named_and_nothing_written(tmp_path):
    artifacts = with_events(tmp_path, [*TRAIN, ("u1", "z", "train")], "abcd")
    with pytest.raises(BadInput, match=r"1 training .* 'z'"):
        pairs(params(), artifacts)
    assert not (tmp_path / "data/build/pairs").exists()


def in_parts(root, num_users=60):
    """A log of 12 items, its own table in parts of 7 events, so that users lie in two parts."""
    events = [(f"u{n:02d}", item, "train") for n in range(num_users) for item in random_items(n)]
    artifacts = with_events(root, events, "abcdefghijkl")
    log = artifacts.interactions().sort("user_id", maintain_order=True)
    folder = artifacts.layout.stage("ingest")
    (folder / "interactions.parquet").unlink()
    split(log, folder / "interactions", "user_id", "x", 7, unique=False)
    return artifacts


def random_items(user):
    return [item for item in "abcdefghijkl" if (user * 7 + ord(item) * 5) % 11 < 4]


@pytest.mark.parametrize("most", [5, 1000])
def test_pairs_of_a_log_in_parts_are_those_of_the_log_in_one_file(tmp_path, most):
    artifacts = in_parts(tmp_path)
    whole = pairs(params(max_users_per_item=most), artifacts)
    expected = artifacts.table("pairs", "pairs")
    assert len(expected) > 20
    shard_rows = parse_params(
        {"pairs": {"max_users_per_item": most}, "execution": {"shard_rows": 11}}, "params.yaml"
    )
    assert pairs(shard_rows, artifacts) == whole
    shards = artifacts.shards("pairs", "pairs")
    assert [part.rows for part in shards.parts[:-1]] == [11] * (len(shards.parts) - 1)
    assert artifacts.table("pairs", "pairs").equals(expected)
    assert len(artifacts.pairs()) == len(expected)
    assert not list(artifacts.layout.local.iterdir())


def test_no_pair_in_parts_is_an_empty_table(tmp_path):
    artifacts = in_parts(tmp_path, num_users=1)
    few = parse_params({"execution": {"shard_rows": 2}}, "params.yaml")
    assert pairs(few, artifacts).metrics["num_pairs"] == 0
    assert artifacts.table("pairs", "pairs").is_empty()
    assert len(artifacts.pairs()) == 0


def test_events_come_a_user_at_a_time_however_the_log_is_cut(tmp_path):
    artifacts = in_parts(tmp_path)
    pieces = list(artifacts.events())
    assert pl.concat(pieces).equals(artifacts.interactions())
    assert len(pieces) > 5
    seen = [set(piece["user_id"]) for piece in pieces]
    assert sum(map(len, seen)) == len(set().union(*seen))
