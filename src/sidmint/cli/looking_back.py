"""`sidmint history` and `sidmint blame`: what was done to the registry, and who moved a metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from sidmint.cli.output import console, emit
from sidmint.cli.views import plain
from sidmint.cli.workspace import open_store
from sidmint.errors import BadInput

if TYPE_CHECKING:
    from sidmint.gate.loosening import ThresholdChange
    from sidmint.publishing.blame import Blame, Step
    from sidmint.publishing.chronicle import Told
    from sidmint.publishing.store import VersionStore

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
_BAR_WIDTH = 20
_MOST_CHANGES = 12
_LONGEST_VALUE = 60


def history(
    metric: Annotated[
        str | None,
        typer.Argument(help="A metric (`sidmint metrics` lists them); default: all that was done."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the metric, as an .svg file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Everything that was done to the registry, refusals too; or one metric over the versions.

    Of each act: who, when and why; of each new version and each refusal also the verdict, and
    what was changed of parameters and thresholds since the champion it was compared with.
    """
    store = open_store()
    if metric is None:
        if plot is not None:
            raise BadInput("--plot draws a metric; name one: sidmint history METRIC --plot FILE")
        _everything(store, as_json)
    else:
        _metric(store, metric, plot, as_json)


def blame(
    metric: Annotated[str, typer.Argument(help="A metric; `sidmint metrics` lists them.")],
    as_json: Json = False,
) -> None:
    """Name the version that moved a metric, and what was changed with it.

    Each version is compared with the champion that it was judged against.
    """
    from sidmint.publishing.blame import blame as find

    found = find(open_store(), metric)
    emit(asdict(found), as_json, lambda: _show_blame(found))


def _everything(store: VersionStore, as_json: bool) -> None:
    from sidmint.publishing.chronicle import chronicle

    told = chronicle(store)

    def render() -> None:
        if not told:
            console.print(f"nobody has done anything to {store.where} yet", markup=False)
        for each in told:
            _show_act(each)

    emit([asdict(each) for each in told], as_json, render)


def _show_act(told: Told) -> None:
    from sidmint.publishing.acts import ACTS

    act = ACTS.get(told.action)
    line = Text(f"{told.sequence:>4}  {told.at[:16].replace('T', ' ')}  ")
    style = {"refuse": "bold red", "decline": "red", "retire": "red"}.get(told.action, "bold")
    line.append(f"{act.past if act else told.action} {told.version or ''}".rstrip(), style)
    line.append(f"  {told.tokenizer or ''} by ")
    line.append_text(plain(told.by or "somebody"))
    if told.reason:
        line.append_text(Text(": ") + plain(told.reason))
    console.print(line, soft_wrap=True)
    if told.judged is None:
        return
    judged = told.judged
    against = f", against {judged.against}" if judged.against else ""
    thresholds = (judged.thresholds_sha256 or "-")[:12]
    _indented(f"gate {judged.verdict}{against}; thresholds {thresholds}")
    for reason in judged.reasons:
        _indented(f"- {reason}")
    if judged.against:
        for words in _changes(judged.params, judged.thresholds, judged.revisions):
            _indented(words)


def _metric(store: VersionStore, metric: str, plot: Path | None, as_json: bool) -> None:
    from sidmint.publishing.history import metric_history
    from sidmint.publishing.plot import bars, draw_history

    found = metric_history(store, metric)
    if plot is not None:
        draw_history(found, plot)

    def render() -> None:
        better = f"; {found.better} is better" if found.better else ""
        console.print(f"[bold]{found.metric}[/]: {found.meaning}{better}", soft_wrap=True)
        table = Table("version", "created", "tokenizer", box=None)
        for heading in ("value", "", ""):
            table.add_column(heading, no_wrap=True)
        lengths = bars([value.value for value in found.values], _BAR_WIDTH)
        for value, bar in zip(found.values, lengths, strict=True):
            flags: list[str] = [value.status] if value.status != "published" else []
            flags += ["override"] if value.override else []
            number = "not measured" if value.value is None else f"{value.value:.6g}"
            row = (value.version, value.created_at[:10], Text(value.tokenizer), number, bar)
            table.add_row(*row, ", ".join(flags))
        console.print(table)
        if plot is not None:
            console.print(f"drawn in {plot}", markup=False)

    emit(asdict(found), as_json, render)


def _show_blame(found: Blame) -> None:
    better = f"; {found.better} is better" if found.better else ""
    console.print(f"[bold]{found.metric}[/]: {found.meaning}{better}", soft_wrap=True)
    if not found.steps:
        console.print("it is the same in every version")
        return
    for step in found.steps:
        _show_step(step, step.version == found.worst)
    if found.worst is None:
        console.print("no version made it worse")


def _show_step(step: Step, is_worst: bool) -> None:
    styles = {"worse": "red", "better": "green"}
    line = Text(f"{step.version}  ", "bold")
    line.append(f"{step.before:.6g} -> {step.after:.6g}  ", "")
    line.append(step.change or "", styles.get(step.change or "", ""))
    line.append(" (the largest step)" if is_worst else "", "bold red")
    line.append(f"  {step.tokenizer}, {step.created_at[:10]} by ", "")
    line.append_text(plain(step.created_by))
    line.append(f", against {step.parent}")
    console.print(line, soft_wrap=True)
    changes = list(_changes(step.params, step.thresholds, step.revisions))
    for words in changes or ["nothing that is recorded was changed"]:
        _indented(words)


def _changes(
    params: Mapping[str, tuple[Any, Any]],
    thresholds: Mapping[str, ThresholdChange] | None,
    revisions: Mapping[str, tuple[Any, Any]],
) -> Iterator[str]:
    """A line a change; bounds of the gate once, as bounds."""
    own = {key: pair for key, pair in params.items() if thresholds is None or not _is_bound(key)}
    both = [*own.items(), *revisions.items()]
    for key, (before, after) in both[:_MOST_CHANGES]:
        yield f"{key}: {_short(before)} -> {_short(after)}"
    if len(both) > _MOST_CHANGES:
        yield f"and {len(both) - _MOST_CHANGES} more; --json has all"
    for key, change in (thresholds or {}).items():
        word = " LOOSER" if change.direction == "looser" else ""
        yield f"gate.{key}: {change.before or '-'} -> {change.after or '-'}{word}"


def _is_bound(key: str) -> bool:
    return key == "gate" or key.startswith("gate.")


def _indented(words: str) -> None:
    console.print(Text("        ") + plain(words), soft_wrap=True)


def _short(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
