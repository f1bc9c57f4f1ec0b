"""A refresh of a published table: who gets which id, what stays, and when one must train again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import polars as pl
import pytest

from refresh_world import (
    NUM_PUBLISHED,
    Refreshing,
    batch,
    copy_of,
    names,
    refreshing_world,
    vectors_of_world,
)
from sidmint.errors import BadInput, Refused, RegistryConflict
from sidmint.publishing.difference import compare
from sidmint.publishing.history import list_versions, metric_history
from sidmint.publishing.lookup import lookup
from sidmint.publishing.neighbouring import like_item, open_release
from sidmint.publishing.placing import RETIRED
from sidmint.publishing.recommending import OpenRecommender
from sidmint.publishing.release import publish, rollback
from sidmint.publishing.snapshot import read_cases, read_history
from sidmint.publishing.verify import verify
from sidmint.tokenizers import storage

POLICIES = ("suffix", "reassign")


@pytest.fixture(scope="module", params=POLICIES)
def template(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Refreshing:
    return refreshing_world(tmp_path_factory.mktemp("world") / "w", request.param)


@pytest.fixture
def world(template: Refreshing, tmp_path: Path) -> Refreshing:
    return copy_of(template, tmp_path / "w")


@pytest.fixture(scope="module")
def by_suffix(tmp_path_factory: pytest.TempPathFactory) -> Refreshing:
    return refreshing_world(tmp_path_factory.mktemp("suffix") / "w")


@pytest.fixture
def suffixed(by_suffix: Refreshing, tmp_path: Path) -> Refreshing:
    return copy_of(by_suffix, tmp_path / "w")


def published_vectors() -> np.ndarray:
    return vectors_of_world(NUM_PUBLISHED, seed=1)


def test_no_published_id_moves_and_all_ids_differ(world: Refreshing) -> None:
    before = world.ids()
    for number in (1, 2):
        new = batch(names(40, f"new{number}"), vectors_of_world(40, seed=number + 1))
        made = world.refresh(new)
        assert (made.version, made.changed) == (f"v0001.{number}", True)
        after = world.ids()
        assert before.items() <= after.items()
        assert len(after) == len(before) + 40
        assert len(set(after.values())) == len(after)
        before = after
    assert verify(world.built.store, snapshot=world.built.layout.champion).problems == ()


def test_published_rows_stand_where_they_stood(world: Refreshing) -> None:
    before = world.table()
    world.refresh(batch(names(9, "a"), vectors_of_world(9, seed=2)))
    after = world.table()
    assert after.head(NUM_PUBLISHED).equals(before)
    assert after["item_id"][NUM_PUBLISHED:].to_list() == names(9, "a")
    assert after.schema == before.schema


def test_the_order_of_the_file_changes_nothing(world: Refreshing, tmp_path: Path) -> None:
    other = copy_of(world, tmp_path / "other")
    item_ids, vectors = names(40, "new"), vectors_of_world(40, seed=2)
    order = np.random.default_rng(0).permutation(40)
    world.refresh(batch(item_ids, vectors))
    other.refresh(batch([item_ids[row] for row in order], vectors[order]))
    files = [each.built.store.release().manifest["files"] for each in (world, other)]
    assert files[0] == files[1]


def test_a_new_item_that_meets_nobody_has_the_codes_of_the_tokenizer(world: Refreshing) -> None:
    vectors = vectors_of_world(60, seed=3)
    plan = world.plan(batch(names(60, "new"), vectors))
    assert plan.placed is not None
    model = storage.load(world.built.store.release().folder / "tokenizer")
    wanted = model.encode(plan.arrivals.vectors(slice(None)))
    codes = [f"code_{level}" for level in (1, 2, 3)]
    every = np.concatenate([world.table().select(codes).to_numpy(), wanted]).tolist()
    alone = [every.count(row) == 1 for row in wanted.tolist()]
    assert sum(alone) > 5
    got = plan.placed.table[NUM_PUBLISHED:].select(codes).to_numpy()
    assert (got[alone] == wanted[alone]).all()
    assert (got[:, :2] == wanted[:, :2]).all()


def test_the_index_finds_new_items_and_keeps_the_old_ones(world: Refreshing) -> None:
    vectors = vectors_of_world(12, seed=4)
    before = faiss.read_index(str(world.built.store.release().file("neighbours.faiss")))
    world.refresh(batch(names(12, "new"), vectors))
    release = world.built.store.release()
    after = faiss.read_index(str(release.file("neighbours.faiss")))
    assert after.ntotal == NUM_PUBLISHED + 12
    old = after.reconstruct_n(0, NUM_PUBLISHED)
    np.testing.assert_array_equal(old, before.reconstruct_n(0, NUM_PUBLISHED))
    rows = after.search(vectors, 1)[1][:, 0]
    assert rows.tolist() == list(range(NUM_PUBLISHED, NUM_PUBLISHED + 12))
    found = like_item(open_release(release), "new-0003", 5)
    assert len(found.items) == 5
    assert lookup(release, "new-0003").semantic_id == world.ids()["new-0003"]


def test_the_same_items_again_are_nothing_to_do(world: Refreshing) -> None:
    given = batch(names(10, "new"), vectors_of_world(10, seed=2))
    world.refresh(given)
    log = world.built.store.log.path.read_bytes()
    again = world.refresh(given)
    assert (again.version, again.changed) == ("v0001.1", False)
    assert world.refresh(batch(names(NUM_PUBLISHED), published_vectors())).changed is False
    assert world.built.store.log.path.read_bytes() == log
    assert world.built.store.versions() == ["v0001", "v0001.1"]


def test_changed_text_is_told_and_keeps_its_id(world: Refreshing) -> None:
    vectors = published_vectors()[:3].copy()
    vectors[1] = -vectors[1]
    plan = world.plan(batch(names(3), vectors))
    assert plan.changed == ("item-0001",)
    assert plan.found.num_known == 2
    assert plan.placed is None
    before = world.ids()
    new = batch(["item-0001", "new"], np.stack([vectors[1], vectors_of_world(1, seed=5)[0]]))
    world.refresh(new)
    assert before.items() <= world.ids().items()
    # What the id stands for is still the old text, and it is told again.
    assert world.plan(new).changed == ("item-0001",)


def test_changed_text_moves_its_id_only_when_asked_and_nobody_gets_the_old_one(
    world: Refreshing,
) -> None:
    before = world.ids()
    vectors = published_vectors()[:2].copy()
    vectors[1] = published_vectors()[77]
    made = world.refresh(batch(names(2), vectors), move_changed=True)
    after = world.ids()
    moved = {item for item in before if before[item] != after[item]}
    assert moved == {"item-0001"} == set(made.manifest["refresh"]["moved"])
    assert len(set(after.values())) == NUM_PUBLISHED
    release = world.built.store.release()
    spent = pl.read_parquet(release.file(RETIRED))
    assert spent["semantic_id"].to_list() == [before["item-0001"]]
    index = faiss.read_index(str(release.file("neighbours.faiss")))
    np.testing.assert_allclose(index.reconstruct(1), vectors[1], atol=1e-3)
    assert world.plan(batch(names(2), vectors), move_changed=True).placed is None
    # Its old vector, as a new item's, would have got the old id.
    world.refresh(batch(["late"], published_vectors()[1:2]))
    assert world.ids()["late"] != before["item-0001"]
    assert pl.read_parquet(world.built.store.release().file(RETIRED)).equals(spent)


def test_where_a_person_must_approve_a_refresh_adds_ids_and_moves_none(world: Refreshing) -> None:
    world.built.set_params(registry={"path": "registry", "model_name": "m", "approval": "person"})
    vectors = published_vectors()[:2].copy()
    vectors[1] = published_vectors()[77]
    with pytest.raises(Refused, match=r"registry\.approval is person"):
        world.refresh(batch(names(2), vectors), move_changed=True)
    assert world.built.store.versions() == ["v0001"]
    assert world.refresh(batch(["late"], vectors[1:])).version == "v0001.1"


def test_a_shifted_batch_is_told_to_retrain_and_nothing_is_written(world: Refreshing) -> None:
    far = batch(names(60, "far"), vectors_of_world(60, seed=6, shift=3.0))
    files = world.built.store.release().manifest["files"]
    with pytest.raises(Refused, match=r"(?s)v0001 cannot take these items as it is: retrain") as no:
        world.refresh(far)
    assert "refresh_error_ratio is" in str(no.value)
    assert "refresh_shift_" in str(no.value)
    assert world.built.store.versions() == ["v0001"]
    assert world.built.store.release().manifest["files"] == files


def test_a_figure_that_is_missing_refuses(suffixed: Refreshing) -> None:
    rules = {"rules": {"retention_at_100": {"min": 0.1}}}
    suffixed.built.set_params(refresh=rules)
    given = batch(names(9, "new"), vectors_of_world(9, seed=2))
    with pytest.raises(Refused, match="retention_at_100 is missing"):
        suffixed.refresh(given)


def test_figures_of_the_whole_table_are_measured_anew(suffixed: Refreshing) -> None:
    before = suffixed.built.store.release().metrics
    suffixed.refresh(batch(names(40, "new"), vectors_of_world(40, seed=2)))
    release = suffixed.built.store.release()
    after, codes = release.metrics, suffixed.table().select("code_1", "code_2", "code_3")
    assert after["num_items"] == NUM_PUBLISHED + 40
    assert after["num_distinct_codes"] == codes.unique().height
    assert after["collision_rate"] == pytest.approx(1 - codes.unique().height / codes.height)
    # What takes held-out events to know is the trained version's, and the manifest says which.
    assert after["retention_at_100"] == before["retention_at_100"]
    assert "retention_at_100" not in release.manifest["refresh"]["measured"]
    assert "collision_rate" in release.manifest["refresh"]["measured"]
    old = before["num_items"] * (1 - before["collision_rate"])
    added = 40 * (1 - after["refresh_collision_rate"])
    assert after["num_distinct_codes"] == pytest.approx(old + added)


def test_the_verdict_says_what_it_was_about(suffixed: Refreshing) -> None:
    first = suffixed.built.store.champion()
    assert first is not None
    suffixed.refresh(batch(names(9, "new"), vectors_of_world(9, seed=2)))
    release = suffixed.built.store.release()
    verdict = release.verdict
    assert verdict["passed"]
    assert verdict["champion"] == "v0001"
    assert verdict["champion_sha256"] == first.manifest_sha256
    assert verdict["table_sha256"] == release.manifest["files"]["sids.parquet"]["sha256"]
    assert verdict["thresholds_sha256"] == suffixed.built.params.refresh.digest()


def test_every_list_of_versions_knows_the_minor_ones(suffixed: Refreshing) -> None:
    built = suffixed.built
    for number in (1, 2):
        suffixed.refresh(batch(names(9, f"n{number}"), vectors_of_world(9, seed=number)))
    rows = list_versions(built.store)
    assert [row.version for row in rows] == ["v0001", "v0001.1", "v0001.2"]
    assert [row.parent for row in rows] == [None, "v0001", "v0001.1"]
    assert [row.champion for row in rows] == [False, False, True]
    values = metric_history(built.store, "num_items").values
    assert [value.value for value in values] == [150, 159, 168]
    difference = compare(built.store.release("v0001"), built.store.release("v0001.2"))
    assert (len(difference.items.added), difference.items.moved) == (18, ())
    assert difference.codes is not None
    assert difference.codes.raw == (1, 1, 1)
    assert [entry["action"] for entry in built.store.log.entries()] == ["publish"] + ["refresh"] * 2
    history = read_history(built.layout)
    assert history is not None
    assert [version["version"] for version in history] == ["v0001", "v0001.1", "v0001.2"]


def test_the_champions_cases_were_answered_over_the_trained_items(suffixed: Refreshing) -> None:
    before = read_cases(suffixed.built.layout, "v0001")
    suffixed.refresh(batch(names(9, "a"), vectors_of_world(9, seed=2)))
    after = read_cases(suffixed.built.layout, "v0001.1")
    assert before is not None
    assert after is not None
    assert after.num_items == before.num_items == NUM_PUBLISHED
    assert after.table.equals(before.table)


def test_rollback_leaves_the_refresh_and_the_next_number_is_a_new_one(suffixed: Refreshing) -> None:
    built = suffixed.built
    given = batch(names(9, "new"), vectors_of_world(9, seed=2))
    suffixed.refresh(given)
    assert rollback(built.params, built.layout, by="test").version == "v0001"
    assert "new-0000" not in suffixed.ids()
    assert suffixed.refresh(given).version == "v0001.2"
    assert verify(built.store, snapshot=built.layout.champion).problems == ()


def test_the_trained_table_cannot_be_published_over_its_own_refresh(suffixed: Refreshing) -> None:
    """It would take the new items' ids away again; a table that was trained anew gets v0002."""
    built = suffixed.built
    suffixed.refresh(batch(names(9, "new"), vectors_of_world(9, seed=2)))
    built.judge("one")
    made = publish(built.params, built.artifacts, built.layout, "one", by="test")
    assert (made.version, made.changed) == ("v0001.1", False)
    built.build("two", {item: (n % 4, n % 8) for n, item in enumerate(names(NUM_PUBLISHED))})
    assert publish(built.params, built.artifacts, built.layout, "two", by="t").version == "v0002"


