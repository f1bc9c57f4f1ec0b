"""One command a stage: what dvc.yaml calls. People rarely need them; `sidmint run` does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from sidmint.cli.output import console, emit
from sidmint.cli.processes import is_one_of_several, joined, launch
from sidmint.cli.workspace import Workspace, open_workspace
from sidmint.errors import BadInput

if TYPE_CHECKING:
    from sidmint.artifacts import Artifacts
    from sidmint.types import Outcome

_PANEL = "Stages (what dvc.yaml runs)"
Tokenizer = Annotated[str, typer.Option(help="One of train.tokenizers in params.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")]


def ingest(as_json: Json = False) -> None:
    """Read the source, filter, split and check it."""
    from sidmint.adapters.gx_catalogue import check_catalogue
    from sidmint.progress import on_terminal
    from sidmint.stages.ingest import ingest as stage

    here = _open("ingest")
    check = partial(check_catalogue, docs=here.layout.data_docs)
    _tell(stage(here.params, here.artifacts, check, on_terminal), as_json)


def embed(as_json: Json = False) -> None:
    """Turn item text into vectors."""
    from sidmint.progress import on_terminal
    from sidmint.stages.embed import embed as stage

    here = _open("embed")
    _tell(stage(here.params, here.artifacts, on_terminal), as_json)


def pairs(as_json: Json = False) -> None:
    """Find items seen together (Swing), in training interactions only."""
    from sidmint.progress import on_terminal
    from sidmint.stages.pairs import pairs as stage

    here = _open("pairs")
    _tell(stage(here.params, here.artifacts, on_terminal), as_json)


def train(tokenizer: Tokenizer, as_json: Json = False) -> None:
    """Fit a tokenizer, in as many processes as train.processes says."""
    here = _open("train")
    settings = here.params.train
    if settings.processes > 1 and not is_one_of_several():
        arguments = ["train", "--tokenizer", tokenizer, *(["--json"] if as_json else [])]
        raise typer.Exit(launch(settings.processes, arguments))

    from sidmint.progress import on_terminal, silent
    from sidmint.quantization.collective import rank
    from sidmint.stages.train import train as stage

    with joined(settings.device):
        first = rank() == 0
        track = on_terminal if first else silent
        outcome = stage(here.params, here.artifacts, tokenizer, track)
    if first:
        _tell(outcome, as_json)


def assign(tokenizer: Tokenizer, as_json: Json = False) -> None:
    """Give every item its codes and its Semantic ID."""
    from sidmint.execution.making import open_engine
    from sidmint.progress import on_terminal
    from sidmint.stages.assign import assign as stage

    here = _open("assign")
    with open_engine(here.params.execution) as engine:
        outcome = stage(here.params, here.artifacts, tokenizer, on_terminal, engine)
    _tell(outcome, as_json)


def diagnose(
    tokenizer: Tokenizer,
    show: Annotated[
        bool,
        typer.Option(
            "--show",
            help="Only print what the stage wrote: a look must not change outputs that DVC tracks.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure utilization, collisions, overlap, geometry and reconstruction."""
    here = open_workspace()
    if show:
        _show_diagnosis(here.artifacts, tokenizer, as_json)
        return

    from sidmint.progress import on_terminal
    from sidmint.result_versions import require_level
    from sidmint.stages.diagnose import diagnose as stage

    require_level(here.layout, "diagnose")
    _tell(stage(here.params, here.artifacts, tokenizer, on_terminal), as_json)


def evaluate(tokenizer: Tokenizer, as_json: Json = False) -> None:
    """Measure item-to-item retrieval on held-out events."""
    from sidmint.progress import on_terminal
    from sidmint.stages.evaluate import evaluate as stage

    here = _open("evaluate")
    _tell(stage(here.params, here.artifacts, tokenizer, on_terminal), as_json)


def recommend(
    tokenizer: Annotated[
        str | None, typer.Option(help="As a stage: train a recommender on this table.")
    ] = None,
    champion: Annotated[
        bool, typer.Option("--champion", help="As a stage: on the published table.")
    ] = False,
    user: Annotated[
        str | None, typer.Option(help="Answer for this user of the log, from the champion's.")
    ] = None,
    history: Annotated[
        str | None, typer.Option(help="Answer for these item ids, A,B,C, oldest first.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="How many items to recommend.")] = 10,
    as_json: Json = False,
) -> None:
    """Train a recommender on a table's ids, or ask the champion's (--user, --history)."""
    from sidmint.cli.recommendations import answer

    given = [tokenizer is not None, champion, user is not None, history is not None]
    if sum(given) != 1:
        raise BadInput("give one of --tokenizer, --champion, --user and --history")
    if user is not None or history is not None:
        answer(user, history, k, as_json)
        return

    from sidmint.progress import on_terminal
    from sidmint.stages.recommend import CHAMPION
    from sidmint.stages.recommend import recommend as stage

    here = _open("recommend")
    _tell(stage(here.params, here.artifacts, tokenizer or CHAMPION, on_terminal), as_json)


def segments(tokenizer: Tokenizer, as_json: Json = False) -> None:
    """Split the evaluation by head, torso, tail and cold items."""
    from sidmint.progress import on_terminal
    from sidmint.stages.segments import segments as stage

    here = _open("segments")
    _tell(stage(here.params, here.artifacts, tokenizer, on_terminal), as_json)


def gate(tokenizer: Tokenizer, as_json: Json = False) -> None:
    """Judge a tokenizer's table; the verdict is a result, so the exit code is 0 either way."""
    from sidmint.adapters.gx_gate import judge
    from sidmint.execution.making import open_engine
    from sidmint.progress import on_terminal
    from sidmint.stages.gate import gate as stage

    here = _open("gate")
    with open_engine(here.params.execution) as engine:
        outcome = stage(here.params, here.artifacts, tokenizer, judge, on_terminal, engine)
    _tell(outcome, as_json)


def report(as_json: Json = False) -> None:
    """Write the page of this run."""
    from sidmint.progress import on_terminal
    from sidmint.stages.report import report as stage

    here = _open("report")
    _tell(stage(here.params, here.artifacts, on_terminal), as_json)


def _open(stage: str) -> Workspace:
    """The workspace for `stage`, whose results it must record under the right version."""
    from sidmint.result_versions import require_level

    here = open_workspace()
    require_level(here.layout, stage)
    return here


def _show_diagnosis(artifacts: Artifacts, tokenizer: str, as_json: bool) -> None:
    """The figures on disk, level by level and whole; `BadInput` where the stage has not run."""
    from sidmint.cli.views import level_views, metric_view, noise_view

    metrics = artifacts.metrics("diagnose", tokenizer)
    tables = [
        *level_views(artifacts.table("diagnose", "levels", tokenizer), metrics),
        metric_view(metrics),
    ]
    if (artifacts.folder("diagnose", tokenizer) / "robustness.parquet").is_file():
        robustness = artifacts.table("diagnose", "robustness", tokenizer)
        tables += [noise_view(robustness)] if robustness.height else []

    def render() -> None:
        for table in tables:
            console.print(table)
            console.print()

    emit(metrics, as_json, render)


def _tell(outcome: Outcome, as_json: bool) -> None:
    emit(
        dict(outcome.metrics),
        as_json,
        lambda: console.print(outcome.headline, markup=False, soft_wrap=True),
    )


def register(app: typer.Typer) -> None:
    """Add the stage commands, in the order of the graph."""
    for command in (
        ingest,
        embed,
        pairs,
        train,
        assign,
        diagnose,
        evaluate,
        recommend,
        segments,
        gate,
        report,
    ):
        app.command(rich_help_panel=_PANEL)(command)
