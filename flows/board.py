"""What a build shows while it runs: one table that is drawn again and again, or a line a stage.

The flow tells `current_board()` what begins and ends. Stages run in processes of their own; each
tells how far it is in a file (`sidmint.progress`), which the board reads when it draws.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flows.summary import COLOURS, NodeResult
from sidmint.progress import TOLD_IN, Progress, read_progress

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_BAR_WIDTH, _STEP_WIDTH = 16, 20
_DRAWN_A_SECOND = 4
_AROUND_ROWS = 3
"""Lines of the table that are no rows: its head, what is said below, and the prompt."""


class Board(Protocol):
    """What is told of a build, from several threads."""

    def begins(self, nodes: Sequence[str]) -> None:
        """These nodes will end one by one."""
        ...

    def started(self, node: str) -> Mapping[str, str]:
        """`node` runs now; what its process wants in its environment to tell how far it is."""
        ...

    def ended(self, result: NodeResult) -> None:
        """A node has ended."""
        ...

    def says(self, what: str) -> None:
        """What goes on beside the nodes."""
        ...


class Silent:
    """Shows nothing: flows on a schedule, and `--verbose`, where Prefect's lines say it all."""

    def begins(self, nodes: Sequence[str]) -> None:
        """Nothing is shown."""

    def started(self, node: str) -> Mapping[str, str]:
        """Nobody reads how far it is."""
        return {}

    def ended(self, result: NodeResult) -> None:
        """Nothing is shown."""

    def says(self, what: str) -> None:
        """Nothing is shown."""


_current: Board = Silent()


def current_board() -> Board:
    """The board of this process."""
    return _current


@contextmanager
def showing(console: Console) -> Iterator[None]:
    """Inside, builds are shown on `console`: live on a terminal, else a line a stage."""
    global _current
    with tempfile.TemporaryDirectory(prefix="sidmint-") as folder:
        before = _current
        try:
            if not console.is_terminal:
                _current = Lines(console)
                yield
                return
            _current = board = LiveTable(Path(folder), lambda: console.height)
            with board.drawn_on(console):
                yield
        finally:
            _current = before


class Lines:
    """One line for each stage that ends: for logs and scripts."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = 0
        self._lock = threading.Lock()

    def begins(self, nodes: Sequence[str]) -> None:
        """The head of the lines."""
        self._width = max(map(len, (*nodes, "stage")))
        self._line("stage", "state", "seconds")

    def started(self, node: str) -> Mapping[str, str]:
        """A line is printed when it ends."""
        return {}

    def ended(self, result: NodeResult) -> None:
        """Its line."""
        self._line(result.stage, result.state, f"{result.seconds:.1f}" if result.seconds else "")

    def says(self, what: str) -> None:
        """Nothing: a line is a stage."""

    def _line(self, stage: str, state: str, seconds: str) -> None:
        line = f"{stage:{self._width}s}  {state:8s}  {seconds:>7s}"
        with self._lock:
            self._console.print(line.rstrip(), markup=False, soft_wrap=True)


@dataclass(frozen=True)
class Row:
    """A node as the table shows it. `state`: "waiting", "running", or a `NodeResult`'s."""

    node: str
    state: str = "waiting"
    since: float = 0.0
    """When it began, in seconds of the table's clock."""
    seconds: float = 0.0
    """How long it took, once it has ended."""


