"""The flow `build`: bring every node of dvc.yaml up to date, branches side by side.

One Prefect task a node. A node that is up to date, after nodes that all were, is not even
asked for; any other is handed to `dvc repro --single-item`, and DVC decides: run it, take
its outputs from the run cache, or skip it. The dvc.lock that results is the one that plain
`dvc repro` writes, so either can follow the other.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import Task, flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.board import Board, current_board
from flows.processes import Ended, Processes, Stopped
from flows.recording import record_history
from flows.stage_options import (
    STAGE_OPTIONS,
    StageOptions,
    check_options,
    read_options,
    worth_another_try,
)
from flows.summary import BuildFailed, BuildSummary, NodeResult
from sidmint.adapters.dvc_repo import (
    Plan,
    build_digest,
    effect_of,
    exit_code_in,
    is_advice,
    lacks_parts,
    read_plan,
    repro_command,
    repro_environment,
    stage_of,
)
from sidmint.errors import SidmintError
from sidmint.layout import Layout

_SHOWN_LINES = 15


# A task that waits holds a thread, so threads are not limited: `Processes` limits the work.
@flow(
    name="build",
    task_runner=ThreadPoolTaskRunner(),  # type: ignore[arg-type]
    persist_result=False,
)
def build(
    workspace: str,
    jobs: int | None = None,
    record: bool = True,
    options: dict[str, dict[str, Any]] | None = None,
) -> BuildSummary:
    """Bring the workspace up to date and, if `record`, write the build into MLflow.

    `jobs` stages run at a time (default: the cores this process may use); `options`, fields
    of `StageOptions` by stage, replace `STAGE_OPTIONS`; plain values, so that they can be
    typed into Prefect's UI. A failed node does not stop branches that do not need it.
    Raises `BuildFailed`, naming each failed stage with the end of its output.
    """
    layout = Layout(Path(workspace).resolve())
    try:
        table = STAGE_OPTIONS if options is None else read_options(options)
        return _build(layout, jobs, record, table)
    except SidmintError as error:  # raised to the caller by the state, without a traceback here
        return Failed(message=str(error).partition("\n")[0], data=error)  # type: ignore[return-value]


def _build(
    layout: Layout, jobs: int | None, record: bool, options: Mapping[str, StageOptions]
) -> BuildSummary:
    plan = read_plan(layout.root)
    check_options(options, plan.graph.stages)
    board = current_board()
    board.begins(plan.graph.nodes)
    with Processes(jobs or len(os.sched_getaffinity(0))) as processes:
        nodes = _bring_all_up_to_date(_Build(layout.root, plan, options, processes, board))
    summary = BuildSummary(nodes)
    _write_artifacts(layout, summary)
    if summary.failed:
        raise BuildFailed(summary)
    if record:
        board.says("recording in MLflow")
        run = record_history(layout, build_digest(layout.root, plan.graph))
        summary = BuildSummary(nodes, run)
    return summary


@dataclass
class _Build:
    """What the tasks of one flow run share; `results` fills as they end."""

    root: Path
    plan: Plan
    options: Mapping[str, StageOptions]
    processes: Processes
    board: Board
    results: dict[str, NodeResult] = field(default_factory=dict)

    def options_of(self, node: str) -> StageOptions:
        return self.options.get(stage_of(node), StageOptions())

    def ended(self, result: NodeResult) -> NodeResult:
        """Keep `result`, and show it."""
        self.results[result.stage] = result
        self.board.ended(result)
        return result

    def is_surely_up_to_date(self, node: str) -> bool:
        """False only means: ask DVC again, now that the nodes before this one are done."""
        upstream = self.plan.graph.upstream[node]
        return node not in self.plan.stale and all(
            self.results[name].state == "Cached" for name in upstream
        )


def _bring_all_up_to_date(shared: _Build) -> tuple[NodeResult, ...]:
    futures: dict[str, PrefectFuture[Any]] = {}
    for node, upstream in shared.plan.graph.upstream.items():
        before = [futures[name] for name in upstream]
        futures[node] = _task_for(node, shared).submit(node, shared, wait_for=before)
    for future in futures.values():
        _wait(future)
    untouched = {node: NodeResult(node, "Not run") for node in futures}
    return tuple((untouched | shared.results).values())


def _wait(future: PrefectFuture[Any]) -> None:
    """Wait in short sleeps: an endless wait inside Prefect does not wake up on Ctrl-C."""
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    while not done.wait(timeout=1.0):
        pass


def _drop_empty_traceback(record: logging.LogRecord) -> bool:
    """Prefect logs a `Failed` state that a task returns with the traceback of no exception."""
    if record.exc_info and record.exc_info[0] is None:
        record.exc_info = None
    return True


logging.getLogger("prefect.task_runs").addFilter(_drop_empty_traceback)


def _task_for(node: str, shared: _Build) -> Task[Any, Any]:
    """The task of one node. Prefect's own cache stays out: DVC decides what is cached."""
    options = shared.options_of(node)

    def may_be_mended(*_: object) -> bool:
        return worth_another_try(shared.results[node].exit_code)

    return task(
        name=stage_of(node),
        task_run_name=node,
        tags=set(options.tags),
        retries=options.retries,
        retry_delay_seconds=options.retry_delay_seconds,
        retry_condition_fn=may_be_mended,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(_bring_up_to_date)


def _bring_up_to_date(node: str, shared: _Build) -> State[None]:
    """Run `node` if it may need it. The name of the state that is returned says what happened."""
    if shared.is_surely_up_to_date(node) and not lacks_parts(node, shared.root):
        shared.ended(NodeResult(node, "Cached"))
        return Completed(name="Cached", message="up to date")
    logger = get_run_logger()

    def log(line: str) -> None:
        if not is_advice(line):
            logger.info(line)

    seconds = shared.options_of(node).timeout_seconds
    try:
        with shared.processes.slot():
            environment = {**repro_environment(), **shared.board.started(node)}
            ended = shared.processes.run(
                repro_command(node, shared.root), shared.root, environment, log, seconds
            )
    except Stopped:
        shared.ended(NodeResult(node, "Stopped", problem="was stopped with its flow"))
        return Failed(name="Stopped", message="stopped with its flow")
    result = shared.ended(_judge(node, ended))
    if result.problem:
        return Failed(name=result.state, message=f"stage {node} {result.problem}")
    return Completed(name=result.state, message=f"{ended.seconds:.1f} s")


def _judge(node: str, ended: Ended) -> NodeResult:
    """What the end of `dvc repro` means for `node`; a failure carries the end of its output."""
    if not ended.timed_out and ended.code == 0:
        return NodeResult(node, effect_of(ended.lines), ended.seconds)
    last_lines = ended.lines[-_SHOWN_LINES:]
    if ended.timed_out:
        problem = f"was killed: it was not done after {ended.seconds:.0f} s"
        return NodeResult(node, "TimedOut", ended.seconds, problem, last_lines)
    code = exit_code_in(ended.lines)
    what = f"exit code {code}" if code is not None else f"dvc left with {ended.code}"
    problem = f"failed ({what}) after {ended.seconds:.1f} s"
    return NodeResult(node, "Failed", ended.seconds, problem, last_lines, code)


def _write_artifacts(layout: Layout, summary: BuildSummary) -> None:
    """The table of nodes, and links to the pages that the stages made, in Prefect's UI."""
    create_table_artifact(
        summary.as_rows(), key="build-stages", description=f"Build of `{layout.root}`"
    )
    pages = {
        "build-report": layout.stage("report") / "report.html",
        "data-docs": next(layout.data_docs.rglob("index.html"), layout.data_docs / "index.html"),
    }
    for key, page in pages.items():
        if page.is_file():
            create_link_artifact(page.as_uri(), link_text=page.name, key=key)
