"""diagnose, evaluate, recommend and segments on a small catalogue, with a real rq_kmeans.

The world: 16 topics of 20 items each, vectors near their topic, users who stay in a topic.
"""

import hashlib
import itertools
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sidmint.artifacts import Artifacts
from sidmint.contracts import METRICS, describe_metric
from sidmint.errors import BadInput
from sidmint.gate.thresholds import needs_events
from sidmint.layout import Layout
from sidmint.params import parse_params
from sidmint.publishing.snapshot import CHAMPION_TABLE
from sidmint.semantic_ids import resolve_by_suffix
from sidmint.stages.diagnose import diagnose
from sidmint.stages.evaluate import evaluate
from sidmint.stages.recommend import CHAMPION, recommend
from sidmint.stages.segments import segments
from sidmint.tokenizers import make_tokenizer, storage
from sidmint.types import Codes

NAME = "rq_kmeans"
NUM_ITEMS, NUM_TOPICS = 320, 16
COLD_STANDINGS = ["withheld", "below_core", "without_events"]
SETTINGS = {
    "train": {"tokenizers": [NAME]},
    "tokenizers": {NAME: {"sizes": [16, 8, 8]}},
    "evaluate": {"cutoffs": [5, 20], "negatives": 2},
    "diagnose": {"noise": [0.25, 2.0], "geometry_sample": 200, "worst_buckets": 3},
}
PARAMS = parse_params(SETTINGS, "test")


def with_settings(**sections):
    return parse_params(SETTINGS | sections, "test")


RECOMMENDING = with_settings(recommend={"recommender": "last_item", "seeds": 2})


def write_ingest(artifacts, rng):
    topics = np.arange(NUM_ITEMS) % NUM_TOPICS
    cold = np.arange(NUM_ITEMS) >= NUM_ITEMS - 20
    events = []
    for user in range(400):
        own = np.flatnonzero(topics == rng.integers(NUM_TOPICS))
        walk = rng.permutation(own)[:6]
        warm = [place for place, item in enumerate(walk) if not cold[item]]
        for place, item in enumerate(walk):
            split = "cold" if cold[item] else "test" if place == warm[-1] else "train"
            events.append((f"u{user:03}", f"i{item:03}", place, None, split))
    schema = dict.fromkeys(("user_id", "item_id"), pl.String) | {
        "position": pl.Int32,
        "timestamp": pl.Int64,
        "split": pl.String,
    }
    interactions = pl.DataFrame(events, schema=schema, orient="row")
    counts = interactions.filter(split="train").group_by("item_id").len("num_train")
    items = pl.DataFrame(
        {
            "item_id": [f"i{item:03}" for item in range(NUM_ITEMS)],
            "title": [f"item {item} of topic {topics[item]}" for item in range(NUM_ITEMS)],
            "categories": [f"topic {topic}" for topic in topics],
            "cold": cold,
            "standing": np.where(cold, np.array(COLD_STANDINGS * 107)[:NUM_ITEMS], "warm"),
        }
    ).join(counts, on="item_id", how="left", maintain_order="left")
    with artifacts.writing("ingest") as out:
        out.table("items", items.with_columns(pl.col("num_train").fill_null(0)))
        out.table("interactions", interactions)
    return topics


def write_embed(artifacts, rng, topics):
    centres = rng.standard_normal((NUM_TOPICS, 24))
    vectors = centres[topics] + 0.4 * rng.standard_normal((NUM_ITEMS, 24))
    vectors[1 + NUM_TOPICS] = vectors[1]  # an exact duplicate
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with artifacts.writing("embed") as out:
        out.array("embeddings", vectors.astype(np.float16))


def write_pairs(artifacts):
    frame = pl.DataFrame(
        {"trigger": ["i000", "i002"], "target": ["i016", "i018"], "score": [2.0, 1.0]},
        schema_overrides={"score": pl.Float32},
    )
    with artifacts.writing("pairs") as out:
        out.table("pairs", frame)


