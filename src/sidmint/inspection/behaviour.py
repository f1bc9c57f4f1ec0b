"""What users did with the items of a table: pairs to learn from, and held-out cases to ask about.

The last event of each user is kept back: cases come from it alone, and pairs never see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from sidmint.catalogue import in_order
from sidmint.catalogue.checking import rows_of
from sidmint.contracts import Interactions, Items
from sidmint.embedding.precomputed import as_ids
from sidmint.errors import BadInput
from sidmint.evaluation import Cases, held_out_cases
from sidmint.inspection.files import require_file
from sidmint.outside import as_text
from sidmint.pairs import swing
from sidmint.params import PairsParams
from sidmint.progress import Track, silent
from sidmint.sources.column_names import EVENT_COLUMNS, named_like
from sidmint.sources.frames import read_frame
from sidmint.sources.match_columns import match_columns
from sidmint.sources.table import map_events
from sidmint.types import Pairs

_USER, _ITEM, _POSITION = Interactions.USER_ID, Interactions.ITEM_ID, Interactions.POSITION


@dataclass(frozen=True)
class Behaviour:
    """`pairs` (Swing) of all but the last event of each user, `cases` from those last events.

    `words` say what was read. Both are row numbers into the table.
    """

    pairs: Pairs
    cases: Cases
    words: str


def read_behaviour(
    path: Path,
    item_ids: pl.Series,
    table_name: str,
    params: PairsParams,
    seed: int,
    track: Track = silent,
) -> Behaviour:
    """The interaction log in `path`, on the items of a table called `table_name`.

    Columns are found as `sidmint init` finds them. Events on items that the table lacks stay in
    their user's sequence, so that no two events become neighbours that were none; they make
    neither pairs nor cases. Raises `BadInput` where no event is on an item of the table.
    """
    require_file(path)
    events, order = _events(path, item_ids, table_name)
    users = events[_USER].rank("dense").to_numpy().astype(np.int64)
    rows = rows_of(events[_ITEM], item_ids).cast(pl.Int64).fill_null(-1).to_numpy()
    is_last = np.append(users[1:] != users[:-1], True)
    cases = held_out_cases(
        users=users, positions=np.arange(len(users)), items=rows, held_out=is_last
    )
    seen = ~is_last & (rows >= 0)
    pairs = swing(
        users[seen],
        rows[seen],
        num_items=len(item_ids),
        seed=seed,
        track=track,
        **params.model_dump(),
    )
    words = (
        f"{events.height:,} events of {users.max():,} users from {path}, ordered by {order}; "
        f"{(rows >= 0).mean():.1%} are on items of the table; {len(pairs):,} Swing pairs from all "
        f"but the last event of each user, {len(cases):,} cases from the last"
    )
    return Behaviour(pairs, cases, words)


def _events(path: Path, item_ids: pl.Series, table_name: str) -> tuple[pl.DataFrame, str]:
    """Events by user and order, with ids as text, and what gave the order."""
    log = read_frame(path)
    items = pl.DataFrame({Items.ITEM_ID: item_ids, Items.TITLE: item_ids})
    known = _on_known_items(log, item_ids, path, table_name)
    # Columns are told by the events on known items: a log may hold far more than the table.
    match = match_columns(items, known, Path(table_name), path)
    columns = match.as_mapping()
    read = map_events(log, columns, path)
    events = read.with_columns(
        pl.Series(column, as_ids(read[column], str(path)), dtype=pl.String)
        for column in (_USER, _ITEM)
    )
    timed = [c for c in (_POSITION, Interactions.TIMESTAMP) if c in events.columns]
    events = events.drop(c for c in timed if events[c].null_count() == events.height)
    for column in timed:
        if column in events.columns and events[column].null_count():
            raise BadInput(
                f"{path}: row {events[column].is_null().arg_true()[0] + 1} has no {column} where "
                "other rows have; fill it in, remove the rows or leave the column out"
            )
    order = next((c for c in timed if c in events.columns), "the rows of the file")
    return in_order(events, str(path)), order


def _on_known_items(
    log: pl.DataFrame, item_ids: pl.Series, path: Path, table_name: str
) -> pl.DataFrame:
    candidates = named_like(log.columns, EVENT_COLUMNS[_ITEM])
    candidates = [column for column in candidates if not log.schema[column].is_nested()]
    if not candidates:
        raise BadInput(
            f"{path} has no column that looks like item_id (such as "
            f"{', '.join(EVENT_COLUMNS[_ITEM][:6])}); it has {', '.join(log.columns[:12])}. Rename "
            "the column to item_id"
        )
    texts = (as_text(log[column], str(path)) for column in candidates)
    known = log.filter(pl.any_horizontal(text.is_in(item_ids.implode()) for text in texts))
    if known.is_empty():
        raise BadInput(
            f"{path} names no item of {table_name}: {candidates[0]} holds ids like "
            f"{str(log[candidates[0]][0])[:40] if log.height else 'none'}, the table ids like "
            f"{item_ids[0][:40]}; give the log of the same catalogue, with ids written alike"
        )
    return known
