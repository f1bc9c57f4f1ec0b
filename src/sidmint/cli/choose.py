"""`sidmint choose`: which tokenizer for this catalogue, within so many minutes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sidmint.cli.output import console, emit, errors, warn
from sidmint.cli.workspace import Workspace, open_workspace
from sidmint.errors import BadInput, Refused

if TYPE_CHECKING:
    from sidmint.choosing.choice import Choice
    from sidmint.choosing.measuring import Row
    from sidmint.choosing.recommendation import Standing


def choose(
    minutes: Annotated[float, typer.Option(help="Wall time of the tries, in minutes.")] = 30.0,
    tokenizers: Annotated[
        str | None,
        typer.Option(help="Only these, A,B,C; default: every one but the controls."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="Fits a finalist.")] = 3,
    with_recommender: Annotated[
        bool,
        typer.Option("--with-recommender", help="Compare finalists by a recommender on their ids."),
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page, e.g. choice.html.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the recommended tokenizer into params.yaml.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Try tokenizers at two or three sizes on this catalogue, and recommend one.

    Successive halving: all on an eighth of the items, the better half of each size on a third, the
    best on all items with several seeds. Each try is kept in .sidmint/choose and recorded in
    MLflow; run again, the command goes on where it stopped. The exit code is 1 where the gate
    would refuse every finalist, and where none came through in the time.
    """
    from sidmint.choosing.candidates import named_tokenizers
    from sidmint.cli.choice_catalogue import prepare

    here = open_workspace()
    if not 0 < minutes < float("inf"):
        raise BadInput(f"--minutes wants a time above 0, got {minutes:g}; try --minutes 10")
    asked = None if tokenizers is None else [name.strip() for name in tokenizers.split(",")]
    names = named_tokenizers(asked, here.params.tokenizers)
    _require_folder(html)
    prepare(here)
    choice, made = _choose(here, names, minutes, seeds, with_recommender)
    _record(here)
    chosen = choice.recommendation.chosen
    if html is not None:
        _write_page(html, here, choice, minutes, seeds, len(made))
    if apply and chosen is not None:
        from sidmint.presets import train_only

        train_only(here.layout, chosen.scored.candidate.name, chosen.scored.candidate.settings)
    value = _as_plain(choice, minutes, len(made), apply and chosen is not None)
    emit(value, as_json, lambda: _show(choice, html, apply and chosen is not None))
    if chosen is None:
        raise Refused(
            f"the gate would refuse every finalist: {choice.recommendation.reason}. Nothing was "
            "applied; loosen the rule that you can do without, or give more --minutes"
        )


def _choose(
    here: Workspace, names: tuple[str, ...], minutes: float, seeds: int, with_recommender: bool
) -> tuple[Choice, list[Row]]:
    from sidmint.choosing.choice import choose as decide
    from sidmint.choosing.halving import Budget
    from sidmint.choosing.measuring import Measuring
    from sidmint.choosing.tries import KeptTries
    from sidmint.cli.choice_catalogue import (
        how_the_gate_judges,
        judging,
        own_sizes,
        read_catalogue,
    )
    from sidmint.stages.train import RESULT_VERSION

    catalogue, params = read_catalogue(here), here.params
    yardstick = judging(here) if with_recommender else None
    budget = Budget(60 * minutes)
    tries = KeptTries(here.layout.tries, Measuring(catalogue, params.seed, RESULT_VERSION))
    try:
        found = decide(
            catalogue,
            tries,
            names,
            budget,
            own=params.tokenizers,
            own_sizes=own_sizes(here),
            num_seeds=seeds,
            root=params.seed,
            objections=how_the_gate_judges(here),
            judging=yardstick,
            watch=_tell,
        )
    except KeyboardInterrupt:
        warn("stopped; every try that had ended is kept, and the same command goes on")
        raise typer.Exit(130) from None
    return found, tries.made


def _tell(rung: str, number: int, of: int, row: Row, seconds_left: float) -> None:
    """A line a try, on stderr."""
    from sidmint.choosing.sizes import in_words

    came = f"{row.quality:.3f}" if row.failed is None and row.quality is not None else row.failed
    left = max(0.0, seconds_left) / 60
    errors.print(
        f"{rung}, {number} of {of}: {row.name} {in_words(row.sizes)} on {row.num_fitted:,} items: "
        f"{came} in {row.seconds:.1f} s; {left:.1f} minutes left",
        markup=False,
        soft_wrap=True,
    )


