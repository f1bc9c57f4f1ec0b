"""The champion and the versions behind it: publish, roll back, list, show and verify."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from sidmint.cli import looking_back, promotion, published_tables
from sidmint.cli.auditing import audit
from sidmint.cli.export import export
from sidmint.cli.lost_items import warn_of_lost_items
from sidmint.cli.neighbours import neighbours
from sidmint.cli.output import console, emit, errors
from sidmint.cli.people import By, overridden, user
from sidmint.cli.pushing import push_inputs
from sidmint.cli.reproduce import reproduce
from sidmint.cli.telling_mlflow import tell_mlflow
from sidmint.cli.workspace import open_store, open_workspace
from sidmint.errors import Refused

if TYPE_CHECKING:
    from sidmint.publishing.release import Published

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
PANEL = "Published versions"


def publish(
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Whose table; by default the passing one that leads on gate.select_by."),
    ] = None,
    override: Annotated[
        bool, typer.Option("--override", help="Publish against the gate; recorded for ever.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why the gate is overridden.")] = None,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Make a table that passed its gate the champion.

    Refused (exit code 1) with every reason where the verdict does not pass, is about another
    table, or compared with a champion that is champion no longer.
    """
    from sidmint.execution.making import open_engine
    from sidmint.progress import on_terminal
    from sidmint.publishing.release import publish as publish_release

    here = open_workspace()
    asked = (tokenizer, overridden(override, reason, by), by or user())
    with open_engine(here.params.execution) as engine:
        published = publish_release(
            here.params, here.artifacts, here.layout, *asked, engine, on_terminal
        )
    if published.changed:
        tell_mlflow(here, published.version, published.path, moved=True)
        push_inputs(here, published.version)
        warn_of_lost_items(published)
    _tell(published, as_json, "published", "nothing to publish: this table is already champion")


