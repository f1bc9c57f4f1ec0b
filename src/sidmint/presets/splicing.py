"""One value of a YAML text is set, and every other character stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

Edit = tuple[int, int, str]
"""Characters from, to, and what takes their place."""


def with_value(text: str, path: Sequence[str], value: list[Any] | dict[str, Any]) -> str | None:
    """`text` with `value`, on one line, at the keys `path`; keys that are missing are added.

    None where the text cannot be changed in one place to say so, as where a reference (*name)
    stands in the way.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    wanted = _updated(yaml.safe_load(text), path, value)
    if not isinstance(root, yaml.MappingNode) or wanted is None:
        return None
    start, end, new = _edit(root, path, value)
    changed = text[:start] + new + text[end:]
    try:
        return changed if yaml.safe_load(changed) == wanted else None
    except yaml.YAMLError:
        return None


def _updated(values: Any, path: Sequence[str], value: Any) -> Any:
    """A copy of the parsed `values` with `value` at `path`; None where a list stands there."""
    if not path:
        return value
    if values is not None and not isinstance(values, dict):
        return None
    inner = _updated((values or {}).get(path[0]), path[1:], value)
    return None if inner is None else {**(values or {}), path[0]: inner}


def _edit(node: yaml.MappingNode, path: Sequence[str], value: Any) -> Edit:
    key, *deeper = path
    for name, content in node.value:
        if name.value != key:
            continue
        if deeper and isinstance(content, yaml.MappingNode):
            return _edit(content, deeper, value)
        return name.end_mark.index, _end(content), f": {_line(_nested(deeper, value))}"
    line = f"{key}: {_line(_nested(deeper, value))}"
    if node.flow_style:
        start = node.start_mark.index + 1
        return start, start, f"{line}, " if node.value else line
    first = node.value[0][0].start_mark
    return first.index, first.index, line + "\n" + " " * first.column


def _nested(path: Sequence[str], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def _line(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1 << 20).strip()


def _end(node: yaml.Node) -> int:
    """Where the text of `node` ends; a block's own mark lies behind the comments after it."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)
