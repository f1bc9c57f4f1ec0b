"""Tokenizer settings that ship: the papers' own, ready to be added to a params.yaml."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml
from ruamel.yaml import YAML

from sidmint.errors import BadInput, did_you_mean
from sidmint.layout import Layout
from sidmint.params import parse_params


@dataclass(frozen=True)
class Preset:
    """One shipped file: what it reproduces, and its `tokenizers` section."""

    name: str
    about: str
    tokenizers: Mapping[str, Mapping[str, Any]]
    text: str
    """The `tokenizers` section as YAML, as shipped."""


def presets() -> dict[str, Preset]:
    """Every shipped preset by name, in alphabetical order."""
    shipped = [path for path in files(__package__).iterdir() if path.name.endswith(".yaml")]
    return {
        name: _read(name, text)
        for name, text in sorted(
            (path.name.removesuffix(".yaml"), path.read_text(encoding="utf-8")) for path in shipped
        )
    }


def preset(name: str) -> Preset:
    """The preset called `name`; `BadInput` lists the known."""
    known = presets()
    if name not in known:
        close = did_you_mean(name, known)
        raise BadInput(f"unknown preset {name!r}; choose one of: {', '.join(known)}{close}")
    return known[name]


def add_preset(layout: Layout, name: str) -> tuple[str, ...]:
    """Write the tokenizers of a preset into params.yaml and name them in `train.tokenizers`.

    Returns their names. A tokenizer that params.yaml has already takes the preset's settings
    in place of its own. Comments stay. Raises `BadInput` before anything is written.
    """
    chosen = preset(name)
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 100
    try:
        params: Any = editor.load(layout.params.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{layout.params} is not there; run inside a workspace") from error
    shipped = editor.load(chosen.text)["tokenizers"]
    named = params["train"]["tokenizers"]
    for tokenizer, settings in shipped.items():
        params["tokenizers"][tokenizer] = settings
        if tokenizer not in named:
            named.append(tokenizer)
    written = io.StringIO()
    editor.dump(params, written)
    parse_params(yaml.safe_load(written.getvalue()), "params.yaml with the preset")
    layout.params.write_text(written.getvalue(), encoding="utf-8")
    return tuple(shipped)


def _read(name: str, text: str) -> Preset:
    content = yaml.safe_load(text)
    section = text[text.index("tokenizers:") :]
    return Preset(name, content["about"], content["tokenizers"], section)