def rollback(
    to: Annotated[
        str | None, typer.Option(help="A version; by default the champion before this one.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the log.")] = None,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Make an earlier version champion again, after verifying its files. Nothing is deleted."""
    from sidmint.execution.making import open_engine
    from sidmint.publishing.release import rollback as roll_back

    here = open_workspace()
    with open_engine(here.params.execution) as engine:
        published = roll_back(here.params, here.layout, to, reason, by or user(), engine)
    if published.changed:
        tell_mlflow(here, published.version, None, moved=True)
        warn_of_lost_items(published)
    _tell(published, as_json, "rolled back to", "nothing to roll back: this is already champion")


def versions(as_json: Json = False) -> None:
    """Every published version: which is champion, where it came from, and what was overridden."""
    from sidmint.publishing.history import list_versions

    store = open_store()
    rows = list_versions(store)

    def render() -> None:
        if not rows:
            console.print(f"nothing is published in {store.where} yet", markup=False)
            return
        table = Table(box=None, header_style="bold")
        for heading in ("version", "", "tokenizer", "items", "parent", "created", "by"):
            table.add_column(heading, no_wrap=True)
        if any(row.override_by for row in rows):
            table.add_column("override", overflow="fold", min_width=16)
        for row in rows:
            mark = {
                "champion": "[bold green]champion[/]",
                "published": "",
                "abandoned": "interrupted",
            }
            override = f"{row.override_by}: {row.override_reason}" if row.override_by else ""
            cells = (
                row.version,
                mark.get(row.status, row.status),
                Text(row.tokenizer),
                f"{row.num_items:,}",
                row.parent or "-",
                row.created_at[:16].replace("T", " "),
                Text(row.created_by),
                Text(override),
            )
            table.add_row(*cells[: len(table.columns)])
        console.print(table)

    emit([asdict(row) for row in rows], as_json, render)


def show(
    version: Annotated[str | None, typer.Argument(help="Default: the champion.")] = None,
    as_json: Json = False,
) -> None:
    """One version: what it holds, what it was made of, and what the gate said."""
    store = open_store()
    release = store.release(version)
    manifest, verdict = release.manifest, release.verdict
    moves = [entry for entry in store.log.readable() if entry.get("version") == release.version]

    def render() -> None:
        ids = release.ids
        suffix = f", then a suffix of {ids.suffix_size}" if ids.suffix_size else ""
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        facts = {
            "version": manifest["version"],
            "place": release.where,
            "tokenizer": manifest["tokenizer"],
            "items": f"{manifest['num_items']:,}",
            "Semantic ID": f"{ids.levels} levels of {list(ids.sizes)}{suffix}",
            "parent": manifest["parent"] or "-",
            **_refreshed(manifest),
            "created": f"{manifest['created_at']} by {manifest['created_by']}",
            "catalogue": manifest["catalogue_digest"],
            "git commit": _commit(manifest),
            "files": f"{len(manifest['files'])}, each with its sha256 in manifest.json",
        }
        for name, value in facts.items():
            table.add_row(name, Text(str(value), overflow="fold"))
        console.print(table)
        console.print(f"\ngate {'passed' if verdict['passed'] else 'refused'}", style="bold")
        for reason in (*verdict.get("blocked_by", ()), *verdict.get("warnings", ())):
            console.print(f"  - {reason}", markup=False, soft_wrap=True)
        if manifest["override"]:
            override = manifest["override"]
            console.print(f"\noverridden by {override['by']}", style="bold red", markup=False)
            console.print(f"  {override['reason']}", markup=False, soft_wrap=True)
        for move in moves:
            why = f": {move['reason']}" if move.get("reason") else ""
            line = f"{move['at']}  {move['action']} by {move['by']}{why}"
            console.print(line, markup=False, soft_wrap=True)

    value = {
        "version": release.version,
        "path": release.where,
        "manifest": manifest,
        "metrics": release.metrics,
        "verdict": verdict,
        "log": moves,
    }
    emit(value, as_json, render)


def verify(
    version: Annotated[str | None, typer.Argument(help="Default: every version.")] = None,
    as_json: Json = False,
) -> None:
    """Compute every sha256 again, and check the pointer and the chain of the log.

    The exit code is 1 where anything is not what it was when it was written.
    """
    from sidmint.execution.making import open_engine
    from sidmint.progress import on_terminal
    from sidmint.publishing.verify import verify as verify_registry

    here = open_workspace()
    with open_engine(here.params.execution) as engine:
        found = verify_registry(open_store(), version, here.layout.champion, on_terminal, engine)

    def render() -> None:
        for problem in found.problems:
            errors.print(f"  - {problem}", markup=False, soft_wrap=True)
        for note in found.notes:
            console.print(f"  note: {note}", markup=False, soft_wrap=True)
        if not found.problems:
            console.print(
                f"{len(found.versions)} versions, {found.num_files} files, the pointer and the "
                f"log are intact; head of the log {found.log_head}",
                soft_wrap=True,
            )

    emit({"intact": not found.problems, **asdict(found)}, as_json, render)
    if found.problems:
        raise Refused(f"the registry is not intact: {len(found.problems)} problems")


def _refreshed(manifest: dict[str, Any]) -> dict[str, str]:
    """A line on what a refresh added; none for a version that was trained."""
    of = manifest.get("refresh")
    if not of:
        return {}
    said = f"{of['num_new']:,} new items, {len(of['moved']):,} moved; trained as {of['of']}"
    return {"refresh": said}


def _commit(manifest: dict[str, object]) -> str:
    changed = " and uncommitted changes" if manifest["git_changed"] else ""
    return f"{manifest['git_commit']}{changed}" if manifest["git_commit"] else "-"


def _tell(published: Published, as_json: bool, done: str, nothing: str) -> None:
    def render() -> None:
        version = f"[bold]{published.version}[/]"
        if not published.changed:
            console.print(f"{nothing} ({version})")
            return
        console.print(f"{done} {version} (before: {published.previous or 'nothing'})")
        console.print(f"  {published.where}", markup=False, soft_wrap=True)
        for reason in published.manifest["overruled"] if done == "published" else ():
            console.print(f"  overruled: {reason}", markup=False, soft_wrap=True)

    value = {**asdict(published), "path": str(published.path)}
    emit(value, as_json, render)


def register(app: typer.Typer) -> None:
    """Add the commands on published versions."""
    reading = published_tables
    for command in (
        publish,
        promotion.propose,
        promotion.approve,
        promotion.decline,
        promotion.promote,
        rollback,
        promotion.retire,
        versions,
        show,
        reading.diff,
        looking_back.history,
        looking_back.blame,
        verify,
        reproduce,
        audit,
        reading.lookup,
        reading.items,
        neighbours,
        export,
    ):
        app.command(rich_help_panel=PANEL)(command)
