"""The flow `release`: gate -> approval, if wanted -> champion -> MLflow -> announce.

    python -m flows.release                      publish the leader that passed its gate
    python -m flows.release --approve-by NAME    propose it; NAME has looked and approves; promote
    python -m flows.release --wait               the same; pause until somebody approves in Prefect

A proposal is a version of the registry, and every decision on it a line of the registry's log.
The pointer moves in an ordinary task that raises: what a transaction hook raises, Prefect
swallows.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, pause_flow_run, task
from prefect.cache_policies import NO_CACHE
from prefect.input import RunInput
from prefect.settings import PREFECT_API_URL
from prefect.states import Failed

from flows.afterwards import push_inputs, register, tell
from flows.command_line import answer
from sidmint.adapters.mlflow_runs import register_version, set_statuses
from sidmint.artifacts import Artifacts
from sidmint.errors import BadInput, Refused, SidmintError
from sidmint.layout import Layout, find_workspace
from sidmint.params import load_params
from sidmint.publishing.promotion import Stands, Way, decide, promote, propose
from sidmint.publishing.release import Published, publish

_DAY_SECONDS = 24 * 3600
_FLOW = "flow release"
"""Who publishes or proposes in the log, where the flow does."""


@dataclass(frozen=True)
class Decision:
    """What a person decided about a proposal, and by which way it came to us."""

    approved: bool
    by: str
    note: str = ""
    way: Way = "command line"


class Approval(RunInput):
    """What the flow asks a person for, in Prefect's UI or by `resume_flow_run`."""

    approved: bool
    by: str
    note: str = ""


@flow(name="release", persist_result=False)
def release(
    workspace: str,
    tokenizer: str | None = None,
    approved_by: str = "",
    wait: bool = False,
    wait_seconds: int = _DAY_SECONDS,
    poll_seconds: int = 10,
) -> dict[str, Any]:
    """Publish the candidate that passed its gate and leads, or `tokenizer`'s; the announcement.

    With `wait` the flow pauses until somebody approves, which takes a Prefect server that
    people reach; `approved_by` says that this person has approved already. Raises `Refused`
    if no candidate passed, if the person declined, or if another champion came in between.
    """
    layout = Layout(Path(workspace).resolve())
    try:
        if not approved_by and not wait:
            published = publish_leader(layout, tokenizer)
            if published.changed:
                push_inputs(layout, published.version)
            register(layout, published)
            return announce(published, "")
        if wait:
            _require_server()
        proposed = put_forward(layout, tokenizer)
        if proposed.changed:  # now: while people decide the workspace may move on
            push_inputs(layout, proposed.version)
        by = approved_by
        if proposed.status != "champion":
            follow(layout, proposed)
            if approved_by:
                settle(layout, proposed, Decision(True, approved_by))
            else:
                by = _ask(layout, proposed, wait_seconds, poll_seconds)
        promoted = promote_version(layout, proposed, by)
        register(layout, promoted)
        return announce(promoted, by)
    except SidmintError as error:  # raised to the caller by the state, without a traceback here
        return Failed(message=str(error), data=error)  # type: ignore[return-value]


@task(task_run_name="gate", cache_policy=NO_CACHE, persist_result=False)
def put_forward(layout: Layout, tokenizer: str | None) -> Stands:
    """The candidate as a version that waits; `Refused` with every reason if none may be."""
    params = load_params(layout.params)
    return propose(params, Artifacts(layout), layout, tokenizer, by=_FLOW)


@task(task_run_name="decide", cache_policy=NO_CACHE, persist_result=False)
def settle(layout: Layout, proposed: Stands, decision: Decision) -> None:
    """Write the decision into the registry's log; `Refused` if it was no."""
    params = load_params(layout.params)
    note = decision.note or f"no reason given ({decision.way})"
    decide(params, layout, proposed.version, decision.approved, decision.by, note, decision.way)
    if not decision.approved:
        note = f": {decision.note}" if decision.note else ""
        raise Refused(f"{decision.by} declined {_named(proposed)}{note}")


@task(name="publish", task_run_name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_leader(layout: Layout, tokenizer: str | None) -> Published:
    """Gate and champion in one step, where nobody is asked."""
    return publish(load_params(layout.params), Artifacts(layout), layout, tokenizer, by=_FLOW)


@task(name="promote", task_run_name="promote", cache_policy=NO_CACHE, persist_result=False)
def promote_version(layout: Layout, proposed: Stands, by: str) -> Published:
    """Move the pointer to the very version that was approved."""
    return promote(load_params(layout.params), layout, proposed.version, by=by)


@task(task_run_name="follow", cache_policy=NO_CACHE, persist_result=False)
def follow(layout: Layout, proposed: Stands) -> None:
    """Let MLflow show the proposal to whoever is to look; if that fails, the release goes on."""
    name = load_params(layout.params).registry.model_name
    try:
        register_version(layout, name, proposed.path)
        set_statuses(layout, name, {proposed.version: proposed.status})
    except Exception as error:  # derived: `sidmint reconcile` makes up for it
        get_run_logger().warning(f"MLflow does not know {proposed.version} yet: {error}")


@task(task_run_name="announce", cache_policy=NO_CACHE, persist_result=False)
def announce(published: Published, by: str) -> dict[str, Any]:
    """Tell Prefect's log and UI; the message, for whoever passes it on."""
    message = {
        "event": "published" if published.changed else "already champion",
        "version": published.version,
        "previous": published.previous,
        "tokenizer": published.manifest["tokenizer"],
        "approved_by": by,
        "path": published.where,
    }
    return tell(message, key="release")


def _require_server() -> None:
    if not PREFECT_API_URL.value():
        raise BadInput(
            "waiting for an approval needs a server that people reach: start one with `prefect "
            "server start` and set PREFECT_API_URL, or name who approved with --approve-by NAME"
        )


def _ask(layout: Layout, proposed: Stands, wait_seconds: int, poll_seconds: int) -> str:
    """Pause until a person has decided; the name of whoever approved."""
    question = f"Promote {_named(proposed)} in {layout.root}?"
    answer: Approval = pause_flow_run(
        wait_for_input=Approval.with_initial_data(description=question),
        timeout=wait_seconds,
        poll_interval=poll_seconds,
    )
    settle(layout, proposed, Decision(answer.approved, answer.by, answer.note, "prefect"))
    return answer.by


def _named(proposed: Stands) -> str:
    return f"{proposed.version}, the table of {proposed.manifest['tokenizer']}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Prints the announcement as JSON; 1 if refused, 2 on bad input."""
    parser = argparse.ArgumentParser(prog="python -m flows.release", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--workspace", type=Path, default=Path("."), help="default: here")
    parser.add_argument("--tokenizer", help="default: the passing one that leads")
    parser.add_argument(
        "--approve-by",
        default=os.environ.get("SIDMINT_APPROVED_BY", ""),
        metavar="NAME",
        help="who approved; default: SIDMINT_APPROVED_BY",
    )
    parser.add_argument("--wait", action="store_true", help="wait for an approval in Prefect")
    given = parser.parse_args(arguments)

    def run() -> dict[str, Any]:
        root = find_workspace(given.workspace).root
        return release(str(root), given.tokenizer, given.approve_by, given.wait)

    return answer(run)


if __name__ == "__main__":
    sys.exit(main())
