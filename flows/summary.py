"""What a build did, node by node: made by the flow, shown by whoever started it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sidmint.errors import BadInput, Refused

if TYPE_CHECKING:
    from rich.table import Table

DONE = ("Ran", "Restored", "Cached")
"""States of a node that is up to date now; the others are Failed, TimedOut, Stopped, "Not run"."""

COLOURS = {"Ran": "green", "Restored": "cyan", "Cached": "dim", "Not run": "yellow"}


@dataclass(frozen=True)
class NodeResult:
    """One node: its state (see `DONE`), the wall seconds it took, and why it failed."""

    stage: str
    state: str
    seconds: float = 0.0
    problem: str = ""
    last_lines: tuple[str, ...] = ()
    """What it printed last, where it failed."""
    exit_code: int | None = None
    """Of the stage's own command, where it failed and DVC named it."""

    @property
    def is_done(self) -> bool:
        """Whether the node is up to date now."""
        return self.state in DONE


@dataclass(frozen=True)
class BuildSummary:
    """Every node of a build in running order, and where MLflow has it ("" if not recorded)."""

    nodes: tuple[NodeResult, ...]
    recorded_run: str = ""

    @property
    def failed(self) -> list[NodeResult]:
        """Nodes that were tried and did not end well."""
        return [node for node in self.nodes if node.problem]

    @property
    def not_run(self) -> list[str]:
        """Nodes left alone because one before them failed."""
        return [node.stage for node in self.nodes if not node.is_done and not node.problem]

    def count(self, state: str) -> int:
        """How many nodes ended in `state`."""
        return sum(node.state == state for node in self.nodes)

    def as_rows(self) -> list[dict[str, Any]]:
        """One row a node with stage, state, seconds, for the table artifact of the flow."""
        return [
            {"stage": node.stage, "state": node.state, "seconds": round(node.seconds, 1)}
            for node in self.nodes
        ]

    def as_json(self) -> dict[str, Any]:
        """The whole summary as plain values."""
        return {
            "ok": not self.failed,
            "recorded_run": self.recorded_run,
            "stages": [asdict(node) for node in self.nodes],
        }


class BuildFailed(Refused):
    """At least one node failed. The message names it and shows the end of its output.

    The exit code is 2 where every failed stage left with 2, bad input, and 1 otherwise.
    """

    def __init__(self, summary: BuildSummary) -> None:
        self.summary = summary
        if all(node.exit_code == BadInput.exit_code for node in summary.failed):
            self.exit_code = BadInput.exit_code
        lines = []
        for node in summary.failed:
            lines.append(f"stage {node.stage} {node.problem}")
            lines += [f"  {line}" for line in node.last_lines]
        if summary.not_run:
            lines.append(f"not run because of that: {', '.join(summary.not_run)}")
        super().__init__("\n".join(lines))


def up_to_date(nodes: Sequence[str]) -> BuildSummary:
    """The summary of a build that had nothing to do."""
    return BuildSummary(tuple(NodeResult(node, "Cached") for node in nodes))


def as_table(summary: BuildSummary) -> Table:
    """The summary for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table("stage", "state", box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("seconds", justify="right")
    for node in summary.nodes:
        seconds = f"{node.seconds:.1f}" if node.seconds else ""
        style = COLOURS.get(node.state, "bold red")
        table.add_row(Text(node.stage), Text(node.state, style=style), seconds)
    return table
