"""`sidmint rank-probe`: how a table's codes would serve a click model, beside ids and content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sidmint.cli.output import console, emit
from sidmint.cli.workspace import Workspace, open_workspace
from sidmint.errors import BadInput

if TYPE_CHECKING:
    from rich.table import Table

    from sidmint.ranking import ClickLog, ProbeSettings, RankingProbe, RepresentationScore
    from sidmint.ranking.reading import Reading
    from sidmint.types import Codes


def rank_probe(
    tokenizer: Annotated[str, typer.Option(help="One of train.tokenizers in params.yaml.")],
    seed: Annotated[
        int | None,
        typer.Option(
            help="Draws negatives, starts, batches and hashes; by default that of params.yaml.",
            show_default=False,
        ),
    ] = None,
    parameters: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Parameters of each model; by default hashed_id gets a row for four items.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train one small click model on six representations of items, and ask each of later clicks.

    Hashed ids, sums over levels, prefixes, pieces of code, content, ids beside codes: at one
    budget of parameters, on one thread. The cut in time is that of `ingest.protocol: time`,
    else before the newest fifth of the log; then a tokenizer that reads item pairs has seen later
    clicks in them, and looks better than it is. Nothing is written.
    """
    from sidmint.progress import on_terminal
    from sidmint.ranking import ranking_probe

    here = open_workspace()
    codes, settings = _codes(here, tokenizer), _settings(here, parameters)
    vectors, log = here.artifacts.embeddings().vectors, _log(here)
    seed = here.params.seed if seed is None else seed
    with _one_thread():
        found = ranking_probe(codes, vectors, log, settings, seed=seed, track=on_terminal)
    emit({"tokenizer": tokenizer, "seed": seed, **asdict(found)}, as_json, lambda: _show(found))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread for a while: their number changes the last bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _codes(here: Workspace, tokenizer: str) -> Codes:
    """The codes of sids.parquet, without the suffix; sizes are those in use."""
    from sidmint.types import Codes

    values = here.artifacts.codes("sids", tokenizer)
    return Codes(values, tuple(int(size) + 1 for size in values.max(axis=0)))


def _settings(here: Workspace, parameters: int | None) -> ProbeSettings:
    from sidmint.ranking import ProbeSettings

    ingest, segments = here.params.ingest, here.params.segments
    test_share = ingest.time_shares[1] if ingest.protocol == "time" else 0.2
    return ProbeSettings(
        num_parameters=parameters,
        test_share=test_share,
        head_share=segments.head_share,
        torso_share=segments.torso_share,
        counts=segments.counts,
        copy_cosine=here.params.diagnose.near_duplicate_cosine,
    )


def _log(here: Workspace) -> ClickLog:
    """Every event of the workspace, items as rows of the catalogue."""
    from sidmint.contracts import NO_LOG, Interactions, Items
    from sidmint.ranking import ClickLog

    items = here.artifacts.items().select(Items.ITEM_ID).with_row_index("row")
    events = here.artifacts.interactions()
    if events.is_empty():
        raise BadInput(
            f"rank-probe wants clicks to learn from, and {NO_LOG}; name one in ingest.interactions"
        )
    if Interactions.TIMESTAMP not in events.columns or events[Interactions.TIMESTAMP].has_nulls():
        raise BadInput(
            "rank-probe cuts the log in time, and not every event has one; map a column to "
            "ingest.columns.timestamp"
        )
    rows = events.join(items, on=Interactions.ITEM_ID, maintain_order="left")
    return ClickLog.of(
        rows[Interactions.USER_ID].rank("dense").to_numpy(),
        rows["row"].to_numpy(),
        rows[Interactions.TIMESTAMP].to_numpy(),
        len(items),
    )


def _show(found: RankingProbe) -> None:
    console.print(
        f"{found.num_train_clicks:,} clicks to learn from, {found.num_test_clicks:,} later ones "
        f"to be asked, {found.num_unseen_items:,} items unseen before; at most "
        f"{found.num_parameters:,} parameters"
    )
    for heading, figure in (
        ("AUC (higher is better)", "auc"),
        ("normalised entropy (lower is better)", "normalised_entropy"),
    ):
        console.print()
        console.print(_view(found, heading, figure))
    if found.num_copies:
        console.print()
        console.print(_copy_view(found))


def _view(found: RankingProbe, heading: str, figure: str) -> Table:
    """One row a representation, one column a group of items."""
    from rich.table import Table

    table = Table(heading, box=None, header_style="bold")
    for name in _groups(found.scores[0]):
        table.add_column(name, justify="right", no_wrap=True)
    for score in found.scores:
        figures = (getattr(reading, figure) for reading in _groups(score).values())
        table.add_row(score.name, *("-" if one is None else f"{one:.4f}" for one in figures))
    return table


def _groups(score: RepresentationScore) -> Mapping[str, Reading]:
    """All, by age, by frequency; items that are cold are those unseen."""
    groups = {"all": score.overall, **score.by_age, **score.by_frequency}
    return {name: reading for name, reading in groups.items() if name != "cold"}


def _copy_view(found: RankingProbe) -> Table:
    from rich.table import Table

    table = Table("mean |p(i) - p(j)|", box=None, header_style="bold")
    table.add_column(f"j a copy of i ({found.num_copies:,} pairs)", justify="right")
    table.add_column("j a random item", justify="right")
    for score in found.scores:
        gaps = score.copy_gap, score.stranger_gap
        table.add_row(score.name, *("-" if gap is None else f"{gap:.4f}" for gap in gaps))
    return table


def register(app: typer.Typer) -> None:
    """Add `rank-probe`."""
    app.command()(rank_probe)
