"""Who looked at a candidate before it was published, and what they decided.

A publish is in the registry's own log, with the approver's name. This file also keeps the
decisions that published nothing. Lines are chained by hashes, as in the registry's log.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sidmint.layout import Layout
from sidmint.publishing.audit import AuditLog, Entry, seal
from sidmint.publishing.candidates import Candidate
from sidmint.publishing.store import utc_now


@dataclass(frozen=True)
class Decision:
    """What a person decided about a candidate, and by which way it came to us."""

    approved: bool
    by: str
    note: str = ""
    way: Literal["command line", "prefect"] = "command line"


def approvals_file(layout: Layout) -> Path:
    """The decisions made in this workspace."""
    return layout.local / "approvals.jsonl"


def write_down(layout: Layout, candidate: Candidate, decision: Decision) -> Entry:
    """Append the decision; returns its line. Raises `Refused` if the file was tampered with."""
    layout.local.mkdir(parents=True, exist_ok=True)
    log = AuditLog(approvals_file(layout))
    earlier = log.entries()
    entry = seal(
        {
            "action": "approve" if decision.approved else "decline",
            "by": decision.by,
            "note": decision.note,
            "way": decision.way,
            "at": utc_now(),
            "version": None,
            "tokenizer": candidate.tokenizer,
            "table_sha256": candidate.table_sha256,
            "verdict_sha256": candidate.verdict_sha256,
        },
        earlier[-1] if earlier else None,
    )
    log.append(entry)
    return entry