def test_two_refreshes_of_one_champion_cannot_both_win(suffixed: Refreshing) -> None:
    from sidmint.publishing.refresh import publish_refresh

    built = suffixed.built
    plans = [
        suffixed.plan(batch(names(9, kind), vectors_of_world(9, seed=2))) for kind in ("a", "b")
    ]
    publish_refresh(built.layout, built.store, plans[0])
    with pytest.raises(RegistryConflict, match="give the refresh again"):
        publish_refresh(built.layout, built.store, plans[1])
    assert built.store.versions() == ["v0001", "v0001.1"]


def test_a_recommender_of_items_answers_over_those_it_was_trained_on(world: Refreshing) -> None:
    before = OpenRecommender(world.built.store.release()).next(["item-0000"], 3)
    assert [item.item_id for item in before.items][:2] == ["item-0007", "item-0003"]
    world.refresh(batch(names(9, "new"), vectors_of_world(9, seed=2)))
    after = OpenRecommender(world.built.store.release()).next(["item-0000"], 3)
    assert after.items == before.items
    with pytest.raises(BadInput, match="'new-0003' got its id by a refresh"):
        OpenRecommender(world.built.store.release()).next(["new-0003"], 3)
    with pytest.raises(BadInput, match=r"v0001\.1 has no item 'neu'"):
        OpenRecommender(world.built.store.release()).next(["neu"], 3)


