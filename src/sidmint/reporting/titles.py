"""Item text as the page may show it: on one line, visible, and not too long."""

from __future__ import annotations

import unicodedata


def one_line(text: str, longest: int = 160) -> str:
    """`text` on one line without control characters, cut at `longest` characters.

    Characters that reorder or hide their neighbours (category C: controls, bidirectional
    overrides, unassigned) are left out: a title must not rewrite the page around it.
    Escaping for HTML is not done here but where the text enters the page.
    """
    visible = "".join(
        character if unicodedata.category(character)[0] not in "C" else " " for character in text
    )
    flat = " ".join(visible.split())
    return flat if len(flat) <= longest else flat[: longest - 1].rstrip() + "…"
