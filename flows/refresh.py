"""The flow `refresh`: read -> judge -> publish -> MLflow -> announce; no stage runs.

    python -m flows.refresh ITEMS                    ids for the new items of a file
    python -m flows.refresh ITEMS --vectors FILE     where the champion's vectors came ready-made
    python -m flows.refresh ITEMS --vectors image=FILE ...          of several sources, each by name

Between two builds: the champion's tokenizer gives new items ids, beside those that are published.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed

from flows.afterwards import register, tell
from flows.command_line import answer
from sidmint.errors import SidmintError
from sidmint.layout import Layout, find_workspace
from sidmint.params import load_params
from sidmint.publishing.arrivals import Arrivals, read_arrivals
from sidmint.publishing.opening import open_registry
from sidmint.publishing.refresh import Plan, plan_refresh, publish_refresh
from sidmint.publishing.release import Published
from sidmint.publishing.store import VersionStore
from sidmint.publishing.versions import Release
from sidmint.sources.new_items import read_new_items
from sidmint.text_vectors import TextVectors


@flow(name="refresh", persist_result=False)
def refresh(
    workspace: str,
    items: str,
    vectors: Sequence[str] = (),
    move_changed: bool = False,
    by: str = "",
) -> dict[str, Any]:
    """Publish ids for the new items of the file `items`; the announcement.

    Raises `Refused` with every reason where they stray too far from those that the champion's
    tokenizer was trained for, and where another champion came in between.
    """
    layout = Layout(Path(workspace).resolve())
    try:
        release = _store(layout).release()
        arrivals = read(layout, release, Path(items), vectors)
        plan = judge(layout, release, arrivals, move_changed)
        published = publish_plan(layout, plan, by)
        if published.changed:
            register(layout, published)
        return announce(plan, published)
    except SidmintError as error:  # raised to the caller by the state, without a traceback here
        return Failed(message=str(error), data=error)  # type: ignore[return-value]


@task(task_run_name="read", cache_policy=NO_CACHE, persist_result=False)
def read(layout: Layout, release: Release, items: Path, vectors: Sequence[str]) -> Arrivals:
    """The items of the file, as the champion's encoder reads them."""
    params = load_params(layout.params)
    given = read_new_items(items, vectors, params.ingest.columns, params.ingest.encoding)
    encode = TextVectors(layout, params.embed.batch_size, params.embed.workers)
    return read_arrivals(given, release, layout.root, encode)


@task(task_run_name="judge", cache_policy=NO_CACHE, persist_result=False)
def judge(layout: Layout, release: Release, arrivals: Arrivals, move_changed: bool) -> Plan:
    """Ids for them, measured; `Refused` where the rules of `refresh` do not hold."""
    settings = load_params(layout.params).refresh
    plan = plan_refresh(settings, _store(layout), release, arrivals, move_changed)
    plan.require_passed()
    return plan


@task(name="publish", task_run_name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_plan(layout: Layout, plan: Plan, by: str) -> Published:
    """Move the pointer to a minor version with these ids."""
    return publish_refresh(layout, _store(layout), plan, by)


@task(task_run_name="announce", cache_policy=NO_CACHE, persist_result=False)
def announce(plan: Plan, published: Published) -> dict[str, Any]:
    """Tell Prefect's log and UI; the message, for whoever passes it on."""
    message = {
        "event": "refreshed" if published.changed else "nothing to do",
        "version": published.version,
        "previous": published.previous,
        "num_new": len(plan.found.new),
        "num_changed": len(plan.found.changed),
        "num_moved": len(plan.placed.moved) if plan.placed else 0,
        "warnings": list(plan.warnings),
        "path": published.where,
    }
    return tell(message, key="refresh")


def _store(layout: Layout) -> VersionStore:
    return open_registry(layout, load_params(layout.params).registry.path)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Prints the announcement as JSON; 1 if refused, 2 on bad input."""
    parser = argparse.ArgumentParser(prog="python -m flows.refresh", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("items", type=Path, help="new and changed items: file or Parquet folder")
    parser.add_argument(
        "--vectors",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="theirs, .npy in the items' order or Parquet; NAME: of one of embed.sources",
    )
    parser.add_argument("--move-changed", action="store_true", help="move ids of changed texts")
    parser.add_argument("--by", default="", metavar="NAME", help="who does it, for the log")
    parser.add_argument("--workspace", type=Path, default=Path("."), help="default: here")
    given = parser.parse_args(arguments)

    def run() -> dict[str, Any]:
        root = find_workspace(given.workspace).root
        items, vectors = str(given.items), given.vectors
        return refresh(str(root), items, vectors, given.move_changed, given.by)

    return answer(run)


if __name__ == "__main__":
    sys.exit(main())