def test_a_recommender_of_codes_puts_new_items_next_without_training(tmp_path: Path) -> None:
    """After item 0 came items 7 and 3, and never another; what is like 7 stands next to them."""
    world = refreshing_world(tmp_path, recommender="causal")
    world.refresh(batch(["new-0000", "new-0001"], published_vectors()[[7, 50]]))
    found = OpenRecommender(world.built.store.release()).next(["item-0000"], 3)
    assert {item.item_id for item in found.items} == {"item-0007", "item-0003", "new-0000"}
    assert len(OpenRecommender(world.built.store.release()).next(["new-0001"], 3).items) == 3


def test_a_recommender_of_ids_that_moved_is_not_published(world: Refreshing) -> None:
    other = batch(["item-0001"], published_vectors()[77:78])
    world.refresh(other, move_changed=True)
    with pytest.raises(BadInput, match=r"v0001\.1 holds no recommender.*that moved ids"):
        OpenRecommender(world.built.store.release()).next(["item-0000"], 3)


def damage_table(folder: Path) -> None:
    path = folder / "sids.parquet"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def lose_tokenizer(folder: Path) -> None:
    (folder / "tokenizer" / "tokenizer.safetensors").unlink()


@pytest.mark.parametrize("damage", [damage_table, lose_tokenizer])
def test_a_damaged_champion_is_not_built_upon(
    suffixed: Refreshing, damage: Callable[[Path], None]
) -> None:
    damage(suffixed.built.store.release().folder)
    with pytest.raises(Refused, match="v0001 is damaged"):
        suffixed.refresh(batch(names(9, "new"), vectors_of_world(9, seed=2)))


def test_a_group_without_a_free_code_is_told_to_retrain(tmp_path: Path) -> None:
    world = refreshing_world(tmp_path / "w", "reassign")
    layout = world.built.store.release().manifest["semantic_ids"]
    assert layout["suffix_size"] == 0
    same = np.repeat(vectors_of_world(1, seed=2), 33, axis=0)
    world.built.set_params(refresh={"rules": {"resolved_collision_rate": {"max": 1}}})
    with pytest.raises(Refused, match="refresh_without_room is"):
        world.refresh(batch(names(33, "new"), same))
