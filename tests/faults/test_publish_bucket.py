"""A registry in a bucket promises what one in a folder does: against a real S3 server."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from parted_world import put_in_parts, some_codes
from releases import FACTS, Built, build_workspace, files_of, publish_bare, race
from s3 import S3, Answer, Environ, keys
from sidmint.errors import BadInput, Refused, RegistryConflict, StorageFailed
from sidmint.layout import registry_path
from sidmint.publishing import objects
from sidmint.publishing.bucket import BucketBackend
from sidmint.publishing.history import list_versions
from sidmint.publishing.lookup import items_of, lookup
from sidmint.publishing.release import publish, rollback
from sidmint.publishing.store import VersionStore
from sidmint.publishing.verify import verify

ADDRESS = "s3://tables/shop"
MUTATING = ("_put", "upload", "remove")


def opened(folder: Path) -> VersionStore:
    """The registry, as a process sees it whose copies lie in `folder`."""
    return VersionStore(BucketBackend(ADDRESS, folder))


def intact(store: VersionStore) -> bool:
    found = verify(store)
    assert found.problems == ()
    return True


def test_what_was_published_is_read_elsewhere(s3: S3, tmp_path: Path) -> None:
    ours, theirs = opened(tmp_path / "ours"), opened(tmp_path / "theirs")
    assert publish_bare(ours, b"one") == "v0001"
    assert publish_bare(theirs, b"two") == "v0002"
    assert ours.release().file("sids.parquet").read_bytes() == b"two"
    assert theirs.release("v0001").file("sids.parquet").read_bytes() == b"one"
    assert theirs.release("v0001").has("tokenizer/tokenizer.json")
    tokenizer = theirs.release("v0001").whole("tokenizer")
    assert [path.name for path in tokenizer.iterdir()] == ["tokenizer.json"]
    assert ours.point_to("v0001", "v0002", {**FACTS, "action": "rollback"}).version == "v0001"
    assert theirs.champion() == ours.champion()
    assert [row.status for row in list_versions(theirs)] == ["champion", "published"]
    assert intact(theirs)


def test_a_copy_on_this_disk_is_read_once(s3: S3, tmp_path: Path) -> None:
    publish_bare(opened(tmp_path / "writer"))
    reader = opened(tmp_path / "reader")
    reader.release().file("sids.parquet")
    before = len(s3.requests)
    reader.release("v0001").file("sids.parquet")
    asked = [path for _, path in s3.requests[before:]]
    assert not [path for path in asked if path.endswith("sids.parquet")]


def test_a_bucket_that_was_emptied_is_not_read_from_old_copies(s3: S3, tmp_path: Path) -> None:
    store = opened(tmp_path)
    publish_bare(store, b"old")
    client = boto3.client("s3")
    for key in keys():
        client.delete_object(Bucket="tables", Key=key)
    with pytest.raises(BadInput, match="nothing is published"):
        store.release()
    publish_bare(store, b"new")
    assert store.release("v0001").file("sids.parquet").read_bytes() == b"new"


@pytest.mark.slow
def test_of_eight_that_publish_at_once_one_wins(s3: S3, tmp_path: Path) -> None:
    racers, rounds = 8, 4
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(racers), context.Queue()
    processes = [
        context.Process(target=race, args=(ADDRESS, number, rounds, start, results, str(tmp_path)))
        for number in range(racers)
    ]
    for process in processes:
        process.start()
    told = [results.get(timeout=120) for _ in range(racers * rounds)]
    for process in processes:
        process.join()
    won = Counter(number for number, _, outcome in told if outcome == "won")
    assert won == dict.fromkeys(range(rounds), 1)
    store = opened(tmp_path / "reader")
    assert [entry["version"] for entry in store.log.entries()] == store.versions()
    assert len(store.versions()) == rounds
    assert intact(store)


def test_whoever_judged_an_older_champion_is_told(s3: S3, tmp_path: Path) -> None:
    store = opened(tmp_path)
    publish_bare(store)
    with pytest.raises(RegistryConflict, match="v0001 is champion now"):
        store.publish(files_of({"sids.parquet": b"x"}), None, FACTS)
    assert store.versions() == ["v0001"]


class Killed(BaseException):
    """A process that is no more."""


def kill_before(step: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The `step`-th call that changes the bucket, and all after it, are not made."""
    calls = [0]

    def counted(original: Any) -> Any:
        def call(self: Any, *arguments: Any) -> Any:
            calls[0] += 1
            if calls[0] >= step:
                raise Killed
            return original(self, *arguments)

        return call

    for name in MUTATING:
        monkeypatch.setattr(objects.Objects, name, counted(getattr(objects.Objects, name)))
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("move", ["publish", "rollback"])
def test_killed_before_any_write_the_champion_is_right_and_the_next_publish_heals(
    s3: S3, tmp_path: Path, move: str
) -> None:
    step = 0
    while True:
        step += 1
        store = opened(tmp_path / f"{step}")
        publish_bare(store, b"1")
        publish_bare(store, b"2")
        before, ahead = store.versions()[-2:]
        allowed = {ahead, before if move == "rollback" else f"v{int(ahead[1:]) + 1:04d}"}
        survived = True
        with pytest.MonkeyPatch.context() as patch:
            kill_before(step, patch)
            try:
                if move == "publish":
                    publish_bare(store, b"3")
                else:
                    store.point_to(before, ahead, {**FACTS, "action": "rollback"})
            except Killed:
                survived = False
        reader = opened(tmp_path / f"reader{step}")
        champion = reader.champion()
        assert champion is not None
        assert champion.version in allowed
        assert reader.release().file("sids.parquet").read_bytes() in (b"1", b"2", b"3")
        publish_bare(reader, b"next")
        assert reader.log.entries()[-2]["hash"] == champion.move_hash
        assert intact(reader)
        if survived:
            break
    assert step == (6 if move == "publish" else 3)  # a change more, and none was left to kill


