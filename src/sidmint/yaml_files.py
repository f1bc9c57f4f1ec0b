"""The one door for YAML that people and other programs write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from sidmint.errors import BadInput

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # a PyYAML without libyaml
    from yaml import SafeLoader  # type: ignore[assignment]

_MOST_BYTES = 1 << 20
_MOST_DEPTH, _MOST_REFERENCES = 100, 20
"""Lists of references to lists of references, nine times over, make a file that never ends."""


def parse_yaml(data: bytes, where: str) -> dict[Any, Any]:
    """The mapping in a YAML file; an empty file is an empty one.

    `BadInput` names `where` for anything else: text that is no YAML or no UTF-8, more than
    1 MiB, nesting without end, and more references than a person writes.
    """
    if len(data) > _MOST_BYTES:
        raise BadInput(f"{where} has {len(data):,} bytes; a file of settings has at most 1 MiB")
    try:
        _require_bounds(yaml.parse(data, Loader=SafeLoader), where)
        values = yaml.load(data, Loader=SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadInput(f"{where} is not valid YAML: {error}") from error
    if values is not None and not isinstance(values, dict):
        raise BadInput(f"{where} wants a mapping, has {type(values).__name__}")
    return values or {}


def _require_bounds(events: Iterable[yaml.Event], where: str) -> None:
    depth = references = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        references += isinstance(event, yaml.AliasEvent)
        if depth > _MOST_DEPTH:
            raise BadInput(f"{where} is nested more than {_MOST_DEPTH} deep")
        if references > _MOST_REFERENCES:
            raise BadInput(
                f"{where} has more than {_MOST_REFERENCES} references (*name); write them out"
            )
