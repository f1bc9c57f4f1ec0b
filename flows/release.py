"""The flow `release`: gate -> approval, if wanted -> publish -> MLflow -> announce.

    python -m flows.release                      publish the leader that passed its gate
    python -m flows.release --approve-by NAME    the same; NAME has looked, and approves
    python -m flows.release --wait               pause until somebody approves in Prefect's UI

The pointer moves in an ordinary task that raises: what a transaction hook raises, Prefect
swallows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, pause_flow_run, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.input import RunInput
from prefect.settings import PREFECT_API_URL
from prefect.states import Failed

from flows.approvals import Decision, write_down
from flows.settings import end_well_on_sigterm
from sidmint.adapters.dvc_repo import push
from sidmint.adapters.mlflow_runs import register_version, set_champion
from sidmint.artifacts import Artifacts
from sidmint.errors import BadInput, Refused, SidmintError
from sidmint.layout import Layout, find_workspace
from sidmint.params import load_params
from sidmint.publishing.candidates import Candidate, choose
from sidmint.publishing.release import Published, publish

_DAY_SECONDS = 24 * 3600


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
        candidate = gate(layout, tokenizer)
        by = approved_by
        if approved_by:
            decide(layout, candidate, Decision(True, approved_by))
        elif wait:
            by = _ask(layout, candidate, wait_seconds, poll_seconds)
        published = publish_candidate(layout, candidate, by)
        register(layout, published)
        push_inputs(layout, published)
        return announce(published, by)
    except SidmintError as error:  # raised to the caller by the state, without a traceback here
        return Failed(message=str(error), data=error)  # type: ignore[return-value]


@task(task_run_name="gate", cache_policy=NO_CACHE, persist_result=False)
def gate(layout: Layout, tokenizer: str | None) -> Candidate:
    """The candidate to publish; `Refused` with every reason if none may be."""
    params = load_params(layout.params)
    return choose(params, Artifacts(layout), tokenizer, overriding=False)


@task(task_run_name="decide", cache_policy=NO_CACHE, persist_result=False)
def decide(layout: Layout, candidate: Candidate, decision: Decision) -> None:
    """Write the decision down; `Refused` if it was no."""
    write_down(layout, candidate, decision)
    if not decision.approved:
        note = f": {decision.note}" if decision.note else ""
        raise Refused(f"{decision.by} declined the table of {candidate.tokenizer}{note}")


@task(name="publish", task_run_name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_candidate(layout: Layout, candidate: Candidate, by: str) -> Published:
    """Move the pointer to the very table that was judged and approved."""
    params, artifacts = load_params(layout.params), Artifacts(layout)
    if choose(params, artifacts, candidate.tokenizer, overriding=False) != candidate:
        raise Refused(
            f"the table or the verdict of {candidate.tokenizer} changed since it was approved; "
            "release it again"
        )
    return publish(params, artifacts, layout, candidate.tokenizer, by=by)


@task(task_run_name="register", cache_policy=NO_CACHE, persist_result=False)
def register(layout: Layout, published: Published) -> None:
    """Let MLflow follow; if that fails, `sidmint reconcile` makes up for it."""
    name = load_params(layout.params).registry.model_name
    register_version(layout, name, published.path)
    set_champion(layout, name, published.version)


@task(task_run_name="push", cache_policy=NO_CACHE, persist_result=False)
def push_inputs(layout: Layout, published: Published) -> None:
    """Send the inputs to DVC's default remote, where there is one."""
    if published.changed:
        push(layout.root)


@task(task_run_name="announce", cache_policy=NO_CACHE, persist_result=False)
def announce(published: Published, by: str) -> dict[str, Any]:
    """Tell Prefect's log and UI; the message, for whoever passes it on."""
    message = {
        "event": "published" if published.changed else "already champion",
        "version": published.version,
        "previous": published.previous,
        "tokenizer": published.manifest["tokenizer"],
        "approved_by": by,
        "path": str(published.path),
    }
    get_run_logger().info(json.dumps(message, sort_keys=True))
    rows = "\n".join(f"| {key} | {value} |" for key, value in message.items())
    create_markdown_artifact(f"| | |\n|---|---|\n{rows}", key="release")
    return message


def _ask(layout: Layout, candidate: Candidate, wait_seconds: int, poll_seconds: int) -> str:
    """Pause until a person has decided; the name of whoever approved."""
    if not PREFECT_API_URL.value():
        raise BadInput(
            "waiting for an approval needs a server that people reach: start one with `prefect "
            "server start` and set PREFECT_API_URL, or name who approved with --approve-by NAME"
        )
    question = f"Publish the table of {candidate.tokenizer} in {layout.root}?"
    answer: Approval = pause_flow_run(
        wait_for_input=Approval.with_initial_data(description=question),
        timeout=wait_seconds,
        poll_interval=poll_seconds,
    )
    decide(layout, candidate, Decision(answer.approved, answer.by, answer.note, "prefect"))
    return answer.by


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
    end_well_on_sigterm()
    try:
        root = find_workspace(given.workspace).root
        message = release(str(root), given.tokenizer, given.approve_by, given.wait)
    except SidmintError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(message, indent=2, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
