"""What `sidmint init` makes of a user's two files: a mapping, a template, sizes, thresholds.

Everything is a proposal that lands in params.yaml for the user to read and change; the notes
say in plain words what was seen and why each choice was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sidmint.catalogue import MIN_EVENTS_A_USER, check_items, k_core
from sidmint.catalogue.checking import on_known_items, with_event_ids
from sidmint.catalogue.splitting import split_by_time
from sidmint.contracts import Interactions, Items
from sidmint.errors import BadInput
from sidmint.outside import from_outside
from sidmint.params import IngestParams
from sidmint.sources.base import SOURCES, RawCatalogue, SourceFiles
from sidmint.sources.frames import read_frame
from sidmint.sources.instants import time_unit
from sidmint.sources.item_ids import AS_WRITTEN, FORMS, coverage, form_in_words
from sidmint.sources.lines import first_line
from sidmint.sources.match_columns import match_columns, match_items
from sidmint.sources.table import map_items, map_tables

NUM_LEVELS = 3
_SIZE_BY_ITEMS = ((256, 16), (1_000, 64), (50_000, 256), (2_000_000, 1024))
"""Fewer items than the first -> codes a level. Far more codes than items: residual k-means
gave four in ten Office items (2,420) a shared code with 3 x 64 and two in ten with 3 x 256 (with
`balance: 1.5`, as proposed, one in ten).
Above: 4096, as DRQ uses in production."""
_TEMPLATE = (Items.TITLE, "brand", Items.CATEGORIES, "description")
_WORTH_READING = 0.05
"""A column that fewer items fill is left out of the template."""
_NEW_IN_TIME = 0.4
"""A cut in time that withholds more than this share of the items is not proposed."""
_FEWEST_TIMES = 20
"""Fewer different times are no time to cut at."""
_SURVIVING = 0.5
"""A k-core that drops more than this share of the events was not meant."""


@dataclass(frozen=True)
class Proposal:
    """What fits the files. `columns` is `ingest.columns`; empty for the known formats."""

    source: str
    columns: Mapping[str, str]
    template: str
    sizes: tuple[int, ...]
    min_interactions: int
    by_time: bool
    """Whether one cut in time splits the log (`ingest.protocol: time`)."""
    drop_unknown: bool
    """Whether events on unknown items are left out (`ingest.unknown_items: drop`)."""
    fit_on: str
    """`train.fit_on`."""
    has_log: bool
    """Without a log there is nothing to select by, or to gate, that wants events."""
    rules: Mapping[str, Mapping[str, float | str]]
    """Entries for `gate.rules` whose bounds depend on the catalogue."""
    notes: tuple[str, ...]
    item_ids: tuple[str, ...]
    """Of all items, sorted: who must have a vector where vectors are given."""


@dataclass(frozen=True)
class Reading:
    """How files of the user's own are read: `ingest.encoding` and `ingest.id_format`."""

    encoding: str = "utf-8"
    id_format: str = AS_WRITTEN


def propose(
    items_path: Path,
    interactions_path: Path | None,
    source: str = "table",
    reading: Reading = Reading(),
) -> Proposal:
    """Look at the files and say how to ingest them, with the reasons as notes.

    They are read whole (the k-core cannot be judged from a sample); nothing is written. A table
    without an interactions file is a catalogue without a log.
    Raises `BadInput` where no item id, user id or title is found, where the item ids of the two
    files do not meet, and where the files are of a known format that `source` does not name.
    """
    names = (
        items_path.name
        if interactions_path is None
        else (f"{items_path.name} or {interactions_path.name}")
    )
    with from_outside(names):
        return _propose(items_path, interactions_path, source, reading)


