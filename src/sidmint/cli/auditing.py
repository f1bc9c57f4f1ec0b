"""`sidmint audit`: the past of the registry as one static page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sidmint.cli.output import console, emit
from sidmint.cli.workspace import open_store, open_workspace
from sidmint.errors import BadInput, Refused

if TYPE_CHECKING:
    from sidmint.publishing.chronicle import Judged, Told
    from sidmint.publishing.store import VersionStore
    from sidmint.publishing.verify import Verification
    from sidmint.reporting.audit_page import Change, Deed, Past, VersionLine

_FIGURES = (
    *("collision_rate", "conflict_rate", "n_eff_share", "cold_coverage"),
    *("recommend_ndcg_at_10", "recommend_ndcg_at_10_cold"),
)
"""Figures of the page, behind the one that decides (gate.select_by)."""
_TONES = {
    "publish": "good",
    "promote": "good",
    "approve": "good",
    "refuse": "bad",
    "decline": "bad",
    "retire": "bad",
}


def audit(
    html: Annotated[Path, typer.Option("--html", help="The page to write, e.g. audit.html.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write everything that was done to the registry as one page that loads nothing.

    Every sha256 is computed again first. The exit code is 1 where the registry is not intact;
    the page is written all the same, and says so.
    """
    from sidmint.cli.pages import write_page
    from sidmint.contracts import describe_metric
    from sidmint.publishing.verify import verify
    from sidmint.reporting.audit_page import render_audit

    here, store = open_workspace(), open_store()
    if store.head() is None:
        raise BadInput(f"nobody has done anything to {store.where} yet: there is nothing to audit")
    found = verify(store, snapshot=here.layout.champion)
    names = dict.fromkeys((here.params.gate.select_by, *_FIGURES))
    past = _past(here.params.registry.model_name, store, found)
    page = render_audit(past, [(name, describe_metric(name).meaning) for name in names])
    write_page(html, page)
    value = {
        "path": str(html),
        "intact": not found.problems,
        "problems": list(found.problems),
        "log_head": found.log_head,
        "num_acts": len(past.deeds),
        "num_versions": len(past.versions),
    }
    emit(value, as_json, lambda: console.print(f"wrote {html}", markup=False, soft_wrap=True))
    if found.problems:
        raise Refused(f"the registry is not intact: {len(found.problems)} problems, on the page")


def _past(name: str, store: VersionStore, found: Verification) -> Past:
    from sidmint.publishing.chronicle import chronicle
    from sidmint.publishing.history import list_versions
    from sidmint.reporting.audit_page import Past, VersionLine

    champion = store.champion()
    versions: list[VersionLine] = [
        VersionLine(
            version=row.version,
            status=row.status,
            tokenizer=row.tokenizer,
            num_items=row.num_items,
            parent=row.parent or "",
            made=row.created_at[:16].replace("T", " "),
            made_by=row.created_by,
            override=f"{row.override_by}: {row.override_reason}" if row.override_by else "",
            metrics=store.release(row.version).metrics,
        )
        for row in list_versions(store)
    ]
    return Past(
        name=name,
        champion=champion.version if champion else None,
        problems=found.problems,
        num_files=found.num_files,
        log_head=found.log_head or "",
        versions=tuple(versions),
        deeds=tuple(_deed(told) for told in chronicle(store)),
    )


def _deed(told: Told) -> Deed:
    from sidmint.publishing.acts import ACTS
    from sidmint.reporting.audit_page import Deed

    act, judged = ACTS.get(told.action), told.judged
    is_overruled = judged is not None and judged.verdict == "overruled"
    return Deed(
        sequence=told.sequence,
        at=told.at,
        by=told.by,
        what=act.past if act else told.action,
        subject=told.version or f"the table of {told.tokenizer}",
        reason=told.reason or "",
        tone="bad" if is_overruled else _TONES.get(told.action, ""),
        verdict=_verdict(judged) if judged else "",
        objections=judged.reasons if judged else (),
        changes=tuple(_changes(judged)) if judged and judged.against else (),
    )


def _verdict(judged: Judged) -> str:
    words = {
        "passed": "passed the gate",
        "refused": "refused by the gate",
        "overruled": "refused by the gate, and overruled",
    }
    against = f", compared with {judged.against}" if judged.against else ""
    thresholds = (judged.thresholds_sha256 or "-")[:12]
    return f"{words[judged.verdict]}{against}; thresholds {thresholds}"


def _changes(judged: Judged) -> Iterator[Change]:
    from sidmint.reporting.audit_page import Change

    for key, change in (judged.thresholds or {}).items():
        looser = change.direction == "looser"
        yield Change(f"gate.{key}", _words(change.before), _words(change.after), looser)
    known: Mapping[str, tuple[Any, Any]] = {**judged.params, **judged.revisions}
    for key, (before, after) in known.items():
        if judged.thresholds is None or not key.startswith("gate."):
            yield Change(key, _words(before), _words(after))


def _words(value: Any) -> str:
    from sidmint.reporting.tables import NOTHING

    return NOTHING if value is None else str(value)