def _record(here: Workspace) -> None:
    """Every kept try as an MLflow run; where MLflow fails, a warning says so."""
    from sidmint.choosing.measuring import as_plain
    from sidmint.choosing.tries import read_rows

    rows = [as_plain(row) for row in read_rows(here.layout.tries)]
    try:
        from sidmint.adapters.mlflow_tries import record_tries

        record_tries(here.layout, here.params.registry.model_name, rows)
    except Exception as error:
        warn(
            f"the tries are kept, but MLflow does not know them yet ({type(error).__name__}: "
            f"{error}); the next `sidmint choose` tells it"
        )


def _as_plain(choice: Choice, minutes: float, num_made: int, applied: bool) -> dict[str, Any]:
    said = choice.recommendation
    return {
        "chosen": None if said.chosen is None else _plain_standing(said.chosen),
        "leader": said.leader.label,
        "sentence": said.sentence,
        "reason": said.reason,
        "uncertainty": said.uncertainty,
        "quality": choice.quality,
        "applied": applied,
        "minutes": minutes,
        "seconds": round(choice.race.seconds, 1),
        "num_tries_made": num_made,
        "duplicate_floor": choice.sizing.floor,
        "bits_share": choice.sizing.used,
        "sizes": [asdict(proposal) for proposal in choice.sizing.proposals],
        "finalists": [_plain_standing(one) for one in said.standings],
        "retention": [_plain_standing(one) for one in choice.by_retention.standings],
        "left_out": [asdict(each) for each in choice.left_out],
    }


def _plain_standing(one: Standing) -> dict[str, Any]:
    return {
        "tokenizer": one.scored.candidate.name,
        "settings": dict(one.scored.candidate.settings),
        "label": one.label,
        "quality": one.quality,
        "difference": one.difference,
        "low": one.low,
        "high": one.high,
        "outcome": one.outcome,
        "num_seeds": len(one.scored.scores),
        "fit_seconds": one.scored.seconds,
        "objections": list(one.scored.objections),
        "metrics": dict(one.scored.metrics),
    }


def _show(choice: Choice, html: Path | None, applied: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    said = choice.recommendation
    table = Table(box=None, header_style="bold")
    table.add_column("finalist", no_wrap=True)
    for heading in ("quality", "beside the leader", "collisions", "bits", "fit"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in said.standings:
        metrics = one.scored.metrics
        table.add_row(
            escape(one.label),
            f"{one.quality:.4f}",
            "leads" if one is said.leader else one.words,
            f"{metrics['collision_rate']:.1%}",
            f"{metrics['id_bits']:.0f}",
            f"{one.scored.seconds:.0f} s",
        )
    console.print(table)
    for one in said.standings:
        for objection in one.scored.objections:
            line = f"  - the gate would refuse {one.label}: {objection}"
            console.print(line, markup=False, soft_wrap=True)
    if choice.left_out:
        console.print(f"\n{len(choice.left_out)} left out; --html and --json name each")
    console.print(f"\n[bold]{escape(said.sentence)}[/]: {escape(said.reason)}.", soft_wrap=True)
    console.print(f"{said.uncertainty}.", markup=False, soft_wrap=True)
    console.print(f"Quality is {choice.quality}.", markup=False, soft_wrap=True)
    if html is not None:
        console.print(f"wrote {html}", markup=False, soft_wrap=True)
    if applied:
        console.print("params.yaml trains it now; next: [bold]sidmint run[/]")


def _require_folder(html: Path | None) -> None:
    """Before the time is spent."""
    if html is not None and not html.resolve().parent.is_dir():
        raise BadInput(f"{html} cannot be written; name a file in a folder that is there")


def _write_page(
    html: Path, here: Workspace, choice: Choice, minutes: float, seeds: int, num_made: int
) -> None:
    from sidmint.cli.choice_catalogue import how_the_gate_judges
    from sidmint.cli.choice_view import page_of
    from sidmint.cli.pages import write_page
    from sidmint.reporting.choice_page import render_choice

    judge = how_the_gate_judges(here)
    page = page_of(choice, judge, here.params.report.title, minutes, seeds, num_made)
    write_page(html, render_choice(page))


def register(app: typer.Typer) -> None:
    """Add `choose`."""
    app.command()(choose)