class LiveTable:
    """Every node with its state; of those that run, how far they are, how fast, and what is left.

    `folder`: where processes tell how far they are. `height()`: lines of the terminal.
    """

    def __init__(
        self, folder: Path, height: Callable[[], int], clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._height = height
        self._clock = clock
        self._began = clock()
        self._said = "starting Prefect"
        self._lock = threading.Lock()
        self._rows: dict[str, Row] = {}
        self._files: dict[str, Path] = {}

    def begins(self, nodes: Sequence[str]) -> None:
        """Every node waits."""
        with self._lock:
            self._rows = {node: Row(node) for node in nodes}
            self._files = {node: self._folder / f"{n}.json" for n, node in enumerate(nodes)}
            self._said = ""

    def started(self, node: str) -> Mapping[str, str]:
        """The node's row runs; its process tells how far it is in a file of its own."""
        with self._lock:
            self._rows[node] = Row(node, "running", self._clock())
            self._files[node].unlink(missing_ok=True)  # of an earlier attempt
            return {TOLD_IN: str(self._files[node])}

    def ended(self, result: NodeResult) -> None:
        """The node's row has the state in which it ended."""
        with self._lock:
            row = self._rows[result.stage]
            self._rows[result.stage] = replace(row, state=result.state, seconds=result.seconds)

    def says(self, what: str) -> None:
        """Below the table."""
        with self._lock:
            self._said = what

    @contextmanager
    def drawn_on(self, console: Console) -> Iterator[None]:
        """Inside, the table is drawn again a few times a second; afterwards it is gone."""
        from rich.live import Live

        with Live(
            console=console,
            get_renderable=self.draw,
            refresh_per_second=_DRAWN_A_SECOND,
            transient=True,
        ):
            yield

    def draw(self) -> RenderableType:
        """The table as things stand, no higher than the terminal."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            rows, said, now = list(self._rows.values()), self._said, self._clock()
        fitting = _fitting(rows, max(1, self._height() - _AROUND_ROWS))
        table = Table("stage", "state", box=None, header_style="bold", padding=(0, 2, 0, 0))
        # As wide as they will be: columns that come and go make the table jump.
        table.add_column("", no_wrap=True, min_width=_BAR_WIDTH)
        table.add_column("step", no_wrap=True, min_width=_STEP_WIDTH)
        for name in ("rate", "left", "seconds"):
            table.add_column(name, justify="right", no_wrap=True, min_width=len("seconds"))
        for row in fitting:
            table.add_row(*self._cells(row, now))
        below = Text(_below(rows, len(fitting), said, now - self._began), "dim")
        return Group(table, below) if rows else below

    def _cells(self, row: Row, now: float) -> tuple[RenderableType, ...]:
        from rich.text import Text

        name = Text(row.node)
        if row.state == "running":
            told = read_progress(self._files[row.node])
            elapsed = _duration(now - row.since)
            return (name, Text("running", "bold"), *_progress_cells(told, now), elapsed)
        state = Text(row.state, COLOURS.get(row.state, "dim" if _waits(row) else "bold red"))
        return (name, state, "", "", "", "", f"{row.seconds:.1f}" if row.seconds else "")


def _progress_cells(told: Progress | None, now: float) -> tuple[RenderableType, ...]:
    """Bar, step, rate and time left, as far as they are known."""
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    if told is None:
        return "", "", "", ""
    bar: RenderableType = f"{told.done}"
    if told.total is not None:
        bar = ProgressBar(total=told.total, completed=told.done, width=_BAR_WIDTH)
    rate, left = told.rate, told.seconds_left(now)
    return (
        bar,
        Text(told.label, overflow="ellipsis"),
        "" if rate is None else f"{_short(rate)}/s",
        "" if left is None else _duration(left),
    )


def _fitting(rows: Sequence[Row], most: int) -> list[Row]:
    """At most `most` rows in their order: what runs or failed, then what is next and ended last."""
    waiting = [n for n, row in enumerate(rows) if _waits(row)]
    ended = [n for n, row in enumerate(rows) if row.state in COLOURS]
    urgent = sorted(set(range(len(rows))).difference(waiting, ended))
    others = chain.from_iterable(zip_longest(waiting, reversed(ended)))
    kept = [*urgent, *(n for n in others if n is not None)][:most]
    return [rows[n] for n in sorted(kept)]


def _below(rows: Sequence[Row], num_shown: int, said: str, elapsed: float) -> str:
    done = sum(not _waits(row) and row.state != "running" for row in rows)
    parts = [f"{done} of {len(rows)} stages"] if rows else []
    parts += [f"{len(rows) - num_shown} not shown"] if num_shown < len(rows) else []
    return ", ".join([*parts, *([said] if said else []), _duration(elapsed)])


def _waits(row: Row) -> bool:
    return row.state == "waiting"


def _duration(seconds: float) -> str:
    """0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _short(rate: float) -> str:
    """12.3k, 431, 4.31 or 0.04."""
    if rate >= 1000:
        return f"{rate / 1000:.3g}k"
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"
