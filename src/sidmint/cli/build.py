"""`sidmint run`, `status`, `demo` and `reconcile`: the whole graph at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from sidmint.cli.output import console, emit, errors, warn
from sidmint.cli.workspace import Workspace, open_store, open_workspace
from sidmint.errors import BadInput

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def run(
    jobs: Annotated[int | None, typer.Option(help="Stages at a time; default: the cores.")] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show what the stages and Prefect say.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring every stage up to date, record the build in MLflow, and say what the gate says.

    A table shows how far the stages are; without a terminal there is a line for each that ends.

    Stages that are up to date are not run again. The exit code is 1 where a stage failed,
    and 0 where all ran, whatever the gate says: a refused table is a result.
    """
    here = open_workspace()
    _check_everything(here)
    _run_graph(here, jobs, quiet=as_json, verbose=verbose)
    verdicts = _show_verdicts(here, as_json)
    if not as_json:
        _show_next(here, [name for name, verdict in verdicts.items() if verdict["passed"]])


def status(as_json: Json = False) -> None:
    """Which stages are out of date, and why."""
    from sidmint.adapters.dvc_repo import stale_reasons
    from sidmint.result_versions import differing_versions

    layout = open_workspace().layout
    stale = stale_reasons(layout.root)
    if differing := differing_versions(layout):
        warn(
            f"{layout.result_versions.name} is not that of the installed sidmint "
            f"({_changes(differing)}); `sidmint run` brings it level"
        )

    def render() -> None:
        if not stale:
            console.print("everything is up to date")
        for name, reasons in stale.items():
            console.print(f"[bold]{name}[/]: {'; '.join(reasons)}", soft_wrap=True)

    emit(stale, as_json, render)


def demo() -> None:
    """The main job on the built-in catalogue: build, publish, and say where everything is."""
    from sidmint.cli.versions import publish

    here = open_workspace()
    if here.params.ingest.source != "synthetic":
        raise BadInput(
            "params.yaml names your own data; `sidmint run` and `sidmint publish` work on it, "
            "`sidmint init --demo` goes back to the built-in catalogue"
        )
    _check_everything(here)
    console.rule("build")
    _run_graph(here, None)
    _show_verdicts(here, as_json=False)
    console.rule("publish")
    publish(by="make demo")
    console.rule("run again: only the gate looks anew, at the champion it just got")
    _run_graph(here, None)
    console.rule("where to look")
    show_places(here)


def reconcile(as_json: Json = False) -> None:
    """Make MLflow's model versions and aliases agree with the registry, which is the truth."""
    from sidmint.adapters.mlflow_runs import reconcile as repair

    here, store = open_workspace(), open_store()
    store.recover()
    done = repair(here.layout, here.params.registry.model_name, store)
    emit(done, as_json, lambda: console.print("\n".join(done), markup=False))


def show_places(here: Workspace) -> None:
    """Where the report, the Data Docs, the published table and the run history are."""
    store = open_store()
    docs = next(here.layout.data_docs.rglob("index.html"), here.layout.data_docs)
    places = {
        "report": here.layout.stage("report") / "report.html",
        "Data Docs": docs,
        "published table": f"{store.where}/versions  (sidmint versions)",
        "metric history": "sidmint history collision_rate",
        "run history": f"mlflow ui --backend-store-uri sqlite:///{here.layout.mlflow_database}",
    }
    for what, where in places.items():
        # Whole paths on one line each: they are copied and clicked.
        console.print(f"{what:16s} {where}", markup=False, soft_wrap=True)


def _check_everything(here: Workspace) -> None:
    """Find a wrong setting before the first stage runs, not after the third."""
    from sidmint.stages.ingest import check_without_log
    from sidmint.stages.recommend import check_recommender
    from sidmint.stages.train import check_settings

    check_without_log(here.params)
    check_settings(here.params)
    check_recommender(here.params)
    bring_level(here)


def bring_level(here: Workspace) -> None:
    """Write what stages may not look at themselves: the champion, the installed sidmint."""
    from sidmint.publishing.opening import open_registry
    from sidmint.publishing.snapshot import sync_champion

    sync_champion(here.layout, open_registry(here.layout, here.params.registry.path))
    _sync_result_versions(here)


def _sync_result_versions(here: Workspace) -> None:
    from sidmint.result_versions import differing_versions, write_versions

    differing = differing_versions(here.layout)
    if differing:
        write_versions(here.layout)
        name = here.layout.result_versions.name
        errors.print(f"{name} is now that of the installed sidmint: {_changes(differing)}")


def _changes(differing: Mapping[str, tuple[int | None, int | None]]) -> str:
    return ", ".join(
        f"{stage} {before or 'none'} -> {now or 'none'}"
        for stage, (before, now) in differing.items()
    )


def _run_graph(
    here: Workspace, jobs: int | None, quiet: bool = False, verbose: bool = False
) -> None:
    # -P: a folder `flows` of the user's own is not taken for the one that came with sidmint.
    command = [sys.executable, "-P", "-m", "flows.build", "--workspace", str(here.layout.root)]
    command += ["--jobs", str(jobs)] if jobs else []
    command += ["--verbose"] if verbose else []
    stdout = sys.stderr if quiet else None
    ended = subprocess.run(command, cwd=here.layout.root, stdout=stdout)
    if ended.returncode:
        raise typer.Exit(ended.returncode)  # what went wrong has been said by then


def _show_next(here: Workspace, passed: list[str]) -> None:
    """Where to look, and what to type."""
    report = here.layout.stage("report") / "report.html"
    console.print(f"{'look at':9s} {report}", markup=False, soft_wrap=True)
    if not passed:
        steps = "correct params.yaml by the reasons above, then: sidmint run"
    elif here.params.registry.approval == "person":
        steps = "sidmint propose    # a version that waits for somebody's approval"
    else:
        steps = f"sidmint publish    # {' or '.join(passed)} becomes the champion"
    console.print(f"{'next':9s} {steps}", markup=False, soft_wrap=True)


def _show_verdicts(here: Workspace, as_json: bool) -> dict[str, Any]:
    """Print what the gate says of each tokenizer; the verdicts."""
    from sidmint.contracts import NO_LOG

    verdicts = {
        name: here.artifacts.json("gate", "verdict", name) for name in here.params.train.tokenizers
    }

    def render() -> None:
        for name, verdict in verdicts.items():
            word = "[bold green]passed[/]" if verdict["passed"] else "[bold red]refused[/]"
            console.print(f"gate {word} [bold]{name}[/]")
            for reason in (*verdict["blocked_by"], *verdict["warnings"]):
                console.print(f"  - {reason}", markup=False, soft_wrap=True)
            reason = f": {NO_LOG}"
            unasked = [rule for rule in verdict["not_applied"] if rule.endswith(reason)]
            if unasked:
                names = ", ".join(rule.removesuffix(reason) for rule in unasked)
                line = f"  - not judged, since {NO_LOG}: {names}"
                console.print(line, markup=False, soft_wrap=True)

    emit(verdicts, as_json, render)
    return verdicts


def register(app: typer.Typer) -> None:
    """Add the commands that work on the whole graph."""
    for command in (run, status, demo, reconcile):
        app.command()(command)
