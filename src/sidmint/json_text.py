"""JSON as it is written everywhere here: equal values are equal bytes."""

from __future__ import annotations

import json
from typing import Any


def dump_json(value: Any) -> str:
    """`value` as deterministic JSON: sorted keys, two spaces, no NaN, one final newline."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