def train_and_assign(artifacts, fit_on):
    """What the stages of these names leave behind that the measuring stages read."""
    vectors = artifacts.embeddings().vectors
    standing = artifacts.items()["standing"]
    left_out = {"warm": COLD_STANDINGS, "known": ["withheld"], "all": []}[fit_on]
    seen = ~standing.is_in(left_out).to_numpy()
    tokenizer = make_tokenizer(NAME, SETTINGS["tokenizers"][NAME])
    tokenizer.fit(vectors[seen], seed=3, device="cpu")
    with artifacts.writing("train", NAME) as out:
        storage.save(tokenizer, out.folder, fit_on, int(seen.sum()))
    codes = tokenizer.encode(vectors)
    frame = pl.DataFrame({"item_id": artifacts.items()["item_id"]}).with_columns(
        pl.Series(f"code_{level + 1}", codes[:, level]) for level in range(codes.shape[1])
    )
    with artifacts.writing("assign", NAME) as out:
        out.table("codes", frame)
        suffixes = resolve_by_suffix(
            Codes(codes, tokenizer.config.sizes), frame["item_id"].to_list()
        ).suffixes
        out.table("sids", frame.with_columns(pl.Series("suffix", suffixes.astype(np.int32))))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A workspace in which assign has run."""
    artifacts = Artifacts(Layout(tmp_path_factory.mktemp("measured")))
    rng = np.random.default_rng(11)
    write_embed(artifacts, rng, write_ingest(artifacts, rng))
    write_pairs(artifacts)
    train_and_assign(artifacts, "warm")
    return artifacts


@pytest.fixture
def workspace(built, tmp_path):
    shutil.copytree(built.layout.root, tmp_path / "own")
    return Artifacts(Layout(tmp_path / "own"))


def run_all(artifacts, params=PARAMS):
    recommend(params, artifacts, CHAMPION)
    stages = (diagnose, evaluate, recommend, segments)
    return [dict(stage(params, artifacts, NAME).metrics) for stage in stages]


def digests(folder: Path):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rewrite_codes(artifacts, name, values):
    """Replace the codes in codes.parquet or sids.parquet, other columns as they are."""
    path = artifacts.folder("assign", NAME) / f"{name}.parquet"
    columns = {f"code_{level + 1}": column for level, column in enumerate(values.T)}
    pl.read_parquet(path).with_columns(
        pl.Series(column, codes.astype(np.int32)) for column, codes in columns.items()
    ).write_parquet(path)


def pattern_of(name):
    return next(pattern for pattern, metric in METRICS.items() if metric is describe_metric(name))


def test_each_stage_writes_every_metric_of_its_block(workspace):
    """Beside a champion: its own table, so that there is something to differ from."""
    folder = workspace.layout.champion_folder
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(workspace.folder("assign", NAME) / "sids.parquet", folder / CHAMPION_TABLE)
    written = {pattern_of(name) for metrics in run_all(workspace, RECOMMENDING) for name in metrics}
    patterns = list(METRICS)
    own = set(patterns[patterns.index("conflict_rate") : patterns.index("churn")])
    of_gaussian_codes = {"own_overlap_rate_{level}", "own_effective_codebook_size_{level}"}
    assert own - of_gaussian_codes <= written


def test_metrics_on_disk_are_those_of_the_outcome(workspace):
    for stage, metrics in zip(
        ("diagnose", "evaluate", "recommend", "segments"),
        run_all(workspace, RECOMMENDING),
        strict=True,
    ):
        assert workspace.metrics(stage, NAME) == metrics


def test_stages_write_their_own_folder_only_and_the_same_bytes_twice(workspace):
    before = digests(workspace.layout.root)
    run_all(workspace, RECOMMENDING)
    after = digests(workspace.layout.root)
    new = {Path(path).parts[2] for path in after.keys() - before.keys()}
    assert new == {"diagnose", "evaluate", "recommend", "segments"}
    assert before.items() <= after.items()
    run_all(workspace, RECOMMENDING)
    assert digests(workspace.layout.root) == after


def test_what_needs_events_is_what_the_stages_that_ask_users_measure(workspace):
    diagnosed, *asked = run_all(workspace, RECOMMENDING)
    assert not [name for name in diagnosed if needs_events(name)]
    told = {name for metrics in asked for name in metrics if not needs_events(name)}
    assert told == {"num_cold_items"}  # which counts the items that events say nothing of


def test_tables_carry_what_the_metrics_say(workspace):
    metrics = diagnose(PARAMS, workspace, NAME).metrics
    table = {
        name: workspace.table("diagnose", name, NAME) for name in ("usage", "levels", "overlap")
    }
    assert table["usage"].group_by("level").len().sort("level")["len"].to_list() == [16, 8, 8]
    per_level = table["usage"].group_by("level").agg(pl.col("num_items").sum())
    assert per_level["num_items"].to_list() == [NUM_ITEMS] * 3
    assert table["levels"]["perplexity"].to_list() == [
        metrics[f"perplexity_{n}"] for n in (1, 2, 3)
    ]
    assert table["levels"]["relative_mse"][-1] == metrics["relative_mse"]
    assert sorted(table["overlap"]["kappa"].unique()) == [0.25, 1.0, 2.0]  # 1 is always there
    shares = (
        workspace.table("diagnose", "spectrum", NAME)
        .group_by("space")
        .agg(pl.col("eigenvalue_share").sum())
    )
    assert shares["eigenvalue_share"].to_list() == pytest.approx([1, 1, 1])


def test_noise_is_swept_over_every_kappa_and_quoted_at_one(workspace):
    metrics = diagnose(PARAMS, workspace, NAME).metrics
    robustness = workspace.table("diagnose", "robustness", NAME)
    overlap = workspace.table("diagnose", "overlap", NAME)
    assert robustness.select("level", "kappa").equals(overlap.select("level", "kappa"))
    quoted = robustness.filter(kappa=1.0)
    for share in ("changed_code_share", "changed_prefix_share"):
        assert quoted[share].to_list() == [metrics[f"{share}_{level}"] for level in (1, 2, 3)]
    assert quoted["changed_prefix_share"][0] == quoted["changed_code_share"][0] > 0
    # Topics lie apart and residuals do not: deeper codes are the first to go.
    assert metrics["changed_code_share_1"] < metrics["changed_code_share_3"]


def test_errors_fall_level_by_level_and_the_latent_of_k_means_is_its_input(workspace):
    diagnose(PARAMS, workspace, NAME)
    levels = workspace.table("diagnose", "levels", NAME)
    errors = levels["relative_mse"].to_list()
    assert errors == sorted(errors, reverse=True)
    assert levels["latent_relative_mse"].to_list() == pytest.approx(errors)


def test_sixteen_topics_are_sixteen_first_codes(workspace):
    metrics = diagnose(PARAMS, workspace, NAME).metrics
    assert metrics["branching_1"] == pytest.approx(NUM_TOPICS, rel=0.15)
    assert metrics["dead_codes_1"] == 0
    assert metrics["duplicate_floor"] == pytest.approx(1 / NUM_ITEMS)
    assert metrics["n_eff_share"] == pytest.approx(
        metrics["branching_1"] * metrics["branching_2"] * metrics["branching_3"] / NUM_ITEMS
    )


def test_diagnose_looks_at_raw_codes_and_evaluate_at_published_ones(workspace):
    diagnosed, evaluated, *_ = run_all(workspace)
    codes = workspace.codes("codes", NAME)
    shuffled = np.random.default_rng(0).permutation(codes)
    rewrite_codes(workspace, "sids", shuffled)
    assert diagnose(PARAMS, workspace, NAME).metrics == diagnosed
    worse = evaluate(PARAMS, workspace, NAME).metrics
    assert worse["retention_at_20"] < evaluated["retention_at_20"] / 2
    rewrite_codes(workspace, "sids", codes)
    rewrite_codes(workspace, "codes", shuffled)
    assert evaluate(PARAMS, workspace, NAME).metrics == evaluated
    assert diagnose(PARAMS, workspace, NAME).metrics["relative_mse"] > 2 * diagnosed["relative_mse"]


def test_collapsed_codes_are_diagnosed_and_no_better_than_chance(workspace):
    for name in ("codes", "sids"):
        rewrite_codes(workspace, name, np.zeros((NUM_ITEMS, 3)))
    diagnosed, evaluated, *_ = run_all(workspace)
    assert diagnosed["n_eff"] == 1
    assert diagnosed["conflict_rate"] == 1
    assert diagnosed["perplexity_share_1"] == 1 / 16
    assert diagnosed["effective_codebook_size_1"] == pytest.approx(1)
    # All quantized vectors coincide: there is no spectrum to tell of.
    assert "effective_rank_raw" in diagnosed
    assert "effective_rank_quantized" not in diagnosed
    assert evaluated["retention_at_20"] == pytest.approx(0)
    assert evaluated["hr_at_20"] == pytest.approx(20 / (NUM_ITEMS - 1))


def test_cases_are_held_out_neighbours_in_a_users_sequence(workspace):
    metrics = evaluate(PARAMS, workspace, NAME).metrics
    cases = workspace.table("evaluate", "cases", NAME)
    assert metrics["num_cases"] == len(cases)
    rows = {item: row for row, item in enumerate(workspace.items()["item_id"].to_list())}
    wanted = []
    for (user_id,), user in workspace.interactions().group_by("user_id", maintain_order=True):
        events = user.select("item_id", "split").rows()
        for (earlier, _), (later, split) in itertools.pairwise(events):
            if split in ("test", "cold"):
                wanted.append((user_id, rows[earlier], rows[later]))
    assert cases.select("user_id", "query_row", "target_row").rows() == wanted


def test_users_who_stay_in_a_topic_are_served_by_ids_of_topics(workspace):
    metrics = evaluate(PARAMS, workspace, NAME).metrics
    chance = 20 / (NUM_ITEMS - 1)
    assert metrics["hr_original_at_20"] > 10 * chance
    assert metrics["retention_at_20"] > 0.8
    assert metrics["auc_embedding"] > 0.9
    assert metrics["auc_exact"] < metrics["auc_prefix"]


def test_segments_are_the_same_cases_told_apart(workspace):
    _, evaluated, _, told_apart = run_all(workspace)
    names = ("head", "torso", "tail", "cold")
    assert sum(told_apart[f"num_cases_{name}"] for name in names) == evaluated["num_cases"]
    for figure in ("hr_at_5", "hr_original_at_20"):
        hits = sum(told_apart[f"{figure}_{n}"] * told_apart[f"num_cases_{n}"] for n in names)
        assert hits / evaluated["num_cases"] == pytest.approx(evaluated[figure])
    table = workspace.table("segments", "segments", NAME)
    assert table["segment"].to_list() == list(names)
    assert table["num_items"].to_list() == [60, 90, 150, 20]


def test_a_figure_that_a_segment_cannot_have_is_left_out(workspace):
    items = workspace.items().with_columns(cold=pl.lit(False), standing=pl.lit("warm"))
    items.write_parquet(workspace.folder("ingest") / "items.parquet")
    evaluate(PARAMS, workspace, NAME)
    metrics = segments(PARAMS, workspace, NAME).metrics
    assert metrics["num_cold_items"] == metrics["num_cases_cold"] == 0
    assert not [name for name in metrics if name.startswith("cold_") or name.endswith("at_5_cold")]
    table = workspace.table("segments", "segments", NAME)
    assert table.filter(segment="cold")["hr_at_5"].to_list() == [None]
    assert workspace.json("segments", "cold", NAME)["num_cold_items"] == 0


@pytest.mark.parametrize(("fit_on", "saw"), [("warm", False), ("all", True)])
def test_cold_page_says_whether_the_tokenizer_saw_the_cold_content(workspace, fit_on, saw):
    train_and_assign(workspace, fit_on)
    evaluate(PARAMS, workspace, NAME)
    metrics = segments(PARAMS, workspace, NAME).metrics
    page = workspace.json("segments", "cold", NAME)
    assert page["saw_cold_content"] is saw
    assert page["new_prefix_share_by_length"][1] == metrics["cold_new_prefix_share"]
    assert page["new_prefix_share_by_length"][-1] == metrics["cold_new_id_share"]
    assert set(page["distance_to_quantized"]) == {"cold", "warm"}


def test_cold_items_are_told_apart_by_why_they_are_cold(workspace):
    evaluate(PARAMS, workspace, NAME)
    metrics = segments(PARAMS, workspace, NAME).metrics
    parts = workspace.json("segments", "cold", NAME)["by_standing"]
    assert sorted(parts) == sorted(COLD_STANDINGS)
    assert sum(part["num_items"] for part in parts.values()) == metrics["num_cold_items"] == 20
    for figure in ("coverage", "new_id_share"):
        weighted = sum(part["num_items"] * part[figure] for part in parts.values())
        assert weighted / 20 == pytest.approx(metrics[f"cold_{figure}"])


def test_the_error_of_cold_items_is_that_of_those_new_to_the_tokenizer(workspace):
    """Fitted on `known`, the withheld alone are new; fitted on all, nobody is, and no figure is."""
    train_and_assign(workspace, "known")
    evaluate(PARAMS, workspace, NAME)
    found = segments(PARAMS, workspace, NAME).metrics["cold_relative_mse"]
    vectors = workspace.embeddings().vectors.astype(np.float64)
    new = (workspace.items()["standing"] == "withheld").to_numpy()
    model = storage.load(workspace.folder("train", NAME))
    rebuilt = model.reconstruct(workspace.codes("codes", NAME)[new])
    error = ((vectors[new] - rebuilt) ** 2).sum()
    assert found == pytest.approx(error / ((vectors[new] - vectors.mean(axis=0)) ** 2).sum())
    train_and_assign(workspace, "all")
    evaluate(PARAMS, workspace, NAME)
    metrics = segments(PARAMS, workspace, NAME).metrics
    assert "cold_relative_mse" not in metrics
    assert "cold_coverage" in metrics


def test_a_cutoff_beyond_the_catalogue_is_refused_and_nothing_is_written(workspace):
    params = with_settings(evaluate={"cutoffs": [5, NUM_ITEMS]})
    with pytest.raises(BadInput, match=r"evaluate\.cutoffs"):
        evaluate(params, workspace, NAME)
    assert not workspace.layout.stage("evaluate", NAME).exists()


def test_codes_of_another_catalogue_are_refused(workspace):
    path = workspace.folder("assign", NAME) / "codes.parquet"
    pl.read_parquet(path).reverse().write_parquet(path)
    with pytest.raises(BadInput, match="other items than ingest"):
        diagnose(PARAMS, workspace, NAME)


def test_stages_before_assign_say_what_is_missing(tmp_path):
    for stage in (diagnose, evaluate):
        with pytest.raises(BadInput, match="has not run"):
            stage(PARAMS, Artifacts(Layout(tmp_path)), NAME)


def asked_users(artifacts, most):
    evaluate(with_settings(evaluate={"cutoffs": [5], "most_cases": most}), artifacts, NAME)
    return artifacts.table("evaluate", "cases", NAME)


def test_drawn_cases_are_some_of_all_and_answered_alike(workspace):
    everything = asked_users(workspace, None)
    some = asked_users(workspace, 60)
    assert len(some) == 60 < len(everything)
    assert some.join(everything, on=everything.columns, how="semi").height == 60
    assert asked_users(workspace, len(everything)).equals(everything)


def test_a_log_that_has_grown_is_asked_of_the_same_users(workspace, tmp_path):
    before = asked_users(workspace, 60)
    shutil.copytree(workspace.layout.root, tmp_path / "grown")
    grown = Artifacts(Layout(tmp_path / "grown"))
    log = workspace.interactions()
    first = log.filter(pl.col("user_id") == log["user_id"][0])
    more = pl.concat(first.with_columns(user_id=pl.lit(f"a{n}")) for n in range(4))
    items = grown.items()
    with grown.writing("ingest") as out:
        out.table("items", items)
        out.table("interactions", pl.concat([more, log]))
    after = asked_users(grown, 60)
    shared = set(before["user_id"]) & set(after["user_id"])
    assert len(shared) > 0.9 * before["user_id"].n_unique()
