"""Say so where a new champion lacks items that the one before had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidmint.cli.output import warn
from sidmint.cli.workspace import open_store
from sidmint.errors import SidmintError

if TYPE_CHECKING:
    from sidmint.publishing.release import Published

_SHOWN = 3


def warn_of_lost_items(published: Published) -> None:
    """Whoever looks one of them up finds nothing from now on.

    Above all items of a refresh, which nobody put into the items file before training again.
    """
    from sidmint.publishing.published_rows import open_rows
    from sidmint.publishing.table_changes import pairs_of, table_changes

    if published.previous is None or not published.changed:
        return
    try:
        store = open_store()
        before, after = (
            open_rows(store.release(version)) for version in (published.previous, published.version)
        )
        changes = table_changes(pairs_of(before, after)).items
    except SidmintError as error:  # what was asked for is done, and stays done
        warn(f"whether items of {published.previous} are lost cannot be told: {error}")
        return
    if changes.num_removed:
        more = ", ..." if changes.num_removed > _SHOWN else ""
        names = ", ".join(changes.removed[:_SHOWN]) + more
        warn(
            f"{changes.num_removed:,} items of {published.previous} have no id in "
            f"{published.version} ({names}); if they are still sold, add them to the items file "
            "and run again, or refresh with them"
        )
