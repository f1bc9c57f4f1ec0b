"""`sidmint neighbours ITEM | --text TEXT`: what is like it, from the index beside the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from sidmint.cli.output import console, emit
from sidmint.cli.workspace import item_titles, open_store, open_workspace
from sidmint.errors import BadInput

if TYPE_CHECKING:
    from sidmint.publishing.neighbouring import IndexedItems, Neighbours


def neighbours(
    item: Annotated[str | None, typer.Argument(help="An item id.", show_default=False)] = None,
    text: Annotated[
        str | None, typer.Option(help="A text in its place, as of an item that is new.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="How many neighbours.")] = 10,
    source: Annotated[
        Literal["champion", "data"] | None,
        typer.Option(
            "--from",
            help="The published index, or the one in data/build. Default: the champion's, where "
            "there is one.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show the items most like an item or a text, and how much of their Semantic IDs they share."""
    from sidmint.publishing.neighbouring import like_item, like_text

    if (item is None) == (text is None):
        raise BadInput("give an item id or --text, one of the two")
    indexed = _indexed(source)
    if item is not None:
        found = like_item(indexed, item, k)
    else:
        if not (text or "").strip():
            raise BadInput("--text wants words, got none")
        found = like_text(indexed, text or "", k, indexed.new_items(open_workspace().layout.root))
    emit(found.to_dict(), as_json, lambda: _show(found, indexed.where))


def _indexed(source: Literal["champion", "data"] | None) -> IndexedItems:
    from sidmint.publishing.neighbouring import open_build, open_release

    here, store = open_workspace(), open_store()
    if source == "data" or (source is None and store.champion() is None):
        return open_build(here.params, here.artifacts)
    return open_release(store.release())


def _show(found: Neighbours, where: str) -> None:
    asked = found.item_id if found.item_id is not None else f'"{found.text}"'
    has_id = f" ({found.semantic_id} by {found.tokenizer})" if found.semantic_id else ""
    console.print(f"like {asked}{has_id}, in {where}:", markup=False, soft_wrap=True)
    table = Table("", "item", "similarity", "Semantic ID", "shared codes", "title", box=None)
    titles = item_titles([row.item_id for row in found.items])
    for row in found.items:
        table.add_row(
            str(row.rank),
            Text(row.item_id),
            f"{row.similarity:.3f}",
            row.semantic_id or "-",
            "-" if row.shared_prefix is None else str(row.shared_prefix),
            Text(titles.get(row.item_id, "")),
        )
    console.print(table)