def _propose(
    items_path: Path, interactions_path: Path | None, source: str, reading: Reading
) -> Proposal:
    if source == "table":
        _refuse_known_formats(items_path, interactions_path)
        if interactions_path is None:
            return _propose_without_log(items_path, reading)
        columns, raw, seen = _propose_columns(items_path, interactions_path, reading)
    else:
        files = SourceFiles(items_path, interactions_path)
        settings = IngestParams.model_validate({"source": source})
        columns, raw, seen = {}, SOURCES[source](settings, files, 0), [f"{source} files"]
    items, num_filled = check_items(raw.items, raw.items_name)
    log = raw.interactions
    if log is None:
        raise BadInput(f"source {source} read no interactions from {items_path}")
    seen.append(f"{items.height:,} items and {log.height:,} interactions")
    log = with_event_ids(log, raw.interactions_name)
    log, has_unknown = _propose_to_drop(log, items, raw, seen)
    _tell_filled(num_filled, seen)
    k, fit_on = _propose_min_interactions(log, items.height, seen)
    sizes = _propose_sizes(items.height, seen)
    template = _propose_template(items, seen)
    by_time = _propose_cut_in_time(log, raw.interactions_name, seen)
    return Proposal(
        source=source,
        columns=columns,
        template=template,
        sizes=sizes,
        min_interactions=k,
        by_time=by_time,
        drop_unknown=has_unknown,
        fit_on=fit_on,
        has_log=True,
        rules=_propose_rules(items, seen),
        notes=_as_notes(seen),
        item_ids=tuple(items[Items.ITEM_ID]),
    )


def _propose_without_log(items_path: Path, reading: Reading) -> Proposal:
    """What fits a table of items alone: every figure is of the ids and the vectors."""
    if reading.id_format != AS_WRITTEN:
        raise BadInput("--id-format joins the ids of a log to the items, and there is no log")
    frame = read_frame(items_path, reading.encoding)
    match = match_items(frame, items_path)
    seen = [_in_words(items_path, match.items), *_records_in_words(match.items, frame)]
    columns = match.as_mapping()
    raw = map_items(frame, columns, items_path)
    items, num_filled = check_items(raw.items, raw.items_name)
    seen.append(
        f"{items.height:,} items and no interaction log: ids come from content alone. What needs "
        "events (pairs, hit rates, retention, the recommender, segments) is left out, and so are "
        "the gate's rules on it; a log may follow later, with the same command"
    )
    _tell_filled(num_filled, seen)
    sizes = _propose_sizes(items.height, seen)
    return Proposal(
        source="table",
        columns=columns,
        template=_propose_template(items, seen),
        sizes=sizes,
        min_interactions=IngestParams().min_interactions,
        by_time=False,
        drop_unknown=False,
        fit_on="all",
        has_log=False,
        rules=_propose_rules(items, seen),
        notes=_as_notes(seen),
        item_ids=tuple(items[Items.ITEM_ID]),
    )


def _as_notes(seen: list[str]) -> tuple[str, ...]:
    return tuple(f"I see {each}" for each in seen)


def _tell_filled(num_filled: int, seen: list[str]) -> None:
    if num_filled:
        seen.append(f"{num_filled:,} items without a title, which get one from their other text")


def _propose_sizes(num_items: int, seen: list[str]) -> tuple[int, ...]:
    size = codes_a_level(num_items)
    seen.append(
        f"room for {NUM_LEVELS} levels of {size} codes: {size**NUM_LEVELS:,} ids, "
        f"{num_items:,} items"
    )
    return (size,) * NUM_LEVELS


def codes_a_level(num_items: int) -> int:
    """K for `num_items`: a power of two with K^3 far above it and few enough to be learned."""
    return next((size for bound, size in _SIZE_BY_ITEMS if num_items < bound), 4096)


