"""What a run may know of the published versions, as files that DVC can see.

    data/champion.json           version, tokenizer and metrics of the champion; tracked by git
    data/champion/sids.parquet   its ids, for the recommender that compares tables; of a table in
                                 parts the folder data/champion/sids
    data/champion/cases.parquet  how it answered each held-out case, items by their ids
    data/champion/history.json   every version that was ever champion, and its metrics

The registry lies outside the graph. The gate depends on the first file and the report on all
three, so that neither reads what DVC did not see.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sidmint.artifacts import require_numbers
from sidmint.disk import storing
from sidmint.errors import BadInput
from sidmint.execution.checking import open_shards, verified_digest
from sidmint.execution.engine import Engine, InThisProcess
from sidmint.execution.shards import PARTS, Shards, part_name, read_manifest
from sidmint.gate.rules import Champion
from sidmint.json_text import dump_json
from sidmint.layout import Layout
from sidmint.publishing.acts import moves
from sidmint.publishing.audit import Entry
from sidmint.publishing.files import copy_hashed
from sidmint.publishing.published_rows import open_rows
from sidmint.publishing.store import VersionStore
from sidmint.publishing.tables import TABLE, TABLE_FILE, TABLE_PARTS, in_parts
from sidmint.publishing.versions import Pointer, Release

CASES, HISTORY = "cases.parquet", "history.json"
CHAMPION_TABLE = TABLE_FILE
"""The champion's ids, which stage recommend trains on beside the candidates'."""

_LATER = "The registry stands as it is, and `sidmint run` brings data/champion level with it"
_SIDES = ("query", "target")
_HERE = InThisProcess()


@dataclass(frozen=True)
class ChampionCases:
    """How the champion answered: `table` as `cases_by_id` gives it, over `num_items` items."""

    table: pl.DataFrame
    num_items: int


def sync_champion(layout: Layout, store: VersionStore) -> bool:
    """Bring data/champion.json and data/champion level with the registry; true if they were not.

    Each file is replaced in one step, champion.json last. A version whose release kept no cases
    (an older sidmint made it) leaves no cases.parquet. Without a champion the folder is as git
    has it, so that `dvc repro` in a fresh clone and `sidmint run` write one lock.
    """
    changed = False
    while True:
        pointer = store.champion()
        with storing(layout.champion.parent, _LATER):
            changed |= _write_snapshot(layout, store, pointer, version_history(store))
        # Whoever wrote last has looked last: of two at once, the older state never stays.
        if store.champion() == pointer:
            return changed


def write_snapshot_before(layout: Layout, store: VersionStore, version: str) -> None:
    """What the workspace knew of the registry when `version` was judged, into `layout`.

    `layout` may be another checkout of the workspace. `BadInput` if no line of the log made it.
    """
    entries = store.entries()
    made = [n for n, entry in enumerate(entries) if entry.get("version") == version]
    if not made:
        raise BadInput(
            f"{version} is in no line of the log: nobody knows what it was judged against"
        )
    before = entries[: made[0]]
    pointer = Pointer.after(before[-1]) if before else None
    _write_snapshot(layout, store, pointer, version_history(store, before))


def _write_snapshot(
    layout: Layout, store: VersionStore, pointer: Pointer | None, history: list[dict[str, Any]]
) -> bool:
    release = store.release(pointer.version) if pointer else None
    layout.champion_folder.mkdir(parents=True, exist_ok=True)
    files = {
        layout.champion_folder / CASES: _cases_file(release) if release else None,
        layout.champion_folder / CHAMPION_TABLE: (
            _table_file(release) if release and not in_parts(release) else None
        ),
        layout.champion_folder / HISTORY: dump_json(history).encode() if history else None,
        layout.champion: dump_json(_champion(release, pointer)).encode(),
    }
    # Drafts stay out of the folder: DVC would take one that a killed process left for an input.
    drafts = layout.champion.parent
    parted = release if release and in_parts(release) else None
    changed = [_replace_parts(layout.champion_folder / TABLE, parted, drafts)]
    changed += [_replace(path, content, drafts) for path, content in files.items()]
    return any(changed)


def champion_table(layout: Layout) -> pl.DataFrame | Shards | None:
    """The champion's ids as the workspace knows them; None where it has none.

    `BadInput` names the part that is missing, there twice, cut short or of other columns.
    """
    path, parts = layout.champion_folder / CHAMPION_TABLE, layout.champion_folder / TABLE
    if parts.is_dir():
        return open_shards(parts)
    return pl.read_parquet(path) if path.is_file() else None


def champion_ids(layout: Layout) -> pl.DataFrame | None:
    """`champion_table`, all of its rows in memory."""
    found = champion_table(layout)
    return found.scan().collect() if isinstance(found, Shards) else found


def champion_sha256(layout: Layout, engine: Engine = _HERE) -> str:
    """Digest of what a run knows of the champion: champion.json, its ids and its cases.

    For ids in parts stands their parts.json, once every part was read (`BadInput` names one that is
    damaged).
    """
    folder = layout.champion_folder
    table = folder / CHAMPION_TABLE
    if (folder / TABLE).is_dir():
        verified_digest(folder / TABLE, engine)
        table = folder / TABLE_PARTS
    paths = (layout.champion, table, folder / CASES)
    return _digest_of([path.read_bytes() if path.is_file() else None for path in paths])


def release_sha256(release: Release, pointer: Pointer, engine: Engine = _HERE) -> str:
    """What `champion_sha256` is where the workspace knows `release` as it lies in the registry."""
    champion = dump_json(_champion(release, pointer)).encode()
    if in_parts(release):
        verified_digest(release.whole(TABLE), engine)
    return _digest_of([champion, _table_file(release), _cases_file(release)])


def _digest_of(parts: list[bytes | None]) -> str:
    each = [None if part is None else hashlib.sha256(part).hexdigest() for part in parts]
    return hashlib.sha256(json.dumps(each).encode()).hexdigest()


def version_history(
    store: VersionStore, entries: Sequence[Entry] | None = None
) -> list[dict[str, Any]]:
    """Every version that was ever champion, oldest first, with all its metrics.

    By the lines `entries` of the log; by default by all of them.
    `rolled_back`: it is champion no longer, and the last move away from it was a rollback. A
    version whose files cannot be read is left out: `sidmint verify` says what is damaged, and a
    run must not stop at an old version.
    """
    told = [entry for entry in (store.entries() if entries is None else entries) if moves(entry)]
    champion = told[-1]["version"] if told else None
    announced = {move.get("version") for move in told}
    last_move_from = {move.get("previous"): move.get("action") for move in told}
    history = []
    for version in store.versions():
        facts = _facts(store.release(version)) if version in announced else None
        if facts is not None:
            rolled_back = version != champion and last_move_from.get(version) == "rollback"
            history.append({**facts, "champion": version == champion, "rolled_back": rolled_back})
    return history


def cases_by_id(cases: pl.DataFrame, item_ids: pl.Series) -> pl.DataFrame:
    """Evaluate's cases.parquet with query_id and target_id in place of the row numbers.

    `item_ids` (N,) are the items in the row order that the numbers count in. `BadInput` where
    the cases are of another catalogue, or of an evaluate stage that did not write users.
    """
    _require_rows(cases, len(item_ids))
    return _named(cases, item_ids)


def cases_named(
    cases: pl.DataFrame, num_items: int, ids_of_rows: Callable[[pl.Series], pl.Series]
) -> pl.DataFrame:
    """`cases_by_id` of a catalogue of which only the rows that a case names are read.

    `ids_of_rows` gives the item ids of rising row numbers.
    """
    _require_rows(cases, num_items)
    rows = pl.concat([cases[f"{side}_row"] for side in _SIDES]).unique().sort()
    places = [pl.Series(f"{side}_row", rows.search_sorted(cases[f"{side}_row"])) for side in _SIDES]
    return _named(cases.with_columns(places), ids_of_rows(rows))


def _named(cases: pl.DataFrame, item_ids: pl.Series) -> pl.DataFrame:
    named = [item_ids.gather(cases[f"{side}_row"]).alias(f"{side}_id") for side in _SIDES]
    figures = [name for name in cases.columns if name.endswith(("_better", "_tied"))]
    return cases.select("user_id", *named, *figures)


def _require_rows(cases: pl.DataFrame, num_items: int) -> None:
    highest = max(int(cases[f"{side}_row"].max() or 0) for side in _SIDES)  # type: ignore[arg-type]
    if "user_id" not in cases.columns or highest >= num_items:
        raise BadInput(
            f"cases.parquet wants a column user_id and rows of {num_items} items, has "
            f"{', '.join(cases.columns)} and row {highest}; `sidmint run` evaluates again"
        )


def read_champion(layout: Layout) -> Champion | None:
    """The champion that the workspace knows; None where nothing is published."""
    path = layout.champion
    try:
        snapshot: Any = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise BadInput(f"{path} is not there; `sidmint run` writes it from the registry") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not valid JSON: {error}") from error
    return Champion.parse(snapshot, str(path))


def read_cases(layout: Layout, version: str) -> ChampionCases | None:
    """The cases of the champion `version`; None where the workspace has none of that version.

    After a `git pull` the folder may still hold those of another one, until the next run.
    """
    path = layout.champion_folder / CASES
    if not path.is_file():
        return None
    try:
        table, facts = pl.read_parquet(path), pl.read_parquet_metadata(path)
        return (
            ChampionCases(table, int(facts["num_items"])) if facts["version"] == version else None
        )
    except (pl.exceptions.PolarsError, OSError, KeyError, ValueError) as error:
        raise _not_readable(path, error) from error


def read_history(layout: Layout) -> list[dict[str, Any]] | None:
    """What `version_history` said when the workspace was last level; None where no file says."""
    path = layout.champion_folder / HISTORY
    if not path.is_file():
        return None
    try:
        history = json.loads(path.read_bytes())
        for version in history:
            require_numbers(version.get("metrics", {}), str(path))
        return [dict(version) for version in history]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _not_readable(path, error) from error


def _champion(release: Release | None, pointer: Pointer | None) -> dict[str, Any]:
    """The contents of champion.json, with the newest move that it knows of (`verify` asks)."""
    if release is None or pointer is None:
        return {"version": None, "tokenizer": None, "metrics": {}}
    return {
        "log_head": pointer.move_hash,
        "log_sequence": pointer.sequence,
        "version": release.version,
        "tokenizer": release.manifest["tokenizer"],
        "metrics": release.metrics,
    }


def _facts(release: Release) -> dict[str, Any] | None:
    try:
        manifest, metrics = release.manifest, release.metrics
        return {
            "version": release.version,
            "tokenizer": manifest["tokenizer"],
            "created_at": manifest["created_at"],
            "override": manifest["override"] is not None,
            "metrics": metrics,
        }
    except (BadInput, KeyError):
        return None


def _table_file(release: Release) -> bytes:
    """The table; of one in parts what stands for it."""
    return release.file(TABLE_PARTS if in_parts(release) else CHAMPION_TABLE).read_bytes()


def _cases_file(release: Release) -> bytes | None:
    """The champion's cases as Parquet, naming the version; None where it kept none with users."""
    if not release.has(CASES):
        return None
    try:
        cases = pl.read_parquet(release.file(CASES))
        if "user_id" not in cases.columns:
            return None
        table = open_rows(release)
        named = cases_named(cases, table.num_items, table.ids_of_rows)
    except pl.exceptions.PolarsError as error:
        raise BadInput(
            f"the cases of {release.version} cannot be read ({error}); `sidmint verify "
            f"{release.version}` says what is damaged, `sidmint rollback` leaves it"
        ) from error
    # Items that a refresh added later were no answers to choose from.
    asked_of = (release.manifest.get("refresh") or {}).get("num_trained_items", table.num_items)
    facts = {"version": release.version, "num_items": str(asked_of)}
    written = io.BytesIO()
    named.write_parquet(written, compression="zstd", metadata=facts)
    return written.getvalue()


