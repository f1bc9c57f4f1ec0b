"""What a build shows while it runs, on a terminal that is recorded and on none."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from flows.board import Lines, LiveTable, Silent, current_board, showing
from flows.summary import NodeResult
from sidmint.progress import TOLD_IN, Progress, on_terminal, read_progress

NODES = ("data/raw.dvc", "ingest", "train@x", "report")


class Table:
    """A live table with a clock that stands still, and what it looks like."""

    def __init__(self, folder: Path, height: int = 50) -> None:
        self.now = 1000.0
        self.live = LiveTable(folder, lambda: height, lambda: self.now)
        self.live.begins(NODES)

    def lines(self) -> list[str]:
        console = Console(file=io.StringIO(), width=120, record=True)
        console.print(self.live.draw())
        return [line.rstrip() for line in console.export_text().splitlines()]

    def row(self, node: str) -> list[str]:
        line = next(line for line in self.lines() if line.startswith(f"{node} "))
        return re.split(r"\s{2,}", line)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def tell(path: str, label: str, done: int, total: int | None, since: float, at: float) -> None:
    told = {"label": label, "done": done, "total": total, "since": since, "at": at}
    Path(path).write_text(json.dumps(told))


def test_a_row_goes_from_waiting_over_running_to_how_it_ended(table: Table) -> None:
    assert table.row("ingest") == ["ingest", "waiting"]
    table.live.started("ingest")
    table.now += 75
    assert table.row("ingest") == ["ingest", "running", "1:15"]
    table.live.ended(NodeResult("ingest", "Ran", 80.04))
    assert table.row("ingest") == ["ingest", "Ran", "80.0"]
    assert table.lines()[-1] == "1 of 4 stages, 1:15"


def test_rate_and_time_left_are_those_of_the_step_that_runs(table: Table) -> None:
    environment = table.live.started("train@x")
    table.now += 60
    # 300 of 1,200 steps in the 30 seconds since this step began: 900 are left, 90 seconds.
    tell(environment[TOLD_IN], "fitting", 300, 1200, table.now - 30, table.now)
    name, state, bar, label, rate, left, seconds = table.row("train@x")
    assert (name, state, label, rate, left, seconds) == (
        *("train@x", "running", "fitting"),
        *("10/s", "1:30", "1:00"),
    )
    assert set(bar) <= set("━╸╺ ")
    tell(environment[TOLD_IN], "reading", 42, None, table.now - 21, table.now)
    assert table.row("train@x")[2:] == ["42", "reading", "2/s", "1:00"]


def test_another_attempt_does_not_show_how_far_the_first_one_came(table: Table) -> None:
    environment = table.live.started("ingest")
    tell(environment[TOLD_IN], "reading", 9, 10, table.now, table.now)
    table.live.ended(NodeResult("ingest", "Failed", 1.0, "failed"))
    assert table.row("ingest")[1] == "Failed"
    table.live.started("ingest")
    assert table.row("ingest") == ["ingest", "running", "0:00"]


def test_labels_are_text_and_no_markup(table: Table) -> None:
    environment = table.live.started("ingest")
    tell(environment[TOLD_IN], "[red]a[/red]", 1, 2, table.now - 1, table.now)
    assert "[red]a[/red]" in table.row("ingest")


def test_on_a_low_terminal_what_runs_and_what_failed_stays(tmp_path: Path) -> None:
    table = Table(tmp_path, height=5)
    table.live.ended(NodeResult("ingest", "Failed", 1.0, "failed"))
    table.live.ended(NodeResult("data/raw.dvc", "Cached"))
    table.live.started("train@x")
    lines = table.lines()
    assert [line.split()[0] for line in lines[1:-1]] == ["ingest", "train@x"]
    assert lines[-1] == "2 of 4 stages, 2 not shown, 0:00"
    assert len(lines) < 5


def test_steps_pass_unchanged_and_are_told_while_they_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "told.json"
    monkeypatch.setenv(TOLD_IN, str(path))
    monkeypatch.setattr("sidmint.progress._SECONDS_BETWEEN", 0.0)
    seen, told = [], []
    for step in on_terminal([3, 1, 2], "counting"):
        seen.append(step)
        told.append(read_progress(path))
    assert seen == [3, 1, 2]
    assert [(p.label, p.done, p.total) for p in told if p] == [("counting", n, 3) for n in range(3)]
    assert not path.exists()
    for _ in on_terminal(iter("ab"), "letters", total=2):
        break  # training that ends early leaves nothing to wait for
    assert read_progress(path) is None


def test_a_file_that_is_none_of_ours_tells_nothing(tmp_path: Path) -> None:
    for text in ('{"label": "half', "[]", "{}", "3"):
        (tmp_path / "told.json").write_text(text)
        assert read_progress(tmp_path / "told.json") is None


def test_a_stage_goes_on_where_it_cannot_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOLD_IN, str(tmp_path / "no" / "such" / "folder.json"))
    assert list(on_terminal([1, 2], "counting")) == [1, 2]


def test_the_rate_is_that_of_the_last_word_and_the_time_left_runs_down() -> None:
    nothing = Progress("fitting", 0, 10, since=5.0, at=5.0)
    assert nothing.rate is nothing.seconds_left(7.0) is None
    progress = Progress("fitting", 4, 10, since=5.0, at=7.0)
    assert progress.rate == 2.0
    assert [progress.seconds_left(now) for now in (7.0, 8.0, 60.0)] == [3.0, 2.0, 0.0]


def test_without_a_terminal_there_is_a_line_a_stage() -> None:
    out = io.StringIO()
    with showing(Console(file=out, width=20)):
        board = current_board()
        assert isinstance(board, Lines)
        board.begins(NODES)
        assert board.started("ingest") == {}
        board.ended(NodeResult("ingest", "Ran", 12.34))
        board.ended(NodeResult("report", "Cached"))
    assert out.getvalue().splitlines() == [
        "stage         state     seconds",
        "ingest        Ran          12.3",
        "report        Cached",
    ]
    assert isinstance(current_board(), Silent)


def test_on_a_terminal_the_table_is_drawn_and_then_gone() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=30, _environ={})
    with showing(console):
        board = current_board()
        assert isinstance(board, LiveTable)
        board.begins(NODES)
        told_in = board.started("ingest")[TOLD_IN]
        assert Path(told_in).parent.is_dir()
        board.says("recording in MLflow")
    assert not Path(told_in).parent.exists()
    assert "recording in MLflow" in out.getvalue()
    assert out.getvalue().endswith("\x1b[2K")
