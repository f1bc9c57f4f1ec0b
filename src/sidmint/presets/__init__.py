"""Tokenizer settings that ship: the papers' own, ready to be added to a params.yaml."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml
from ruamel.yaml import YAML

from sidmint.errors import BadInput, did_you_mean
from sidmint.layout import Layout
from sidmint.params import load_params, parse_params
from sidmint.presets.splicing import with_value

_CHOSEN = "params.yaml with the choice"


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

    def add(params: Any, editor: YAML) -> None:
        named = params["train"]["tokenizers"]
        for tokenizer, settings in editor.load(chosen.text)["tokenizers"].items():
            params["tokenizers"][tokenizer] = settings
            if tokenizer not in named:
                named.append(tokenizer)

    _edit(layout, add, "params.yaml with the preset")
    return tuple(chosen.tokenizers)


def train_only(layout: Layout, name: str, settings: Mapping[str, Any]) -> None:
    """Write `tokenizers.NAME` into params.yaml and make it the one that `train.tokenizers` names.

    Settings of the others stay where they are, unused. No other character changes, save where
    references (*name) stand in the way. Raises `BadInput` before anything is written.
    """
    known = load_params(layout.params).tokenizers.get(name, {})
    path, changes = ("tokenizers", name), dict(settings)
    edits: list[tuple[tuple[str, ...], Any]] = [(path, changes)]
    if known and set(known) <= set(settings):
        edits = [((*path, key), value) for key, value in changes.items() if known.get(key) != value]
    text: str | None = layout.params.read_text(encoding="utf-8")
    for at, value in [*edits, (("train", "tokenizers"), [name])]:
        text = with_value(text, at, value) if text is not None else None
    if text is None:
        _edit(layout, lambda params, _: _train_only(params, name, changes), _CHOSEN)
        return
    parse_params(yaml.safe_load(text), _CHOSEN)
    layout.params.write_text(text, encoding="utf-8")


def _train_only(params: Any, name: str, settings: dict[str, Any]) -> None:
    params.setdefault("tokenizers", {})[name] = settings
    params.setdefault("train", {})["tokenizers"] = [name]


def _edit(layout: Layout, change: Callable[[Any, YAML], None], where: str) -> None:
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 100
    try:
        params: Any = editor.load(layout.params.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{layout.params} is not there; run inside a workspace") from error
    change(params, editor)
    written = io.StringIO()
    editor.dump(params, written)
    parse_params(yaml.safe_load(written.getvalue()), where)
    layout.params.write_text(written.getvalue(), encoding="utf-8")


def _read(name: str, text: str) -> Preset:
    content = yaml.safe_load(text)
    section = text[text.index("tokenizers:") :]
    return Preset(name, content["about"], content["tokenizers"], section)
