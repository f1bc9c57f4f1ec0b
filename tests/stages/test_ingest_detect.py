"""`sidmint init` understands people's own files, or says what it misses."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
import yaml

from sidmint.catalogue import build_catalogue
from sidmint.embedding import ENCODERS, item_texts, unit_norm
from sidmint.errors import BadInput
from sidmint.params import IngestParams
from sidmint.sources import SOURCES, SourceFiles
from sidmint.sources.bring_in import demo_params
from sidmint.sources.detect import Proposal, codes_a_level, propose
from sidmint.tokenizers import make_tokenizer

NUM_ITEMS, NUM_USERS = 40, 60


def _events(user: str, item: str, **more: list[object]) -> pl.DataFrame:
    """Every user meets ten items, every item fifteen users: a 5-core."""
    rows = [(u, (7 * u + 3 * n) % NUM_ITEMS) for u in range(NUM_USERS) for n in range(10)]
    frame = pl.DataFrame({user: [u for u, _ in rows], item: [f"x{i}" for _, i in rows]})
    return frame.with_columns(pl.Series(name, values * 10) for name, values in more.items())


def _items(item: str, title: str, **more: object) -> pl.DataFrame:
    ids = [f"x{n}" for n in range(NUM_ITEMS)]
    frame = pl.DataFrame({item: ids, title: [f"thing {n}" for n in range(NUM_ITEMS)]})
    return frame.with_columns(pl.lit(value).alias(name) for name, value in more.items())


def _propose(folder: Path, items: pl.DataFrame, events: pl.DataFrame) -> Proposal:
    items.write_parquet(folder / "i.parquet")
    events.write_csv(folder / "e.csv")
    return propose(folder / "i.parquet", folder / "e.csv")


@pytest.mark.parametrize(
    ("item", "title", "user", "time"),
    [
        ("asin", "name", "uid", "ts"),
        ("product_id", "product_name", "customer_id", "time"),
        ("SKU", "Product Title", "CustomerID", "Date"),
        ("article_id", "prod_name", "customer_id", "t_dat"),
        ("movieId", "title", "userId", "timestamp"),
    ],
)
def test_usual_names_are_understood(
    item: str, title: str, user: str, time: str, tmp_path: Path
) -> None:
    times = [f"2024-01-{1 + n % 28:02}" for n in range(NUM_USERS)]
    proposal = _propose(
        tmp_path, _items(item, title, brand="b"), _events(user, item, **{time: times})
    )
    wanted = {"item_id": item, "title": title, "user_id": user, "timestamp": time}
    assert proposal.columns == {o: t for o, t in wanted.items() if o != t}
    assert proposal.template == "{title}. {brand}"
    assert proposal.min_interactions == 5
    assert any("times (ISO text)" in note for note in proposal.notes)


def test_a_proposal_can_be_ingested_as_it_stands(tmp_path: Path) -> None:
    events = _events("user", "product", time=[1_700_000_000_000 + n for n in range(NUM_USERS)])
    proposal = _propose(tmp_path, _items("id", "label"), events)
    assert proposal.columns["items.item_id"] == "id"
    assert proposal.columns["interactions.item_id"] == "product"
    params = IngestParams.model_validate({"source": "table", "columns": proposal.columns})
    raw = SOURCES["table"](params, SourceFiles(tmp_path / "i.parquet", tmp_path / "e.csv"), 1)
    built = build_catalogue(
        raw.items,
        raw.interactions,
        min_interactions=proposal.min_interactions,
        cold_share=0.05,
        seed=1,
    )
    assert built.items.height == NUM_ITEMS
    assert built.interactions["timestamp"][0] == 1_700_000_000


def test_a_core_smaller_than_the_catalogue_is_not_its_size(tmp_path: Path) -> None:
    """Ten of forty items have all the events: every item counts for sizes, gate and fitting."""
    rare = pl.DataFrame({"uid": list(range(30)), "sku": [f"x{n}" for n in range(10, 40)]})
    often = [(user, f"x{n}") for user in range(NUM_USERS) for n in range(10)]
    events = pl.concat([pl.DataFrame(often, ["uid", "sku"], orient="row"), rare])
    proposal = _propose(tmp_path, _items("sku", "name"), events)
    assert proposal.fit_on == "known"
    assert proposal.rules["num_items"]["min"] == 36
    assert any("get ids too" in note for note in proposal.notes)
    assert _propose(tmp_path, _items("sku", "name"), _events("uid", "sku")).fit_on == "warm"


def test_items_alone_are_understood(tmp_path: Path) -> None:
    items = _items("sku", "name", id="shop")
    items.write_parquet(tmp_path / "i.parquet")
    proposal = propose(tmp_path / "i.parquet", None)
    # `id` is the same in every row: a name that goes by item_id, and no id of these items.
    assert proposal.columns == {"item_id": "sku", "title": "name"}
    assert (proposal.has_log, proposal.fit_on) == (False, "all")
    assert any("no interaction log" in note for note in proposal.notes)
    items.select("name").write_parquet(tmp_path / "i.parquet")
    with pytest.raises(BadInput, match="no column that looks like item_id"):
        propose(tmp_path / "i.parquet", None)


def test_of_two_id_columns_the_one_that_meets_is_taken(tmp_path: Path) -> None:
    items = _items("sku", "name").with_columns(
        product_id=pl.Series([f"p{n}" for n in range(NUM_ITEMS)])
    )
    assert _propose(tmp_path, items, _events("uid", "sku")).columns["item_id"] == "sku"


def test_what_is_missing_is_named_with_what_is_there(tmp_path: Path) -> None:
    events = _events("uid", "sku")
    with pytest.raises(BadInput, match=r"i.parquet has no column that looks like item_id.*it has"):
        _propose(tmp_path, _items("q", "name"), events)
    with pytest.raises(BadInput, match=r"i.parquet has no column that looks like title.*sku, q"):
        _propose(tmp_path, _items("sku", "q"), events)
    with pytest.raises(BadInput, match=r"e.csv has no column that looks like user_id.*z, sku"):
        _propose(tmp_path, _items("sku", "name"), _events("z", "sku"))
    with pytest.raises(BadInput, match=r"do not meet: at best 0%"):
        _propose(tmp_path, _items("sku", "name").with_columns(sku=pl.lit("else")), events)


def test_a_thin_log_gets_a_lower_core(tmp_path: Path) -> None:
    # Ten items a user become three: no 5-core and no 4-core, but a 3-core.
    events = _events("uid", "sku").filter(pl.int_range(pl.len()).over("uid") < 3)
    proposal = _propose(tmp_path, _items("sku", "name"), events)
    assert proposal.min_interactions == 3


def test_repeated_texts_raise_the_allowed_collision_rate(tmp_path: Path) -> None:
    items = _items("sku", "name").with_columns(
        name=pl.Series(["same"] * 10 + [f"thing {n}" for n in range(30)])
    )
    proposal = _propose(tmp_path, items, _events("uid", "sku"))
    assert proposal.rules["collision_rate"]["max"] == 0.3 + 9 / 40
    assert proposal.rules["num_items"]["min"] == 36


def test_sizes_leave_far_more_ids_than_items() -> None:
    assert [codes_a_level(n) for n in (999, 49_999, 1_999_999, 2_000_000)] == [
        64,
        256,
        1024,
        4096,
    ]
    for num_items in (100, 255, 256, 999, 1_000, 49_999, 50_000, 1_999_999):
        assert codes_a_level(num_items) ** 3 > 15 * num_items
        assert codes_a_level(num_items) < num_items


def test_amazon_files_are_sent_to_their_own_source(tmp_path: Path) -> None:
    review = {"reviewerID": "A1", "asin": "B01", "unixReviewTime": 1}
    reviews = tmp_path / "reviews_X_5.json.gz"
    reviews.write_bytes(gzip.compress((json.dumps(review) + "\n").encode()))
    for source, line in (
        ("amazon_2014", "{'asin': 'B01', 'title': 'x'}"),
        ("amazon_2018", json.dumps({"asin": "B01", "title": "x"})),
        ("amazon_2023", json.dumps({"parent_asin": "B01", "main_category": "x"})),
    ):
        meta = tmp_path / f"meta_{source}.json.gz"
        meta.write_bytes(gzip.compress((line + "\n").encode()))
        with pytest.raises(BadInput, match=f"add --source {source}"):
            propose(meta, reviews)


def test_a_known_format_gets_sizes_and_template_too(tmp_path: Path) -> None:
    movies = "".join(f"{n},Film {n},Drama\n" for n in range(NUM_ITEMS))
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n" + movies)
    ratings = _events("userId", "movieId").with_columns(pl.col("movieId").str.slice(1))
    ratings.with_columns(rating=pl.lit(5), timestamp=pl.lit(9)).write_csv(tmp_path / "ratings.csv")
    proposal = propose(tmp_path, None, "movielens")
    assert (proposal.source, proposal.columns) == ("movielens", {})
    assert proposal.template == "{title}. {categories}"


def test_office_is_understood_as_it_stands(office: Path) -> None:
    proposal = propose(office / "items.parquet", office / "interactions.parquet")
    assert proposal.columns == {}
    assert proposal.sizes == (256, 256, 256)
    assert proposal.min_interactions == 5
    assert proposal.template == "{title}. {brand}. {categories}. {description}"


def _log(days: list[int]) -> pl.DataFrame:
    """Six hundred events, event n on day `days[n % len(days)]`, items in rotation."""
    return pl.DataFrame(
        {
            "uid": [n % NUM_USERS for n in range(600)],
            "sku": [f"x{(7 * n + n // NUM_USERS) % NUM_ITEMS}" for n in range(600)],
            "time": [1_700_000_000 + 86_400 * days[n % len(days)] for n in range(600)],
        }
    )


def test_a_log_with_times_is_cut_in_time(tmp_path: Path) -> None:
    proposal = _propose(tmp_path, _items("sku", "name"), _log(list(range(100))))
    assert proposal.by_time
    assert any(
        "one cut in time for all users: 480 events to learn from" in n for n in proposal.notes
    )


@pytest.mark.parametrize(
    ("days", "why"),
    [([0], "too few different times"), ([*range(19), *[19] * 81], "a side of a cut empty")],
)
def test_a_log_that_no_cut_divides_keeps_each_users_last_events(
    days: list[int], why: str, tmp_path: Path
) -> None:
    proposal = _propose(tmp_path, _items("sku", "name"), _log(days))
    assert not proposal.by_time
    assert any(why in note for note in proposal.notes)


def test_a_catalogue_that_is_mostly_new_is_not_cut_in_time(tmp_path: Path) -> None:
    old, new = (
        _log(list(range(100))).with_columns(sku=pl.format("x{}", n))
        for n in (pl.int_range(pl.len()) % 10, 10 + pl.int_range(pl.len()) % 30)
    )
    events = pl.concat([old.sort("time").head(480), new.sort("time").tail(120)])
    proposal = _propose(tmp_path, _items("sku", "name"), events)
    assert not proposal.by_time
    assert any("30 of 40 items only in the newest events" in note for note in proposal.notes)


def _with_strangers(count: int) -> pl.DataFrame:
    """Six hundred events, the last `count` of them on items that nobody described."""
    events = _events("uid", "sku")
    known = pl.int_range(pl.len()) < pl.len() - count
    return events.with_columns(
        pl.when(known)
        .then("sku")
        .otherwise(pl.format("gone{}", pl.int_range(pl.len())))
        .alias("sku")
    )


def test_events_on_unknown_items_are_counted_and_proposed_to_be_left_out(tmp_path: Path) -> None:
    proposal = _propose(tmp_path, _items("sku", "name"), _with_strangers(12))
    assert proposal.drop_unknown
    assert any(
        "12 interactions (2.0%) on items that i.parquet does not have" in note
        for note in proposal.notes
    )
    params = IngestParams.model_validate(
        {"source": "table", "columns": proposal.columns, "unknown_items": "drop"}
    )
    raw = SOURCES["table"](params, SourceFiles(tmp_path / "i.parquet", tmp_path / "e.csv"), 1)
    settings = {"min_interactions": 1, "cold_share": 0.0, "seed": 1, "protocol": "leave_one_out"}
    built = build_catalogue(raw.items, raw.interactions, unknown_limit=0.02, **settings)  # type: ignore[arg-type]
    assert built.interactions.height == 588
    assert built.profile["dropped"]["interactions_on_unknown_items"] == 12
    for limit, said in ((0.0, "unknown_items: drop"), (0.019, r"unknown_items_limit \(0.019\)")):
        with pytest.raises(BadInput, match=rf"12 interactions are on items .*2.0% of all.*{said}"):
            build_catalogue(raw.items, raw.interactions, unknown_limit=limit, **settings)  # type: ignore[arg-type]


def test_a_log_of_other_items_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="31 interactions are on items"):
        _propose(tmp_path, _items("sku", "name"), _with_strangers(31))
    assert not _propose(tmp_path, _items("sku", "name"), _with_strangers(0)).drop_unknown


def test_records_and_lists_of_jsonl_are_read_as_text_that_embed_takes(tmp_path: Path) -> None:
    rows = [
        {
            "sku": f"x{n}",
            "name": f"thing {n}",
            "features": [] if n % 2 else ["red", "soft"],
            "details": {
                "Brand": "b",
                "Sizes": ["S", "M"],
                "Deep": {"a": 1},
                "Weight": 3 if n else None,
            },
        }
        for n in range(NUM_ITEMS)
    ]
    (tmp_path / "i.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _events("uid", "sku").write_csv(tmp_path / "e.csv")
    proposal = propose(tmp_path / "i.jsonl", tmp_path / "e.csv")
    assert proposal.template == "{title}. {description}"
    assert any('records in details, read as "key: value' in note for note in proposal.notes)
    params = IngestParams.model_validate({"source": "table", "columns": proposal.columns})
    raw = SOURCES["table"](params, SourceFiles(tmp_path / "i.jsonl", tmp_path / "e.csv"), 1)
    texts = item_texts(proposal.template, raw.items)
    assert texts[0] == "thing 0. Brand: b; Sizes: S, M"
    assert texts[1] == "thing 1. Brand: b; Sizes: S, M; Weight: 3"
    assert raw.items["features"].to_list()[:2] == ["red, soft", ""]


@pytest.mark.slow
def test_what_init_proposes_makes_every_level_of_a_small_catalogue_carry_information(
    office: Path,
) -> None:
    """Plain k-means leaves the third level of these 2,420 items a perplexity of ten codes."""
    items = pl.read_parquet(office / "items.parquet")
    proposed = yaml.safe_load(demo_params())
    texts = item_texts(proposed["embed"]["template"], items)
    vectors = unit_norm(ENCODERS["wordllama"]("").encode(texts), items["item_id"].to_list())
    sizes = [codes_a_level(items.height)] * 3
    settings = proposed["tokenizers"]["rq_kmeans"] | {"sizes": sizes}
    assert make_tokenizer("rq_kmeans", settings).fit(vectors, device="cpu").collapsed == ()
    plain = make_tokenizer("rq_kmeans", {"sizes": sizes}).fit(vectors, device="cpu")
    assert "level 3 collapsed" in plain.collapsed[-1]
