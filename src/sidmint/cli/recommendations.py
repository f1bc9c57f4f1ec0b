"""`sidmint recommend --user ID | --history A,B,C`: what the published ids' recommender answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sidmint.cli.output import console, emit, warn
from sidmint.cli.workspace import item_titles, open_store, open_workspace
from sidmint.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from sidmint.publishing.recommending import OpenRecommender


def answer(user: str | None, history: str | None, k: int, as_json: bool) -> None:
    """Print the `k` items that the champion's recommender puts next."""
    from sidmint.publishing.recommending import OpenRecommender

    store = open_store()
    pointer = store.champion()
    if pointer is None:
        raise BadInput("nothing is published yet; `sidmint publish` publishes a table")
    items = _of_user(user) if user is not None else _named(history or "")
    recommender = OpenRecommender(store.release(pointer.version))
    if user is not None:
        items = _readable(recommender, items, pointer.version)
    found = recommender.next(items, k)

    def render() -> None:
        console.print(
            f"after [bold]{len(items)}[/] items, by the {found.recommender} of {found.version}:"
        )
        table = Table("", "item", "Semantic ID", "score", "title", box=None)
        titles = item_titles([row.item_id for row in found.items])
        for place, row in enumerate(found.items, start=1):
            item, title = Text(row.item_id), Text(titles.get(row.item_id, ""))
            table.add_row(str(place), item, row.semantic_id, f"{row.score:.3f}", title)
        console.print(table)

    emit(found.to_dict(), as_json, render)


def _named(history: str) -> list[str]:
    items = [part.strip() for part in history.split(",") if part.strip()]
    if not items:
        raise BadInput("--history wants item ids, oldest first and parted by commas, got none")
    return items


def _readable(recommender: OpenRecommender, items: list[str], version: str) -> list[str]:
    """A log goes on after a publish: events on later items are left out, and that is said."""
    known = recommender.known(items)
    if len(known) < len(items):
        warn(
            f"{len(items) - len(known)} of the user's {len(items)} events are on items that the "
            f"recommender of {version} does not know; they are left out"
        )
    return known


def _of_user(user: str) -> list[str]:
    """The items of `user` in the workspace's log, oldest first."""
    events = open_workspace().artifacts.interactions()
    items = events.filter(events["user_id"] == user)["item_id"].to_list()
    if not items:
        close = did_you_mean(user, events["user_id"].unique().sort().to_list(), most=3)
        raise BadInput(f"user {user!r} has no event in the log{close}")
    return items
