"""A published table in the files that other systems read.

`index-json` is the index of LETTER, LC-Rec and MiniOneRec, {"item": ["<a_12>", "<b_7>", ...], ...};
`csv` and `parquet` are the columns of sids.parquet; a delta says what two versions do not share;
`item-vectors` are what the recommender of a version knows of its items, for `embed.collaborative`.
Equal tables give equal bytes. `sidmint inspect` reads the first three back.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from sidmint.contracts import SemanticIds
from sidmint.errors import BadInput
from sidmint.json_text import dump_json
from sidmint.publishing.difference import changed_ids
from sidmint.publishing.lookup import read_table
from sidmint.publishing.new_file import Write, require_free, write_new
from sidmint.publishing.store import VersionStore
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
    table, columns = _table(release), release.ids.columns
    texts = [
        _tokens(token, level, size) for level, size in enumerate(release.ids.part_sizes, start=1)
    ]
    if (every := pl.concat(texts)).is_duplicated().any():
        shared = every.filter(every.is_duplicated())[0]
        raise BadInput(
            f"--prefix-format {token!r} writes {shared} for two codes; part level and code, like "
            f"{TOKEN}"
        )
    tokens = [texts[level].gather(table[column]) for level, column in enumerate(columns)]
    keys = pl.Series("key", [json.dumps(item, ensure_ascii=False) for item in table["item_id"]])
    listed = pl.DataFrame([keys, *(each.alias(str(n)) for n, each in enumerate(tokens))])
    form = "{}: [" + ", ".join(["{}"] * len(tokens)) + "]"
    lines = listed.select(pl.format(form, *listed.columns)).to_series()

    return lambda path: _write_text(path, "{\n" + ",\n".join(lines.to_list()) + "\n}\n")


def csv(release: Release, allow_formulas: bool = False) -> Write:
    """Columns as in sids.parquet, a header, commas, UTF-8, Unix line ends.

    An id is written as it is: changed, it would name no item. So a table with an item id that a
    spreadsheet would run as a formula (it begins with =, +, -, @, a tab or a carriage return) is
    `BadInput`, unless `allow_formulas` says that programs alone will read the file. A spreadsheet
    may still take "1-2-3" for a date and drop the zeros of "007"; Parquet says what is text.
    """
    table = _table(release)
    ids = table[SemanticIds.ITEM_ID]
    risky = ids.filter(ids.str.contains(_FORMULA))
    if len(risky) and not allow_formulas:
        raise BadInput(
            f"{len(risky):,} item ids begin like a formula, the first of them {risky[0]!r}, and a "
            "spreadsheet that opens the file would run it; write --format parquet, or give "
            "--allow-formulas where programs alone read it"
        )
    return lambda path: table.write_csv(path, line_terminator="\n")


def parquet(release: Release) -> Write:
    """sids.parquet as it was published, byte for byte: the manifest has its sha256."""
    source = release.intact_file("sids.parquet")

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
    return lambda path: changes.write_parquet(path, compression="zstd", statistics=True)


def delta(before: Release, after: Release) -> pl.DataFrame:
    """The rows of `delta_parquet`."""
    return changed_ids(_table(before, whole=False), _table(after, whole=False))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _table(release: Release, whole: bool = True) -> pl.DataFrame:
    """The published table, its sha256 checked; `whole`: no item lacks an id."""
    table, columns = read_table(release), release.ids.columns
    without = table.filter(pl.any_horizontal(pl.col(columns).is_null()))
    if whole and len(without):
        raise BadInput(
            f"{len(without):,} items of {release.version} have no Semantic ID, the first of them "
            f"{without[SemanticIds.ITEM_ID][0]!r}; an export wants one for every item"
        )
    return table


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