def recognise(items_path: Path, interactions_path: Path | None) -> str:
    """The source that the files are written for, by the fields of their first lines."""
    if items_path.is_dir():
        known = any((items_path / name).is_file() for name in ("u.item", "movies.csv"))
        return "movielens" if known else "table"
    # A mapped table may have these columns too; only the raw formats have them as JSON lines.
    if not items_path.name.endswith((".json", ".json.gz", ".jsonl", ".jsonl.gz")):
        return "table"
    line = first_line(items_path)
    if '"parent_asin"' in line and '"main_category"' in line:
        return "amazon_2023"
    if line.startswith("{'") and "'asin'" in line:
        return "amazon_2014"
    if '"asin"' in line and interactions_path is not None and interactions_path.is_file():
        is_lines = interactions_path.name.endswith((".json", ".json.gz", ".jsonl", ".jsonl.gz"))
        if is_lines and '"reviewerID"' in first_line(interactions_path):
            return "amazon_2018"
    return "table"


def _refuse_known_formats(items_path: Path, interactions_path: Path | None) -> None:
    kind = recognise(items_path, interactions_path)
    if kind != "table":
        raise BadInput(
            f"{items_path} is of the {kind} format, which needs no column mapping; "
            f"add --source {kind}"
        )


def _propose_columns(
    items_path: Path, interactions_path: Path, reading: Reading
) -> tuple[dict[str, str], RawCatalogue, list[str]]:
    items, interactions = (
        read_frame(path, reading.encoding) for path in (items_path, interactions_path)
    )
    form = reading.id_format
    match = match_columns(items, interactions, items_path, interactions_path, form)
    seen = [_in_words(items_path, match.items), _in_words(interactions_path, match.interactions)]
    seen.append(_order_in_words(match.interactions, interactions))
    seen += _records_in_words(match.items, items)
    columns = match.as_mapping()
    raw = map_tables(items, interactions, columns, items_path, interactions_path, form)
    if form != AS_WRITTEN:
        ids = items[match.items[Items.ITEM_ID]], interactions[match.interactions[Items.ITEM_ID]]
        seen.append(
            f"ids of the log, {FORMS[form][1]}, on known items in {coverage(*ids, form):.1%} of "
            f"the interactions, where as written it is {coverage(*ids):.1%}"
        )
    return columns, raw, seen


def _records_in_words(columns: Mapping[str, str], items: pl.DataFrame) -> list[str]:
    records = [name for name in columns.values() if isinstance(items.schema[name], pl.Struct)]
    return [f'records in {", ".join(records)}, read as "key: value; key: value"'] if records else []


def _propose_to_drop(
    log: pl.DataFrame, items: pl.DataFrame, raw: RawCatalogue, seen: list[str]
) -> tuple[pl.DataFrame, bool]:
    """The log without events on items that nobody described, and whether there are such.

    Every real log has some: items that were taken off sale, test rows. Raises `BadInput` where
    they are more than ingest would leave out.
    """
    limit = IngestParams().unknown_items_limit
    try:
        known = on_known_items(log, items, limit, raw.interactions_name)
    except BadInput as error:
        told = form_in_words(items[Items.ITEM_ID], log[Interactions.ITEM_ID])
        raise BadInput(f"{error}. {told}" if told else str(error)) from error
    count = log.height - known.height
    if count:
        seen.append(
            f"{count:,} interactions ({count / log.height:.1%}) on items that "
            f"{raw.items_name} does not have: they are left out, as long as they are no more than "
            f"{limit:.0%}"
        )
    return known, count > 0


def _propose_min_interactions(
    log: pl.DataFrame, num_items: int, seen: list[str]
) -> tuple[int, str]:
    """k, the largest of 5, 4, 3 that most events survive, and which items to fit on.

    Where the k-core leaves items out, tokenizers are fitted on the content of these too: they get
    ids as all others do.
    """
    events = log.with_columns(pl.col(Items.ITEM_ID).cast(pl.String))
    num_seen = events[Items.ITEM_ID].n_unique()
    new = max(num_items - num_seen, 0)
    if new:
        seen.append(f"{new:,} items without any interaction: they get ids, as cold items")
    for k in range(5, MIN_EVENTS_A_USER - 1, -1):
        core = k_core(events, k)
        num_left = core[Items.ITEM_ID].n_unique()
        if core.height == events.height:
            seen.append(f"a log in which every user and item has {k} events or more")
        elif core.height >= _SURVIVING * events.height or k == MIN_EVENTS_A_USER:
            seen.append(
                f"that keeping users and items with {k} events or more leaves {core.height:,} "
                f"interactions of {num_left:,} items to learn and score from; the other "
                f"{num_seen - num_left:,} get ids too, and tokenizers are fitted on their content"
            )
        else:
            continue
        return k, "known" if num_left < num_seen else "warm"
    raise AssertionError("the last k is always taken")


