"""A picture of what a command shows: `python tools/terminal.py docs/init.svg sidmint init ...`.

The command runs in a terminal of 100 columns; what it showed last, after any table that it drew
over, becomes an SVG. The pictures of docs/FIRST_HOUR.md are made so.
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

_COLUMNS = 100
_ERASED = "\x1b[2K"
_OTHER_CONTROLS = re.compile(r"\x1b\[\??[0-9;]*[A-Za-ln-z]|\x1b[()][A-Z0-9]|\r")
"""Whatever moves the cursor or changes the terminal; colours end in `m` and stay."""


_WITHOUT_FONTS = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""Rich's picture without fonts from another server: the reader's own monospace serves."""


def shown(command: Sequence[str]) -> tuple[int, str]:
    """Exit code of `command`, and what stood in its terminal at the end, with colours."""
    said = io.BytesIO()

    def keep(descriptor: int) -> bytes:
        data = os.read(descriptor, 65536)
        said.write(data)
        return data

    os.environ.update(COLUMNS=str(_COLUMNS), LINES="40", TERM="xterm-256color")
    status = pty.spawn(list(command), keep)
    text = said.getvalue().decode(errors="replace")
    last = text.rpartition(_ERASED)[2]
    return os.waitstatus_to_exitcode(status), _OTHER_CONTROLS.sub("", last).strip("\n")


def picture(command: Sequence[str], text: str) -> str:
    """An SVG of a terminal in which `command` was typed and said `text`."""
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {' '.join(command)}", "bold"))
    console.print(Text.from_ansi(text))
    return console.export_svg(title="sidmint", unique_id="sidmint", code_format=_WITHOUT_FONTS)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code is that of the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path, help="the SVG to write")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run, with arguments")
    given = parser.parse_args(arguments)
    code, text = shown(given.command)
    given.picture.write_text(picture(given.command, text), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
