"""Who gives a command, and whether they overrule the gate."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from sidmint.errors import BadInput

if TYPE_CHECKING:
    from sidmint.publishing.release import Override

By = Annotated[str | None, typer.Option(help="Who does it; by default the user of this machine.")]


def user() -> str:
    """The user of this machine; "unknown" where it has no name for them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return "unknown"


def overridden(asked: bool, reason: str | None, by: str | None) -> Override | None:
    """The override that was asked for, by somebody and with a reason; None where none was."""
    from sidmint.publishing.release import Override

    if asked:
        return Override(by=by or "", reason=reason or "")
    if reason is not None:
        raise BadInput("--reason says why the gate is overridden; it goes with --override")
    return None
