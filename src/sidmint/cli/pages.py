"""A page is written in one step, so that nobody reads half of it."""

from __future__ import annotations

import os
from pathlib import Path

from sidmint.errors import BadInput


def write_page(path: Path, page: str) -> None:
    """`page` into `path`; `BadInput` where it cannot be written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        draft.write_text(page, encoding="utf-8", newline="\n")
        os.replace(draft, path)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be written ({error.strerror}); name a file in a folder that is there"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
