"""Questions to the published tables: what changed, since when, and where an item stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from sidmint.cli.output import console, emit
from sidmint.cli.views import plain
from sidmint.cli.workspace import item_titles, open_store

if TYPE_CHECKING:
    from sidmint.gate.loosening import ThresholdChange
    from sidmint.publishing.difference import Difference

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Version = Annotated[
    str | None, typer.Option("--version", help="Default: the champion.", show_default=False)
]
_SHOWN_ITEMS = 10
_TITLE_LENGTH = 60


def diff(
    before: Annotated[str, typer.Argument(help="A version, e.g. v0001.")],
    after: Annotated[str, typer.Argument(help="The version to compare it with.")],
    as_json: Json = False,
) -> None:
    """What changed from one version to another: metrics, settings, gate, code, data, items, codes.

    A bound of the gate that became looser is pointed out.
    """
    from sidmint.publishing.difference import compare

    store = open_store()
    difference = compare(store.release(before), store.release(after), item_titles)
    emit(asdict(difference), as_json, lambda: _show_difference(difference))


def lookup(
    item: Annotated[str, typer.Argument(help="An item id.")],
    version: Version = None,
    as_json: Json = False,
) -> None:
    """Show the Semantic ID of an item, and how many items share each prefix of it."""
    from sidmint.publishing.lookup import lookup as find

    found = find(open_store().release(version), item)

    def render() -> None:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_row("item", Text(found.item_id))
        table.add_row("Semantic ID", f"[bold]{found.semantic_id or 'none'}[/]  ({found.version})")
        table.add_row("codes", " ".join(map(str, found.codes)))
        if found.suffix is not None:
            table.add_row("suffix", str(found.suffix))
        table.add_row("tokens", " ".join(map(str, found.tokens)))
        for siblings in found.siblings:
            table.add_row(f"share {siblings.prefix}", f"{siblings.num_items:,} others")
        console.print(table)

    emit(asdict(found), as_json, render)


def items(
    semantic_id: Annotated[str, typer.Argument(help="A Semantic ID, or any prefix: 12-7.")],
    version: Version = None,
    as_json: Json = False,
) -> None:
    """Show the items whose Semantic ID is, or begins with, what you give."""
    from sidmint.publishing.lookup import items_of

    release = open_store().release(version)
    found = items_of(release, semantic_id).to_dicts()

    def render() -> None:
        console.print(f"{len(found):,} items at {semantic_id} in {release.version}", markup=False)
        for row in found:
            console.print(f"  {row['semantic_id']}  {row['item_id']}", markup=False, soft_wrap=True)

    value = {"version": release.version, "semantic_id": semantic_id, "items": found}
    emit(value, as_json, render)


def _show_difference(difference: Difference) -> None:
    metrics = Table(
        "metric",
        difference.before,
        difference.after,
        "",
        box=None,
        title="metrics",
        title_justify="left",
    )
    colours = {"better": "green", "worse": "red"}
    for name, change in difference.metrics.items():
        word = change.change or ""
        metrics.add_row(
            name, _number(change.before), _number(change.after), Text(word, colours.get(word, ""))
        )
    params = Table(
        "parameter",
        difference.before,
        difference.after,
        box=None,
        title="parameters",
        title_justify="left",
    )
    for key, (old, new) in difference.params.items():
        params.add_row(Text(key), Text(str(old)), Text(str(new)))
    revisions = Table(
        "code and data",
        difference.before,
        difference.after,
        box=None,
        title="code and data",
        title_justify="left",
    )
    for key, (old, new) in difference.revisions.items():
        revisions.add_row(Text(key), Text(str(old)), Text(str(new)))
    for table in (metrics, params, revisions):
        if table.row_count:
            console.print(table)
        else:
            console.print(f"{table.title}: no change")
    show_thresholds(difference.thresholds, difference.before, difference.after)
    for kind in ("added", "removed", "moved"):
        ids, count = (getattr(difference.items, name) for name in (kind, f"num_{kind}"))
        more = " ..." if count > _SHOWN_ITEMS else ""
        line = f"items {kind}: {count:,}  {' '.join(ids[:_SHOWN_ITEMS])}{more}"
        console.print(line, markup=False, soft_wrap=True)
    share = difference.turnover
    console.print(
        f"turnover: {share.moved:.1%} of the items in both have another id, {share.added:.1%} of "
        f"{difference.after} is new, {share.removed:.1%} of {difference.before} is gone",
        soft_wrap=True,
    )
    _show_examples(difference)
    _show_codes(difference)


def show_thresholds(changes: Mapping[str, ThresholdChange] | None, before: str, after: str) -> None:
    """The bounds of the gate that differ, the looser ones shouted."""
    if changes is None:
        console.print("gate: the thresholds cannot be compared; another sidmint wrote them")
        return
    if not changes:
        console.print("gate: no change")
        return
    table = Table("gate", before, after, "", box=None, title="gate", title_justify="left")
    words = {"looser": Text("LOOSER", "bold red"), "tighter": Text("tighter", "green")}
    for key, change in changes.items():
        word = words.get(change.direction, Text(""))
        table.add_row(Text(key), Text(change.before or "-"), Text(change.after or "-"), word)
    console.print(table)
    num_looser = sum(change.direction == "looser" for change in changes.values())
    if num_looser:
        console.print(
            f"THE GATE WAS LOOSENED: {num_looser} of its bounds let through in {after} what they "
            f"stopped in {before}",
            style="bold red",
            soft_wrap=True,
        )


def _show_examples(difference: Difference) -> None:
    if not difference.examples:
        return
    table = Table(
        "moved farthest",
        difference.before,
        difference.after,
        "title",
        box=None,
        title="examples",
        title_justify="left",
    )
    for item in difference.examples:
        title = plain(item.title or "", _TITLE_LENGTH)
        table.add_row(plain(item.item_id, _TITLE_LENGTH), item.before, item.after, title)
    console.print(table)


def _show_codes(difference: Difference) -> None:
    if difference.churn is None or difference.aligned_churn is None:
        console.print("codes cannot be compared: other levels, or no item in common")
        return
    table = Table(
        "churn by prefix",
        "as written",
        "codes aligned",
        box=None,
        title="codes",
        title_justify="left",
    )
    shares = zip(difference.churn, difference.aligned_churn, strict=True)
    for length, (raw, aligned) in enumerate(shares, start=1):
        table.add_row(str(length), f"{raw:.1%}", f"{aligned:.1%}")
    console.print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
