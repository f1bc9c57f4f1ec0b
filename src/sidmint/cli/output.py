"""What people and scripts see: one console, one JSON form, one form of error."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

from rich.console import Console

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def emit(value: Any, as_json: bool, render: Callable[[], None]) -> None:
    """Print `value` as JSON on stdout where a script asked for it, else call `render`."""
    if as_json:
        from sidmint.json_text import dump_json

        print(dump_json(value), end="")
    else:
        render()


def complain(message: str) -> None:
    """Print an error to stderr, as text: nothing in it is read as markup or obeyed by a terminal.

    Errors quote ids and names from files that nobody vouches for. Of the characters that control
    or hide text (category C) only the ends of lines are kept.
    """
    errors.print("error", style="bold red", end=": ")
    errors.print(_visible(message), markup=False, soft_wrap=True)


def warn(message: str) -> None:
    """Print a warning to stderr, as plain as `complain` prints an error."""
    errors.print("warning", style="bold yellow", end=": ")
    errors.print(_visible(message), markup=False, soft_wrap=True)


def _visible(message: str) -> str:
    return "".join(
        letter if letter == "\n" or unicodedata.category(letter)[0] != "C" else " "
        for letter in message
    )
