"""A fitted recommender as two files: recommender.safetensors and recommender.json. Never pickle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from sidmint.errors import BadInput
from sidmint.recommenders.base import RECOMMENDERS, Recommender
from sidmint.recommenders.id_table import IdTable
from sidmint.settings import parse_settings

FORMAT_VERSION = 1
TENSORS, DESCRIPTION = "recommender.safetensors", "recommender.json"


def make_recommender(name: str, settings: dict[str, Any], where: str) -> Recommender:
    """An unfitted recommender; `BadInput` naming `where` for an unknown name or setting."""
    kind = RECOMMENDERS[name]
    return kind(parse_settings(kind.Config, settings, where))


def save(recommender: Recommender, table: IdTable, folder: Path) -> None:
    """Write both files into `folder`. Two equal recommenders give equal bytes."""
    state = {k: np.ascontiguousarray(v) for k, v in sorted(recommender.state().items())}
    tensors = save_tensors(state)
    description = {
        "format_version": FORMAT_VERSION,
        "name": recommender.name,
        "config": recommender.config.model_dump(mode="json"),
        "table_sha256": table_digest(table),
        "sizes": list(table.sizes),
        "num_items": len(table),
        "digest": hashlib.sha256(tensors).hexdigest(),
    }
    (folder / TENSORS).write_bytes(tensors)
    text = json.dumps(description, indent=2, sort_keys=True, allow_nan=False) + "\n"
    (folder / DESCRIPTION).write_text(text, encoding="utf-8", newline="\n")


def load(folder: Path, table: IdTable, device: str = "cpu") -> Recommender:
    """The recommender that `save` wrote into `folder`, over the same `table`.

    Raises `BadInput` when a file is missing or another one than was written, and when `table`
    is not the one that it was fitted on: its numbers would name other items.
    """
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        tensors = (folder / TENSORS).read_bytes()
        wanted, digest = description["table_sha256"], description["digest"]
        name, config = description["name"], description["config"]
    except FileNotFoundError as error:
        raise BadInput(f"{error.filename} is not there; no recommender was kept here") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{folder / DESCRIPTION} is not what was written: {error!r}") from error
    if hashlib.sha256(tensors).hexdigest() != digest:
        raise BadInput(f"{folder / TENSORS} is not what was written: its SHA-256 is another")
    if table_digest(table) != wanted:
        raise BadInput(f"{folder} holds a recommender of another table of Semantic IDs")
    recommender = make_recommender(name, config, str(folder / DESCRIPTION))
    try:
        recommender.load_state(load_tensors(tensors), table, device)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise BadInput(f"{folder / TENSORS} does not fit {name}: {error}") from error
    return recommender


def num_items(folder: Path) -> int:
    """How many items the recommender in `folder` was fitted on; `BadInput` if nothing says."""
    try:
        return int(json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))["num_items"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{folder / DESCRIPTION} is not what was written: {error!r}") from error


def table_digest(table: IdTable) -> str:
    """SHA-256 of the ids in row order."""
    header = f"{table.codes.values.shape}{table.sizes}".encode()
    values = np.ascontiguousarray(table.codes.values, dtype="<i4").tobytes()
    return hashlib.sha256(header + values).hexdigest()