def _propose_template(items: pl.DataFrame, seen: list[str]) -> str:
    """Title, brand, categories, description: those that enough items have."""
    filled = {
        column: 1.0 - items[column].null_count() / items.height
        for column in _TEMPLATE
        if column in items.columns
    }
    used = [column for column, share in filled.items() if share >= _WORTH_READING]
    seen.append(
        "text in " + ", ".join(f"{column} ({filled[column]:.0%} of items)" for column in used)
    )
    return ". ".join(f"{{{column}}}" for column in used)


def _propose_cut_in_time(log: pl.DataFrame, name: str, seen: list[str]) -> bool:
    """Whether one cut in time leaves something on every side of it.

    It is what a table meets in production: what is asked for lies after all that was learned,
    and part of it on items that training never saw.
    """
    if Interactions.TIMESTAMP not in log.columns:
        return False
    times = log[Interactions.TIMESTAMP]
    if times.n_unique() < _FEWEST_TIMES:
        seen.append("too few different times to cut at: each user's last events are held out")
        return False
    shares = IngestParams().time_shares
    split, unseen = split_by_time(log, *shares, name)
    counts = dict(split[Interactions.SPLIT].value_counts().iter_rows())
    num_items = split[Items.ITEM_ID].n_unique()
    if len(unseen) > _NEW_IN_TIME * num_items:
        seen.append(
            f"{len(unseen):,} of {num_items:,} items only in the newest events, too many to "
            "withhold: each user's last events are held out"
        )
        return False
    if min(counts.get(part, 0) for part in ("train", "validation", "test")) == 0:
        seen.append("times that leave a side of a cut empty: each user's last events are held out")
        return False
    seen.append(
        f"one cut in time for all users: {counts['train']:,} events to learn from, {len(unseen):,} "
        "items that come after it; events of one time are drawn in random order"
    )
    return True


def _propose_rules(items: pl.DataFrame, seen: list[str]) -> dict[str, dict[str, float | str]]:
    """A row count that a broken download cannot reach, and room for texts that are the same.

    Items of one text have one vector and one code: the share of repeated texts is the least
    collision rate that any tokenizer can reach, so the allowance is counted from there.
    """
    used = [column for column in _TEMPLATE if column in items.columns]
    num_texts = items.select(pl.struct(used).n_unique()).item()
    floor = round(1.0 - num_texts / items.height, 3)
    if floor:
        seen.append(f"{items.height - num_texts:,} items whose text another item has word for word")
    allowed = round(min(0.3 + floor, 0.95), 3)
    return {
        "num_items": {"min": int(0.9 * items.height), "severity": "critical"},
        "collision_rate": {"max": allowed, "severity": "critical"},
    }


def _in_words(path: Path, columns: Mapping[str, str]) -> str:
    pairs = (o if o == t else f"{o} = {t}" for o, t in columns.items())
    return f"in {path.name}: {', '.join(pairs)}"


def _order_in_words(columns: Mapping[str, str], interactions: pl.DataFrame) -> str:
    if Interactions.POSITION in columns:
        return "a position, which gives the order of a user's events"
    if Interactions.TIMESTAMP in columns:
        unit = time_unit(interactions[columns[Interactions.TIMESTAMP]])
        return f"times ({unit}), which give the order"
    return "neither position nor time: the order of the rows is taken for the order of events"
