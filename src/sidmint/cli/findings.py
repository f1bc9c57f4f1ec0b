"""What `sidmint doctor` finds: one thing looked at, how it stands, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sidmint.errors import SidmintError

State = Literal["ok", "warning", "missing"]
"""Fit to work; would work, otherwise than one may think; a run would fail."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's answer."""

    name: str
    state: State
    found: str
    way_out: str = ""
    """What to do; "" where nothing needs doing."""


def check(name: str, look: Callable[[], str]) -> Finding:
    """State ok with what `look` says; missing with the error that it raises, with its way out."""
    try:
        return Finding(name, "ok", look())
    except SidmintError as error:
        return Finding(name, "missing", str(error))
