"""Figures of a table made elsewhere: those of the stages, however the table is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from foreign_tables import (
    FORMS,
    IDS,
    NUM_ITEMS,
    NUM_LEVELS,
    SIZE,
    columns,
    make_codes,
    make_log,
    make_vectors,
    with_suffix,
)
from sidmint.diagnostics.diagnosis import Subject, diagnose_subject
from sidmint.evaluation import held_out_cases, item_to_item, random_negatives
from sidmint.inspection import Inspection, inspect_table
from sidmint.inspection.behaviour import read_behaviour
from sidmint.params import PairsParams, Params, parse_params
from sidmint.seeds import generator_for
from sidmint.types import Codebooks, Pairs

PARAMS = parse_params({"evaluate": {"cutoffs": [5, 20], "negatives": 3}}, "test")


def look(path: Path, **options) -> Inspection:
    return inspect_table(path, options.pop("params", PARAMS), **options)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    columns(make_codes(), "code_{}").write_parquet(tmp_path / "table.parquet")
    return tmp_path / "table.parquet"


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    np.save(tmp_path / "vectors.npy", make_vectors())
    return tmp_path / "vectors.npy"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    make_log().write_parquet(tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_gives_the_same_figures(form: str, table: Path) -> None:
    path = table.with_name(form)
    FORMS[form](path, make_codes())
    found, plain = look(path), look(table)
    assert found.metrics == plain.metrics
    assert found.levels.equals(plain.levels)
    assert found.table.item_ids.to_list() == IDS


def test_offsets_and_a_suffix_change_no_figure_of_the_codes(table: Path) -> None:
    path = table.with_name("whole.npy")
    np.save(path, with_suffix(make_codes()) + np.array([0, 8, 16, 24]))
    plain = look(table, sizes=[SIZE]).metrics
    found = dict(look(path).metrics)
    assert found.pop("resolved_collision_rate") == 0
    assert found.pop("suffixed_item_rate") == plain["collided_item_rate"] > 0
    assert found == plain


def test_the_order_of_rows_changes_nothing(table: Path, vectors: Path, log: Path) -> None:
    order = np.random.default_rng(0).permutation(NUM_ITEMS)
    pl.read_parquet(table)[order].write_parquet(table.with_name("turned.parquet"))
    np.save(vectors.with_name("turned.npy"), np.load(vectors)[order])
    plain = look(table, vectors_path=vectors, interactions_path=log)
    turned = look(
        table.with_name("turned.parquet"),
        vectors_path=vectors.with_name("turned.npy"),
        interactions_path=log,
    )
    by_chance = {"auc_embedding", "auc_prefix", "auc_exact"}  # negatives are drawn by row
    by_chance |= {name for name in plain.metrics if name.endswith("_raw")}  # added row by row
    for name, value in plain.metrics.items():
        if name not in by_chance:
            assert turned.metrics[name] == pytest.approx(value, rel=1e-5), name


def test_figures_are_those_of_the_diagnose_stage_on_the_same_codes(
    table: Path, vectors: Path
) -> None:
    """With the vectors as latent space and the implied codebooks as its own."""
    from sidmint.inspection.implied import implied_codebooks

    points, codes = make_vectors(), make_codes()
    implied = implied_codebooks(points, codes)
    assert all(len(used) == SIZE for used in implied.used), "no dead code, so places are codes"
    subject = Subject(
        vectors=points,
        latent=points,
        codes=codes,
        codebooks=Codebooks(implied.books.levels),
        reconstruct=implied.reconstruct,
    )
    none = np.empty(0, dtype=np.int32)
    expected = diagnose_subject(
        subject, Pairs(none, none, none.astype(np.float32)), [1.0], 0.95, np.arange(NUM_ITEMS)
    ).metrics()
    found = look(table, vectors_path=vectors).metrics
    for name in ("latent", "quantized"):
        expected = {key: value for key, value in expected.items() if not key.endswith(name)}
    assert expected.keys() <= found.keys()
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_hit_rates_are_those_of_the_evaluation_on_the_last_event(
    table: Path, vectors: Path, log: Path
) -> None:
    events, points, codes = make_log(), make_vectors(), make_codes()
    users = events["user_id"].rank("dense").to_numpy().astype(np.int64)
    positions = np.tile(np.arange(6), len(users) // 6)
    rows = events["item_id"].cast(pl.Int64).to_numpy()
    cases = held_out_cases(users, positions, rows, positions == 5)
    negatives = random_negatives(
        cases, NUM_ITEMS, 3, generator_for(PARAMS.seed, "evaluate", "negatives")
    )
    found = look(table, vectors_path=vectors, interactions_path=log)
    from sidmint.inspection.implied import implied_codebooks

    implied = implied_codebooks(points, codes)
    expected = item_to_item(points, codes, implied.reconstruct, cases, negatives)
    assert found.metrics["num_cases"] == len(cases)
    for cutoff in (5, 20):
        rates = expected.hit_rates(cutoff)
        assert found.metrics[f"hr_original_at_{cutoff}"] == rates["original"]
        assert found.metrics[f"hr_at_{cutoff}"] == rates["reconstructed"]
        assert found.metrics[f"prefix_hr_at_{cutoff}"] == rates["prefix"]
    assert found.metrics["auc_embedding"] == expected.auc_embedding
    alone = look(table, interactions_path=log).metrics
    for name in ("prefix_hr_at_5", "prefix_hr_at_20", "auc_prefix", "auc_exact", "num_cases"):
        assert alone[name] == found.metrics[name], "ids alone rank as ids beside vectors do"


def test_pairs_never_see_the_last_event_of_a_user(log: Path) -> None:
    """Another last item for everybody leaves every pair and every score as it was."""
    ids = pl.Series("item_id", IDS)
    last = pl.col("timestamp") == pl.col("timestamp").max().over("user_id")
    swapped = make_log().with_columns(item_id=pl.when(last).then(pl.lit("7")).otherwise("item_id"))
    swapped.write_parquet(log.with_name("swapped.parquet"))
    before, after = (
        read_behaviour(path, ids, "table", PairsParams(), 0)
        for path in (log, log.with_name("swapped.parquet"))
    )
    assert len(before.pairs) > 0
    for side in ("triggers", "targets", "scores"):
        np.testing.assert_array_equal(getattr(before.pairs, side), getattr(after.pairs, side))
    assert set(after.cases.targets.tolist()) == {7}


def test_an_event_on_an_item_that_the_table_lacks_parts_its_neighbours(log: Path) -> None:
    """u: 1, other, 2. No two neighbours are known, so nothing is asked."""
    pl.DataFrame({"user": ["u"] * 3, "item": ["1", "other", "2"]}).write_csv(log)
    path = log.rename(log.with_suffix(".csv"))
    found = read_behaviour(path, pl.Series("item_id", IDS), "table", PairsParams(), 0)
    assert len(found.cases) == 0
    assert "66.7% are on items of the table" in found.words


def test_pairs_of_a_log_make_collisions_benign(table: Path, vectors: Path) -> None:
    """Two items in one code whom two users took together are no conflict."""
    codes = make_codes()
    codes[:] = np.arange(NUM_ITEMS)[:, None] // [50, 7, 1] % [8, 8, 8]
    codes[11] = codes[10]
    columns(codes, "code_{}").write_parquet(table)
    events = [(user, item) for user in "ab" for item in ("10", "11", "99")]
    log = table.with_name("log.csv")
    pl.DataFrame(events, schema=["user", "item"], orient="row").write_csv(log)
    alone = look(table, vectors_path=vectors, suffix=False).metrics
    beside = look(table, vectors_path=vectors, interactions_path=log, suffix=False).metrics
    assert alone["benign_pair_share"] == 0
    assert beside["benign_pair_share"] > 0
    assert beside["conflict_rate"] == alone["conflict_rate"] - 2 / NUM_ITEMS


def test_vectors_in_another_order_are_doubted(table: Path, vectors: Path) -> None:
    """Codes made of the vectors explain them; beside shuffled ones they do no more than chance."""
    points = make_vectors()
    codes = np.digitize(points[:, :3], np.quantile(points[:, 0], np.arange(1, 8) / 8))
    columns(codes.astype(np.int32), "code_{}").write_parquet(table)
    assert "in this order?" not in " ".join(look(table, vectors_path=vectors).read)
    np.save(vectors, points[np.random.default_rng(0).permutation(NUM_ITEMS)])
    assert "in this order?" in " ".join(look(table, vectors_path=vectors).read)


def test_a_share_of_seen_sizes_can_refuse_and_cannot_pass(table: Path) -> None:
    """Codes above the largest in use are dead and unseen: the true share is never better."""
    rules = {"perplexity_share_1": {"min": 0.9}, "gini_level": {"max": 0.01}}
    params = parse_params({"gate": {"rules": rules, "champion": {}}}, "test")
    seen, told = (look(table, params=params, sizes=sizes) for sizes in (None, [SIZE]))
    assert seen.metrics == told.metrics
    assert "--sizes" in seen.not_applied["perplexity_share_1"]
    assert "perplexity_share_1" not in told.not_applied
    refused = {rule.name for rule in seen.verdict.rules}
    assert refused == {f"gini_{level}" for level in range(1, NUM_LEVELS + 1)}
    larger = look(table, params=params, sizes=[4 * SIZE]).metrics
    for level in range(1, NUM_LEVELS + 1):
        assert larger[f"perplexity_share_{level}"] < told.metrics[f"perplexity_share_{level}"]
        assert larger[f"dead_code_share_{level}"] > told.metrics[f"dead_code_share_{level}"]
        assert larger[f"gini_{level}"] > told.metrics[f"gini_{level}"]


def test_a_number_that_is_none_refuses(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sidmint.inspection import inspection

    real = inspection.measure

    def broken(*arguments, **options):
        figures = real(*arguments, **options)
        figures.metrics["collision_rate"] = float("nan")
        return figures

    monkeypatch.setattr(inspection, "measure", broken)
    found = look(table, params=Params())
    assert not found.verdict.passed
    assert any("no finite number" in reason for reason in found.verdict.blocked_by)


def test_a_gate_without_one_rule_that_can_be_applied_lets_nothing_pass(table: Path) -> None:
    rules = {"cold_coverage": {"min": 0.1}}
    params = parse_params({"gate": {"rules": rules, "champion": {}}}, "test")
    assert look(table, params=params).verdict.blocked_by == ("no critical rule was judged",)