def test_every_changed_object_is_found(s3: S3, tmp_path: Path) -> None:
    store = opened(tmp_path / "writer")
    publish_bare(store, b"1")
    publish_bare(store, b"2")
    client = boto3.client("s3")
    for key in keys():
        if "/claims/" in key:
            continue
        whole = client.get_object(Bucket="tables", Key=key)["Body"].read()
        changed = bytes([whole[0] ^ 1]) + whole[1:]
        client.put_object(Bucket="tables", Key=key, Body=changed)
        assert verify(store).problems, key
        client.put_object(Bucket="tables", Key=key, Body=whole)
    assert intact(store)


def test_of_a_table_in_parts_those_are_fetched_that_hold_the_answer(s3: S3, tmp_path: Path) -> None:
    built = build_workspace(tmp_path / "w")
    built.set_params(registry={"path": ADDRESS, "model_name": "m"})
    built.build("one", some_codes(1))
    put_in_parts(built, "one", shard_rows=10)
    publish(built.params, built.artifacts, built.layout, "one", by="test")
    assert len([key for key in keys() if "/sids/part-" in key]) == 5
    reader = opened(tmp_path / "reader")
    assert intact(reader)
    release, first, last = reader.release(), min(some_codes(1)), max(some_codes(1))
    with pytest.raises(BadInput, match="no item 'A' among its"):
        lookup(opened(tmp_path / "another").release(), "A")
    whole = str(lookup(release, first).semantic_id)
    assert items_of(release, whole)["item_id"].to_list() == [first]
    assert [path.name for path in release.folder.glob("sids/part-*")] == ["part-00000.parquet"]
    client = boto3.client("s3")
    part = "versions/v0001/sids/part-00004.parquet"
    client.put_object(Bucket="tables", Key=f"shop/{part}", Body=b"other")
    with pytest.raises(Refused, match=r"sids/part-00004\.parquet was changed"):
        lookup(release, last)
    assert len(verify(reader).problems) == 1


def test_a_changed_object_is_not_read(s3: S3, tmp_path: Path) -> None:
    publish_bare(opened(tmp_path / "writer"))
    client = boto3.client("s3")
    client.put_object(Bucket="tables", Key="shop/versions/v0001/sids.parquet", Body=b"tablE")
    reader = opened(tmp_path / "reader")
    with pytest.raises(Refused, match=r"sids\.parquet was changed"):
        reader.release().file("sids.parquet")
    assert not list((tmp_path / "reader").rglob("*sids*"))


@pytest.mark.parametrize("key", ["stray", "versions/v0001/stray", "versions/v0009/sids.parquet"])
def test_a_stray_object_is_found(s3: S3, tmp_path: Path, key: str) -> None:
    store = opened(tmp_path)
    publish_bare(store)
    boto3.client("s3").put_object(Bucket="tables", Key=f"shop/{key}", Body=b"?")
    assert [
        problem for problem in verify(store).problems if "stray" in problem or "v0009" in problem
    ]


def test_a_name_that_leads_out_of_its_version_is_refused(s3: S3, tmp_path: Path) -> None:
    store = opened(tmp_path / "kept")
    publish_bare(store)
    key = "shop/versions/v0001/../../../../evil"
    boto3.client("s3").put_object(Bucket="tables", Key=key, Body=b"?")
    with pytest.raises(Refused, match="leads out of its version"):
        verify(store)
    assert not list(tmp_path.rglob("evil"))


def failing_on(method: str, ending: str, times: int, how: str) -> Any:
    """A fault on the first `times` requests of `method` whose path has `ending`."""
    left = [times]

    def fault(environ: Environ, answer: Answer) -> Any:
        if environ["REQUEST_METHOD"] != method or ending not in environ["PATH_INFO"] or not left[0]:
            return None
        left[0] -= 1
        if how == "slow":
            time.sleep(1)
            return None
        if how == "lost":
            answer.perform()
        return answer.status("500 Internal Server Error", "InternalError")

    return fault