def _replace_parts(folder: Path, release: Release | None, drafts: Path) -> bool:
    """Make `folder` the table in parts of `release`, or be gone for None; true if it was not so.

    parts.json goes first and comes last: until then the folder is no table, and is brought again,
    as is one that lacks a part.
    """
    if release is None:
        if not folder.exists():
            return False
        shutil.rmtree(folder)
        return True
    content = _table_file(release)
    if _is_level(folder, content):
        return False
    folder.mkdir(exist_ok=True)
    (folder / PARTS).unlink(missing_ok=True)
    parts = read_manifest(release.file(TABLE_PARTS)).parts
    for index, part in enumerate(parts):
        draft = drafts / f".{part_name(index)}.{os.getpid()}.draft"
        try:
            if copy_hashed(release.file(f"{TABLE}/{part_name(index)}"), draft) != part.sha256:
                raise BadInput(
                    f"{release.where}/{TABLE}/{part_name(index)} is not what was published; "
                    f"`sidmint verify {release.version}` says what is damaged"
                )
            os.replace(draft, folder / part_name(index))
        finally:
            draft.unlink(missing_ok=True)
    for path in set(folder.iterdir()) - {folder / part_name(n) for n in range(len(parts))}:
        if path.name != PARTS:
            path.unlink()
    return _replace(folder / PARTS, content, drafts)


def _is_level(folder: Path, content: bytes) -> bool:
    if not (folder / PARTS).is_file() or (folder / PARTS).read_bytes() != content:
        return False
    try:
        open_shards(folder)
    except BadInput:
        return False
    return True


def _replace(path: Path, content: bytes | None, drafts: Path) -> bool:
    """Make `path` hold `content` in one step, or be gone for None; true if it did not already."""
    if content is None:
        if not path.exists():
            return False
        path.unlink(missing_ok=True)
        return True
    if path.is_file() and path.read_bytes() == content:
        return False
    # A name of its own: processes that publish at once would take each other's draft away.
    draft = drafts / f".{path.name}.{os.getpid()}.draft"
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return True


def _not_readable(path: Path, error: Exception) -> BadInput:
    return BadInput(
        f"{path} cannot be read ({error}); delete it, and `sidmint run` brings it from the registry"
    )
