"""A published table in the files that other systems read.

`index-json` is the index of LETTER, LC-Rec and MiniOneRec, {"item": ["<a_12>", "<b_7>", ...], ...};
`csv` and `parquet` are the columns of sids.parquet; a delta says what two versions do not share;
`item-vectors` are what the recommender of a version knows of its items, for `embed.collaborative`.
Equal tables give equal bytes. `sidmint inspect` reads the first three back. A table in parts is
read a part at a time; of a delta, what changed is in memory.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import polars as pl

from sidmint.contracts import SemanticIds
from sidmint.errors import BadInput
from sidmint.execution.joining import join
from sidmint.json_text import dump_json
from sidmint.publishing.new_file import Write, require_free, write_new
from sidmint.publishing.published_rows import PublishedRows, open_rows
from sidmint.publishing.store import VersionStore
from sidmint.publishing.table_changes import MOST_LISTED, all_changed_ids, pairs_of
from sidmint.publishing.tables import TABLE_FILE, TableParts, in_parts
from sidmint.publishing.versions import Release
from sidmint.semantic_ids import LETTERS

Format = Literal["index-json", "csv", "parquet", "delta", "item-vectors"]

TOKEN = "<{letter}_{code}>"  # noqa: S105
"""How LETTER, LC-Rec and MiniOneRec write codes: <a_12> at the first level, <b_7> at the second."""

_FORMULA = r"^[=+\-@\t\r]"
"""What a spreadsheet takes for the start of a formula."""


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    version: str
    since: str | None
    """The version that a delta is told from; None for a whole table."""
    format: Format
    path: str
    sha256: str


@dataclass(frozen=True)
class Options:
    """What goes with one format alone; each is refused with another."""

    since: str | None = None
    """delta: the version that it is told from."""
    token: str | None = None
    """index-json: how a code is written, `TOKEN` by default."""
    allow_formulas: bool = False
    """csv: write item ids that a spreadsheet would run."""


def export(
    store: VersionStore,
    version: str | None,
    form: Format,
    output: Path,
    options: Options,
    force: bool = False,
) -> Exported:
    """Write `version` (the champion by default) to the file `output`, as a whole or not at all.

    A file that is there is replaced under `force` alone. `BadInput` for an option that does not go
    with the format, and for what each format and `new_file.write_new` refuse.
    """
    _require_fitting(form, options)
    require_free(output, force, store.folder)
    release = store.release(version)
    write = _writer(store, release, form, output, options)
    found = write_new(output, write, force, store.folder)
    return Exported(release.version, options.since, form, str(output), found)


def _require_fitting(form: Format, options: Options) -> None:
    for name, given, belongs in (
        ("--since", options.since is not None, "delta"),
        ("--prefix-format", options.token is not None, "index-json"),
        ("--allow-formulas", options.allow_formulas, "csv"),
    ):
        if given and form != belongs:
            raise BadInput(f"{name} goes with --format {belongs}; the format is {form}")
    if form == "delta" and options.since is None:
        raise BadInput("--format delta wants --since VERSION, the version that readers have")


def _writer(
    store: VersionStore, release: Release, form: Format, output: Path, options: Options
) -> Write:
    if form == "index-json":
        return index_json(release, TOKEN if options.token is None else options.token)
    if form == "csv":
        return csv(release, options.allow_formulas)
    if form == "parquet":
        return parquet(release)
    if form == "item-vectors":
        return item_vectors(release)
    writers = {".json": delta_json, ".parquet": delta_parquet}
    if output.suffix not in writers:
        raise BadInput(f"--output {output}: a delta is written as .json or .parquet")
    return writers[output.suffix](store.release(options.since), release)


def index_json(release: Release, token: str = TOKEN) -> Write:
    """The JSON index, one item a line in row order, the suffix as a last token where there is one.

    In `token` the words {letter} (a, b, ...), {level} (from 1) and {code} are filled in. `BadInput`
    for one that gives two codes one token, for more levels than letters, and for an item without
    an id.
    """
    columns = release.ids.columns
    texts = [
        _tokens(token, level, size) for level, size in enumerate(release.ids.part_sizes, start=1)
    ]
    if (every := pl.concat(texts)).is_duplicated().any():
        shared = every.filter(every.is_duplicated())[0]
        raise BadInput(
            f"--prefix-format {token!r} writes {shared} for two codes; part level and code, like "
            f"{TOKEN}"
        )
    rows = _whole_rows(release)

    def lines(piece: pl.DataFrame) -> list[str]:
        tokens = [texts[level].gather(piece[column]) for level, column in enumerate(columns)]
        keys = pl.Series("key", [json.dumps(item, ensure_ascii=False) for item in piece["item_id"]])
        listed = pl.DataFrame([keys, *(each.alias(str(n)) for n, each in enumerate(tokens))])
        form = "{}: [" + ", ".join(["{}"] * len(tokens)) + "]"
        return listed.select(pl.format(form, *listed.columns)).to_series().to_list()

    def write(path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            before = "{\n"
            for piece in rows.pieces([SemanticIds.ITEM_ID, *columns]):
                file.write(before + ",\n".join(lines(piece)))
                before = ",\n"
            file.write("\n}\n")

    return write


def csv(release: Release, allow_formulas: bool = False) -> Write:
    """Columns as in sids.parquet, a header, commas, UTF-8, Unix line ends.

    An id is written as it is: changed, it would name no item. So a table with an item id that a
    spreadsheet would run as a formula (it begins with =, +, -, @, a tab or a carriage return) is
    `BadInput`, unless `allow_formulas` says that programs alone will read the file. A spreadsheet
    may still take "1-2-3" for a date and drop the zeros of "007"; Parquet says what is text.
    """
    rows = _whole_rows(release)
    risky = _Counted()
    for piece in rows.pieces([SemanticIds.ITEM_ID]):
        ids = piece[SemanticIds.ITEM_ID]
        risky.add(ids.filter(ids.str.contains(_FORMULA)))
    if risky.count and not allow_formulas:
        raise BadInput(
            f"{risky.count:,} item ids begin like a formula, the first of them {risky.first!r}, "
            "and a spreadsheet that opens the file would run it; write --format parquet, or give "
            "--allow-formulas where programs alone read it"
        )

    def write(path: Path) -> None:
        with path.open("wb") as file:
            for number, piece in enumerate(rows.pieces()):
                piece.write_csv(file, line_terminator="\n", include_header=number == 0)

    return write


def parquet(release: Release) -> Write:
    """sids.parquet as it was published, byte for byte: the manifest has its sha256.

    Of a table in parts, one file with the rows of all.
    """
    if in_parts(release):
        parts = TableParts(release).intact()
        return lambda path: join(parts, path)
    source = release.intact_file(TABLE_FILE)

    def write(path: Path) -> None:
        shutil.copyfile(source, path)

    return write


def item_vectors(release: Release) -> Write:
    """Parquet, a row an item in row order: `item_id`, `vector`. See `OpenRecommender`."""
    from sidmint.publishing.recommending import OpenRecommender  # brings torch

    table = OpenRecommender(release).item_vectors()
    return lambda path: table.write_parquet(path, compression="zstd", statistics=True)


def delta_json(before: Release, after: Release) -> Write:
    """What changed, as {"added": {item: id}, "removed": {item: id}, "moved": {item: [old, new]}}.

    Beside it `since` and `version`. Apply it to the older table and the newer one comes out.
    """
    changes = delta(before, after)
    if len(changes) > MOST_LISTED:
        raise BadInput(
            f"{len(changes):,} items changed from {before.version} to {after.version}, and a delta "
            f"in JSON holds {MOST_LISTED:,} at most; name a .parquet file"
        )

    def listed(change: str) -> list[tuple[str, Any, Any]]:
        return changes.filter(pl.col("change") == change).drop("change").rows()

    value = {
        "since": before.version,
        "version": after.version,
        "added": {item: new for item, _, new in listed("added")},
        "removed": {item: old for item, old, _ in listed("removed")},
        "moved": {item: [old, new] for item, old, new in listed("moved")},
    }
    return lambda path: _write_text(path, dump_json(value))


def delta_parquet(before: Release, after: Release) -> Write:
    """What changed, a row an item: `item_id`, `change`, `before`, `after`, sorted by item.

    `change` is added (then `before` is null), removed (`after` is null) or moved.
    """
    changes = delta(before, after)
    return lambda path: _write_packed(path, changes)


def _write_packed(path: Path, changes: pl.DataFrame) -> None:
    packed = BytesIO()  # of a full disk Polars says that the content is bad
    changes.write_parquet(packed, compression="zstd", statistics=True)
    path.write_bytes(packed.getbuffer())


def delta(before: Release, after: Release) -> pl.DataFrame:
    """The rows of `delta_parquet`."""
    return all_changed_ids(pairs_of(open_rows(before), open_rows(after)))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


@dataclass
class _Counted:
    """How many items there are of a kind, and the first of them."""

    count: int = 0
    first: str | None = None

    def add(self, items: pl.Series) -> None:
        if not self.count and len(items):
            self.first = items[0]
        self.count += len(items)


def _whole_rows(release: Release) -> PublishedRows:
    """The rows of `release`, none of which lacks an id."""
    rows, columns = open_rows(release), release.ids.columns
    without = _Counted()
    for piece in rows.pieces([SemanticIds.ITEM_ID, *columns]):
        lacks = pl.any_horizontal(pl.col(columns).is_null())
        without.add(piece.filter(lacks)[SemanticIds.ITEM_ID])
    if without.count:
        raise BadInput(
            f"{without.count:,} items of {release.version} have no Semantic ID, the first of them "
            f"{without.first!r}; an export wants one for every item"
        )
    return rows


def _tokens(form: str, level: int, size: int) -> pl.Series:
    """The token of every code of a level, as JSON text."""
    rest = form
    for word in ("{letter}", "{level}", "{code}"):
        rest = rest.replace(word, "")
    if "{code}" not in form or set(rest) & {*"{}"}:
        raise BadInput(
            f"--prefix-format {form!r} wants {{code}}, with {{letter}} or {{level}}, and no other "
            f"braces; like {TOKEN}"
        )
    if "{letter}" in form and level > len(LETTERS):
        raise BadInput(
            f"level {level} has no letter (26 is the most); "
            "give --prefix-format '<{level}_{code}>'"
        )
    letter = LETTERS[level - 1] if level <= len(LETTERS) else ""
    stem = form.replace("{letter}", letter).replace("{level}", str(level))
    texts = [json.dumps(stem.replace("{code}", str(code))) for code in range(size)]
    return pl.Series("token", texts, dtype=pl.String)