@pytest.mark.parametrize("how", ["refused", "lost", "slow"])
@pytest.mark.parametrize(
    "ending", ["claims/", "sids.parquet", "manifest.json", "champion.json", "log.jsonl"]
)
def test_an_answer_that_is_late_lost_or_500_once_is_asked_for_again(
    s3: S3, tmp_path: Path, ending: str, how: str
) -> None:
    store = opened(tmp_path / "writer")
    publish_bare(store, b"1")
    with s3.failing(failing_on("PUT", ending, 1, how)):
        publish_bare(store, b"2")
    reader = opened(tmp_path / "reader")
    assert reader.release().file("sids.parquet").read_bytes() == b"2"
    assert len(reader.log.entries()) == 2
    assert intact(reader)


@pytest.mark.parametrize("ending", ["sids.parquet", "manifest.json", "champion.json"])
def test_a_bucket_that_stays_out_of_order_moves_nothing(
    s3: S3, tmp_path: Path, ending: str
) -> None:
    store = opened(tmp_path)
    publish_bare(store, b"1")
    with (
        s3.failing(failing_on("PUT", ending, 1000, "refused")),
        pytest.raises(StorageFailed, match="stays as it was"),
    ):
        publish_bare(store, b"2")
    assert store.release().file("sids.parquet").read_bytes() == b"1"
    publish_bare(store, b"3")
    assert intact(store)


def test_a_log_that_cannot_be_written_says_that_the_champion_moved(s3: S3, tmp_path: Path) -> None:
    store = opened(tmp_path)
    with (
        s3.failing(failing_on("PUT", "log.jsonl", 1000, "refused")),
        pytest.raises(StorageFailed, match="v0001 is champion, and the next"),
    ):
        publish_bare(store, b"1")
    assert store.release().version == "v0001"
    assert store.recover()
    assert intact(store)


def test_a_store_without_conditions_is_refused_at_once(s3: S3, tmp_path: Path) -> None:
    def forgetful(environ: Environ, answer: Answer) -> None:
        environ.pop("HTTP_IF_NONE_MATCH", None)
        environ.pop("HTTP_IF_MATCH", None)

    with (
        s3.failing(forgetful),
        pytest.raises(BadInput, match="does not honour conditional writes"),
    ):
        publish_bare(opened(tmp_path))
    assert keys() == []


def test_a_bucket_that_is_not_there_is_named(s3: S3, tmp_path: Path) -> None:
    store = VersionStore(BucketBackend("s3://elsewhere/shop", tmp_path))
    with pytest.raises(BadInput, match="there is no bucket 'elsewhere'"):
        store.release()


def test_a_server_that_is_gone_is_our_error(s3: S3, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(StorageFailed, match="did not answer as it should"):
            opened(tmp_path).champion()


@pytest.mark.parametrize(
    "path",
    ["s3://tables", "s3://tables/", "s3://Tables/x", "s3://a/x", "s3://tables/../x", "s3:///x",
     "s3://tables/x/", "s3://tables//x", "s3://us er:pw@host/x", "gs://tables/x", "file:///tmp/x"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match="s3://BUCKET/PREFIX"):
        registry_path(path)


def on_bucket(root: Path) -> Built:
    built = build_workspace(root)
    values = yaml.safe_load(built.layout.params.read_text())
    values["registry"]["path"] = registry_path(ADDRESS)
    built.layout.params.write_text(yaml.safe_dump(values))
    return built


@pytest.mark.slow
def test_two_people_on_two_clones_see_one_registry(s3: S3, tmp_path: Path) -> None:
    ours, theirs = on_bucket(tmp_path / "ours"), on_bucket(tmp_path / "theirs")
    first = publish(ours.params, ours.artifacts, ours.layout, "one", by="ann")
    assert (first.version, first.where) == ("v0001", f"{ADDRESS}/versions/v0001")
    with pytest.raises(RegistryConflict, match="v0001 is champion now"):
        publish(theirs.params, theirs.artifacts, theirs.layout, "two", by="bob")
    back = rollback(theirs.params, theirs.layout, "v0001", by="bob")
    assert not back.changed
    assert back.manifest["created_by"] == "ann"
    assert theirs.layout.champion.read_bytes() == ours.layout.champion.read_bytes()
    theirs.build("two", codes={"a": (0, 1), "b": (0, 1), "c": (0, 2), "d": (2, 2)})
    second = publish(theirs.params, theirs.artifacts, theirs.layout, "two", by="bob")
    assert second.previous == "v0001"
    undone = rollback(ours.params, ours.layout, by="ann")
    assert (undone.version, undone.previous) == ("v0001", "v0002")
