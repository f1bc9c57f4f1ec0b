"""What a model in MLflow carries of a table: sids.parquet or sids/, the tokenizer, served.json.

served.json names the encoder of the vectors and the SHA-256 of the other files. No file holds
Python objects.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sidmint.contracts import SemanticIds
from sidmint.disk import digest
from sidmint.errors import BadInput
from sidmint.execution.checking import open_shards, verified_digest
from sidmint.execution.engine import InThisProcess
from sidmint.execution.shards import Shards
from sidmint.json_text import dump_json
from sidmint.publishing.encoding import ReleaseEncoder
from sidmint.publishing.files import SOURCES_FILE, TOKENIZER_FILES
from sidmint.publishing.fusing import ReleaseSources
from sidmint.publishing.tables import TABLE, TABLE_FILE, TABLE_PARTS

FORMAT = 1
DESCRIPTION = "served.json"


@dataclass(frozen=True)
class Carried:
    """A table and what makes codes of new items, as read from a model's files."""

    table: pl.DataFrame | Shards
    new: ReleaseEncoder
    reads_texts: bool
    """Whether the encoder of the vectors can be made here; else only vectors are encoded."""

    def published(self, item_ids: Sequence[str]) -> pl.DataFrame:
        """A row an item of `item_ids`, in their order: `semantic_id` and `codes`, or nulls."""
        table = self.table.lookup(item_ids) if isinstance(self.table, Shards) else self.table
        wanted = pl.DataFrame({SemanticIds.ITEM_ID: item_ids}, {SemanticIds.ITEM_ID: pl.String})
        found = wanted.join(table, on=SemanticIds.ITEM_ID, how="left", maintain_order="left")
        codes = pl.concat_list(pl.col(r"^code_\d+$"))
        known = pl.col(SemanticIds.SEMANTIC_ID).is_not_null()
        return found.select(SemanticIds.SEMANTIC_ID, codes=pl.when(known).then(codes))


def write_files(
    folder: Path,
    sids: Path,
    tokenizer: Path,
    neighbours: Mapping[str, Any] | None,
    sources: Path | None = None,
) -> None:
    """Fill the empty `folder`; `neighbours` as by `describing.describe_neighbours`, if known.

    `sids` is the table, a file or a folder of parts; `tokenizer` the folder that stage train, or a
    release, keeps it in; `sources` the file of what was fitted of `embed.sources`, where vectors
    were joined.
    """
    if sids.is_dir():
        shutil.copytree(sids, folder / TABLE)
    else:
        shutil.copyfile(sids, folder / TABLE_FILE)
    (folder / "tokenizer").mkdir()
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer / name, folder / "tokenizer" / name)
    table = TABLE_PARTS if sids.is_dir() else TABLE_FILE
    names = [table, *(f"tokenizer/{name}" for name in TOKENIZER_FILES)]
    if sources is not None:
        shutil.copyfile(sources, folder / SOURCES_FILE)
        names.append(SOURCES_FILE)
    described = {
        "format": FORMAT,
        "encoder": neighbours["encoder"] if neighbours else None,
        "dimensions": neighbours["dimensions"] if neighbours else None,
        "sha256": {name: digest(folder / name) for name in names},
    }
    (folder / DESCRIPTION).write_text(dump_json(described), encoding="utf-8", newline="\n")


def reader_of_texts(described: Mapping[str, Any] | None) -> str | None:
    """The encoder that makes vectors of texts as those of the catalogue were made, by name.

    None where they came ready-made, and where they were joined from sources of which a text is not
    enough. `described` has the key `encoder`, as `describing.describe_neighbours` gives it.
    """
    from sidmint.embedding import ENCODERS, SOURCES

    encoder = (described or {}).get("encoder")
    if encoder is not None and encoder["name"] == SOURCES:
        sources = ReleaseSources(encoder["sources"], None, "this model", Path())
        return str(sources.heard[sources.of_text[0]]["encoder"]) if sources.reads_texts else None
    is_whole = encoder is not None and encoder["name"] in ENCODERS and not encoder["second"]
    return str(encoder["name"]) if encoder and is_whole else None


def read_files(folder: Path) -> Carried:
    """What `write_files` wrote; encoder and tokenizer are loaded at their first use.

    `BadInput` where a file is missing, of another format, or not the one that was written.
    """
    path = folder / DESCRIPTION
    try:
        described = json.loads(path.read_bytes())
        known, encoder, size = described["sha256"], described["encoder"], described["dimensions"]
        is_ours = described["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{path} is not what was written: {error!r}; register it again") from error
    if not is_ours:
        raise BadInput(
            f"{path} has format {described['format']}, this sidmint reads {FORMAT}; register the "
            "version again"
        )
    for name, wanted in known.items():
        if not (folder / name).is_file() or digest(folder / name) != wanted:
            raise BadInput(
                f"{folder / name} is not what was written: its sha256 is not the one in "
                f"{DESCRIPTION}; register the version again"
            )
    fitted = folder / SOURCES_FILE if SOURCES_FILE in known else None
    new = ReleaseEncoder(encoder, size, folder / "tokenizer", "this model", Path(), fitted)
    reads_texts = reader_of_texts(described) is not None
    if TABLE_FILE in known:
        return Carried(pl.read_parquet(folder / TABLE_FILE), new, reads_texts)
    return Carried(_parted(folder / TABLE), new, reads_texts)


def _parted(folder: Path) -> Shards:
    verified_digest(folder, InThisProcess())
    return open_shards(folder)
