"""`sidmint propose`, `approve`, `decline`, `promote`, `retire`: the champion, step by step."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sidmint.cli.lost_items import warn_of_lost_items
from sidmint.cli.output import console, emit
from sidmint.cli.people import By, overridden, user
from sidmint.cli.pushing import push_inputs
from sidmint.cli.telling_mlflow import tell_mlflow
from sidmint.cli.workspace import open_workspace

if TYPE_CHECKING:
    from sidmint.publishing.promotion import Stands
    from sidmint.publishing.release import Published

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Version = Annotated[str, typer.Argument(help="A version; `sidmint versions` lists them.")]


def propose(
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Whose table; by default the passing one that leads on gate.select_by."),
    ] = None,
    override: Annotated[
        bool, typer.Option("--override", help="Propose against the gate; recorded for ever.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why the gate is overridden.")] = None,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Let a table that passed its gate into the registry; the champion stays.

    The same checks as by `sidmint publish`. The version waits for `sidmint promote`.
    """
    from sidmint.execution.making import open_engine
    from sidmint.progress import on_terminal
    from sidmint.publishing.promotion import propose as propose_release

    here = open_workspace()
    asked = (tokenizer, overridden(override, reason, by), by or user())
    with open_engine(here.params.execution) as engine:
        proposed = propose_release(
            here.params, here.artifacts, here.layout, *asked, engine, on_terminal
        )
    if proposed.changed:
        tell_mlflow(here, proposed.version, proposed.path, moved=False)
        push_inputs(here, proposed.version)
    _tell(proposed, as_json, "proposed", "nothing to propose: this table is in the registry")


def approve(
    version: Version,
    by: Annotated[str, typer.Option(help="Who has looked at it.")],
    reason: Annotated[str, typer.Option(help="Why it may be champion, for the log.")],
    as_json: Json = False,
) -> None:
    """Say that a proposed version may become champion: somebody has looked at these very files.

    Needed before `sidmint promote` where registry.approval in params.yaml is person.
    """
    _decide(version, True, by, reason, as_json)


def decline(
    version: Version,
    by: Annotated[str, typer.Option(help="Who has looked at it.")],
    reason: Annotated[str, typer.Option(help="Why it may not be champion, for the log.")],
    as_json: Json = False,
) -> None:
    """Say that a proposed version may not become champion; a later approval takes it back."""
    _decide(version, False, by, reason, as_json)


def _decide(version: str, approved: bool, by: str, reason: str, as_json: bool) -> None:
    from sidmint.publishing.promotion import decide

    here = open_workspace()
    stands = decide(here.params, here.layout, version, approved, by, reason)
    tell_mlflow(here, version, None, moved=False)
    _tell(stands, as_json, "approved" if approved else "declined", "")


def promote(
    version: Version,
    reason: Annotated[str | None, typer.Option(help="Why, for the log.")] = None,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Make a proposed version the champion.

    Refused (exit code 1) where somebody declined or retired it, where it wants an approval that
    nobody gave, and where another champion came after it was judged; what changed is told.
    """
    from sidmint.publishing.promotion import promote as promote_release

    here = open_workspace()
    promoted = promote_release(here.params, here.layout, version, reason, by=by or user())
    if promoted.changed:
        tell_mlflow(here, version, None, moved=True)
        warn_of_lost_items(promoted)
    _tell_move(promoted, as_json)


def retire(
    version: Version,
    reason: Annotated[str, typer.Option(help="Why, for the log.")],
    by: By = None,
    as_json: Json = False,
) -> None:
    """Take a version out of use: it can be champion no more. Nothing is deleted.

    The champion itself cannot be retired.
    """
    from sidmint.publishing.promotion import retire as retire_release

    here = open_workspace()
    retired = retire_release(here.params, here.layout, version, reason, by=by or user())
    if retired.changed:
        tell_mlflow(here, version, None, moved=False)
    _tell(retired, as_json, "retired", "nothing to retire: this version is retired")


def _tell(stands: Stands, as_json: bool, done: str, nothing: str) -> None:
    def render() -> None:
        said = done if stands.changed else nothing
        champion = f"champion: {stands.champion or 'nothing'}"
        console.print(f"{said} [bold]{stands.version}[/] ({champion})")
        console.print(f"  {stands.where}", markup=False, soft_wrap=True)
        if stands.status in ("proposed", "approved"):
            console.print(f"  next: sidmint promote {stands.version}", markup=False)

    emit({**asdict(stands), "path": str(stands.path)}, as_json, render)


def _tell_move(promoted: Published, as_json: bool) -> None:
    def render() -> None:
        if not promoted.changed:
            console.print(f"nothing to promote: [bold]{promoted.version}[/] is champion already")
            return
        before = f"(before: {promoted.previous or 'nothing'})"
        console.print(f"promoted [bold]{promoted.version}[/] {before}")
        console.print(f"  {promoted.where}", markup=False, soft_wrap=True)

    emit({**asdict(promoted), "path": str(promoted.path)}, as_json, render)
