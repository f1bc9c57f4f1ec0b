"""Questions to the published tables: what changed, since when, and where an item stands."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from sidmint.cli.output import console, emit
from sidmint.cli.workspace import open_store

if TYPE_CHECKING:
    from sidmint.publishing.difference import Difference

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Version = Annotated[
    str | None, typer.Option("--version", help="Default: the champion.", show_default=False)
]
_SHOWN_ITEMS = 10
_BAR_WIDTH = 20


def diff(
    before: Annotated[str, typer.Argument(help="A version, e.g. v0001.")],
    after: Annotated[str, typer.Argument(help="The version to compare it with.")],
    as_json: Json = False,
) -> None:
    """What changed from one version to another: metrics, parameters, items, codes."""
    from sidmint.publishing.difference import compare

    store = open_store()
    difference = compare(store.release(before), store.release(after))
    emit(asdict(difference), as_json, lambda: _show_difference(difference))


def history(
    metric: Annotated[str, typer.Argument(help="A metric; `sidmint metrics` lists them.")],
    plot: Annotated[Path | None, typer.Option(help="Also draw it, as an .svg file.")] = None,
    as_json: Json = False,
) -> None:
    """Show the value of a metric in every published version, as table and plot."""
    from sidmint.publishing.history import metric_history
    from sidmint.publishing.plot import bars, draw_history

    found = metric_history(open_store(), metric)
    if plot is not None:
        draw_history(found, plot)

    def render() -> None:
        better = f"; {found.better} is better" if found.better else ""
        console.print(f"[bold]{found.metric}[/]: {found.meaning}{better}", soft_wrap=True)
        table = Table("version", "created", "tokenizer", box=None)
        for heading in ("value", "", ""):
            table.add_column(heading, no_wrap=True)
        lengths = bars([value.value for value in found.values], _BAR_WIDTH)
        for value, bar in zip(found.values, lengths, strict=True):
            flags = [word for word in ("champion", "override") if getattr(value, word)]
            number = "not measured" if value.value is None else f"{value.value:.6g}"
            row = (value.version, value.created_at[:10], Text(value.tokenizer), number, bar)
            table.add_row(*row, ", ".join(flags))
        console.print(table)
        if plot is not None:
            console.print(f"drawn in {plot}", markup=False)

    emit(asdict(found), as_json, render)


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
    for table in (metrics, params):
        if table.row_count:
            console.print(table)
        else:
            console.print(f"{table.title}: no change")
    for kind in ("added", "removed", "moved"):
        ids = getattr(difference.items, kind)
        more = " ..." if len(ids) > _SHOWN_ITEMS else ""
        line = f"items {kind}: {len(ids):,}  {' '.join(ids[:_SHOWN_ITEMS])}{more}"
        console.print(line, markup=False, soft_wrap=True)
    _show_codes(difference)


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
