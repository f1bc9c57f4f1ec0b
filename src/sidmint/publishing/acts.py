"""What can be done to a version, one act a line of the log; and when an act is out of place.

One table for the commands, which ask before they write, and for `verify`, which asks of every
line that was written. An act that moves nothing carries `champion` in its line: who is served
all the while. A line without that key moved the pointer to its version.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from sidmint.publishing.audit import Entry

Status = Literal[
    "proposed", "approved", "declined", "champion", "published", "retired", "abandoned"
]
"""`published`: was champion before. `abandoned`: its making was interrupted, no line names it."""


@dataclass(frozen=True)
class Act:
    """One kind of line."""

    verb: str
    """As in "line 3 approves v0002"."""
    past: str
    """As in "v0002 was approved by Ana"."""
    moves: bool = False
    """Whether its version is champion afterwards."""
    makes: bool = False
    """Whether its version is new."""
    version: bool = True
    """Whether it is about a version."""


ACTS = {
    "publish": Act("moves the pointer to", "published", moves=True, makes=True),
    "refresh": Act("moves the pointer to", "refreshed", moves=True, makes=True),
    "propose": Act("proposes", "proposed", makes=True),
    "approve": Act("approves", "approved"),
    "decline": Act("declines", "declined"),
    "promote": Act("moves the pointer to", "promoted", moves=True),
    "rollback": Act("moves the pointer to", "rolled back to", moves=True),
    "retire": Act("retires", "retired"),
    "refuse": Act("refuses", "refused", version=False),
}
"""Every act there is, by the `action` of its line."""


@dataclass(frozen=True)
class Standing:
    """How a version stands after the lines so far."""

    status: Status
    manifest_sha256: str | None
    """As the line that made it says."""
    was_champion: bool = False
    decision: Entry | None = None
    """The newest line that approves or declines it."""


Standings = dict[str, Standing]


def moves(entry: Entry) -> bool:
    """Whether the line moved the pointer."""
    return "champion" not in entry


def standings(entries: Iterable[Entry]) -> Standings:
    """How every version that `entries` name stands after the last of them."""
    known: Standings = {}
    for entry in entries:
        advance(known, entry)
    return known


def advance(known: Standings, entry: Entry) -> None:
    """Change `known` by one line. Lines that tell what cannot be change what they can."""
    version, action = entry.get("version"), entry.get("action")
    if not isinstance(version, str):
        return
    before = known.get(version, Standing("proposed", entry.get("manifest_sha256")))
    if moves(entry):
        for other, standing in known.items():
            if standing.status == "champion":
                known[other] = replace(standing, status="published")
        known[version] = replace(before, status="champion", was_champion=True)
    elif action == "retire":
        known[version] = replace(before, status="retired")
    elif action in ("approve", "decline"):
        status: Status = "approved" if action == "approve" else "declined"
        known[version] = replace(before, status=status, decision=entry)
    else:
        known[version] = before


def objection(known: Standings, action: str, version: str) -> str | None:
    """Why the act is out of place, as what can follow "v0002" or "v0002, which"; None: it is not.

    Whether somebody must have approved is the workspace's setting, and asked elsewhere.
    """
    standing, act = known.get(version), ACTS[action]
    if act.makes:
        return f"was {act.past} again" if standing else None
    if standing is None:
        return "was never published" if action == "rollback" else "was never proposed"
    if standing.status == "retired":
        return "is retired"
    if action == "rollback":
        return None if standing.was_champion else "was never champion"
    if action == "retire":
        return "is champion" if standing.status == "champion" else None
    if standing.was_champion:
        return "was champion already"
    if action == "promote" and standing.status == "declined":
        return f"was declined by {_by(standing.decision)}"
    return None


def in_words(entry: Entry) -> str:
    """A line as a person tells it: "v0002 was promoted by Ana at 2026-01-01T00:00:00+00:00"."""
    what = entry.get("version") or f"a table of {entry.get('tokenizer')}"
    act = ACTS.get(entry["action"])
    done = act.past if act else entry["action"]
    return f"{what} was {done} by {entry['by'] or 'somebody'} at {entry['at']}"


def _by(entry: Any) -> str:
    return str(entry["by"]) if entry else "somebody"
