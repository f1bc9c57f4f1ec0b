"""A fitted tokenizer as two files: tokenizer.safetensors and tokenizer.json. Never pickle."""

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
from sidmint.settings import parse_settings
from sidmint.tokenizers.base import TOKENIZERS, Tokenizer

FORMAT_VERSION = 1
TENSORS, DESCRIPTION = "tokenizer.safetensors", "tokenizer.json"
_WANTED = {"type": str, "name": str, "config": dict, "digest": str}
"""What `load` cannot do without."""


def save(tokenizer: Tokenizer, folder: Path, fitted_on: str, num_fitted: int) -> dict[str, Any]:
    """Write both files into `folder`; returns what tokenizer.json says.

    `fitted_on` is "warm" or "all": whether the tokenizer saw the cold items' vectors. Two
    equal tokenizers give equal bytes.
    """
    state = {key: np.ascontiguousarray(value) for key, value in sorted(tokenizer.state().items())}
    tensors = save_tensors(state)
    description = {
        "format_version": FORMAT_VERSION,
        "type": tokenizer.type_name,
        "name": tokenizer.name,
        "config": tokenizer.config.model_dump(mode="json"),
        "sizes": list(tokenizer.config.sizes),
        "hierarchical": tokenizer.hierarchical,
        "num_dimensions": tokenizer.num_dimensions,
        "fitted_on": fitted_on,
        "num_fitted_items": num_fitted,
        "digest": hashlib.sha256(tensors).hexdigest(),
    }
    (folder / TENSORS).write_bytes(tensors)
    text = json.dumps(description, indent=2, sort_keys=True, allow_nan=False) + "\n"
    (folder / DESCRIPTION).write_text(text, encoding="utf-8", newline="\n")
    return description


def load(folder: Path) -> Tokenizer:
    """The fitted tokenizer that `save` wrote into `folder`.

    Raises `BadInput` when a file is missing, of another format, or not the one that was
    written (its SHA-256 is in tokenizer.json).
    """
    description = describe(folder)
    try:
        tensors = (folder / TENSORS).read_bytes()
    except FileNotFoundError as error:
        raise BadInput(f"{folder / TENSORS} is not there; train the tokenizer again") from error
    if hashlib.sha256(tensors).hexdigest() != description["digest"]:
        raise BadInput(
            f"{folder / TENSORS} is not the file that {DESCRIPTION} beside it describes (another "
            "SHA-256); fetch both again, or train the tokenizer again"
        )
    kind = TOKENIZERS[description["type"]]
    config = parse_settings(kind.Config, description["config"], str(folder / DESCRIPTION))
    try:
        return kind.from_state(config, load_tensors(tensors), description["name"])
    except (SafetensorError, LookupError, RuntimeError, ValueError, TypeError) as error:
        raise BadInput(f"{folder / TENSORS} does not fit its config: {error}") from error


def describe(folder: Path) -> dict[str, Any]:
    """What tokenizer.json says: type, config, sizes, what it was fitted on, digest."""
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path} is not there; train the tokenizer first") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not valid JSON: {error}") from error
    version = description.get("format_version") if isinstance(description, dict) else None
    if version != FORMAT_VERSION:
        raise BadInput(
            f"{path} has format version {version}, this sidmint reads {FORMAT_VERSION}; train the "
            "tokenizer again, or use the sidmint that wrote it"
        )
    for key, kind in _WANTED.items():
        if not isinstance(description.get(key), kind):
            raise BadInput(
                f"{path} has no {key} of type {kind.__name__}, so it is not what was written; "
                "fetch it again, or train the tokenizer again"
            )
    return dict(description)
