"""Stages that fail, hang or leave processes behind, and flows that are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.processes import Ended, Processes, Stopped
from flows.summary import BuildFailed
from small_graph import make_small_graph

# DVC uses a part of pygtrie that is going away.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")


def run_shell(
    processes: Processes,
    command: str,
    timeout: float = 60.0,
    on_line: Callable[[str], None] = lambda line: None,
) -> Ended:
    with processes.slot():
        return processes.run(["sh", "-c", command], Path("/"), os.environ, on_line, timeout)


def is_alive(pid: int) -> bool:
    """A zombie that nobody has waited for yet counts as dead."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still not so after {seconds} s"
        time.sleep(0.05)


def test_a_command_out_of_time_is_killed_with_all_it_started() -> None:
    with Processes(1) as processes:
        ended = run_shell(processes, "sleep 300 & echo $!; echo waiting; wait", timeout=1.0)
    assert ended.timed_out
    assert ended.lines[1] == "waiting"
    wait_until(lambda: not is_alive(int(ended.lines[0])), 10)


def test_a_process_left_in_the_background_neither_holds_the_flow_nor_survives() -> None:
    with Processes(1) as processes:
        ended = run_shell(processes, "sleep 300 & echo $!")
    assert (ended.code, ended.timed_out) == (0, False)
    assert ended.seconds < 30
    wait_until(lambda: not is_alive(int(ended.lines[0])), 10)


def test_a_command_that_ignores_sigterm_is_killed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.processes._GRACE_SECONDS", 0.3)
    with Processes(1) as processes:
        ended = run_shell(processes, "trap '' TERM; echo $$; while :; do sleep 1; done", 0.5)
    assert ended.timed_out
    assert ended.code == -signal.SIGKILL
    assert not is_alive(int(ended.lines[0]))


def test_leaving_the_flow_kills_what_runs_and_starts_nothing_more() -> None:
    pids: list[int] = []
    stopped: list[str] = []

    def work(name: str) -> None:
        try:
            run_shell(processes, "echo $$; sleep 300", on_line=lambda line: pids.append(int(line)))
        except Stopped:
            stopped.append(name)

    with Processes(1) as processes:
        threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
        for thread in threads:
            thread.start()
        wait_until(lambda: bool(pids))
    for thread in threads:
        thread.join(20)
    assert sorted(stopped) == ["one", "two"]
    assert len(pids) == 1
    assert not is_alive(pids[0])


def test_no_more_commands_run_at_a_time_than_the_limit(tmp_path: Path) -> None:
    """Each command asks how many hold a folder of their own; the shell's mkdir is atomic."""
    script = f"mkdir {tmp_path}/$$; ls {tmp_path} | wc -l; sleep 0.2; rmdir {tmp_path}/$$"
    seen: list[int] = []
    with Processes(2) as processes:
        threads = [
            threading.Thread(
                target=run_shell,
                args=(processes, script, 60.0, lambda line: seen.append(int(line))),
            )
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(seen) == 6
    assert max(seen) == 2


def test_a_progress_bar_is_one_line_and_bytes_that_are_no_text_do_no_harm() -> None:
    with Processes(1) as processes:
        ended = run_shell(processes, r"printf '10%%\r50%%\r100%%\r\nok \377\nlast'")
    assert ended.lines == ("100%", "ok �", "last")


@pytest.mark.slow
def test_a_failing_stage_fails_the_flow_and_spares_the_branches_beside_it(
    prefect_server: None, tmp_path: Path
) -> None:
    from flows.graph import build

    train = (
        "mkdir -p build/train/${item.name} && echo ${item.name} > build/train/${item.name}/name.txt"
        " && if [ ${item.name} = y ]; then echo level 0 has too few items; exit 3; fi"
    )
    root = make_small_graph(tmp_path / "workspace", ["x", "y"], train=train)
    with pytest.raises(BuildFailed) as caught:
        build(str(root), jobs=2, record=False, options={})
    summary = caught.value.summary
    assert [node.stage for node in summary.failed] == ["train@y"]
    assert summary.failed[0].exit_code == 3
    assert summary.not_run == ["evaluate@y", "report"]
    assert summary.count("Ran") == 4  # ingest, embed, train@x, evaluate@x
    message = str(caught.value)
    assert "stage train@y failed (exit code 3)" in message
    assert "  level 0 has too few items\n" in message
    assert "not run because of that: evaluate@y, report" in message
    assert not (root / "build/report").exists()


@pytest.mark.slow
def test_a_stage_out_of_time_is_killed_with_its_grandchildren(
    prefect_server: None, tmp_path: Path
) -> None:
    from flows.graph import build

    ingest = f"sh -c 'sleep 300 & echo $! > {tmp_path}/pid; wait'"
    root = make_small_graph(tmp_path / "workspace", ["x"], ingest=ingest)
    options = {"ingest": {"timeout_seconds": 20.0}}
    with pytest.raises(BuildFailed, match="stage ingest was killed: it was not done after"):
        build(str(root), record=False, options=options)
    wait_until(lambda: not is_alive(int((tmp_path / "pid").read_text())), 10)


@pytest.mark.slow
@pytest.mark.parametrize(("code", "attempts"), [(7, 2), (2, 1)])
def test_bad_input_is_not_tried_again_and_other_failures_are(
    prefect_server: None, tmp_path: Path, code: int, attempts: int
) -> None:
    from flows.graph import build

    ingest = f"echo attempt >> {tmp_path}/attempts; exit {code}"
    root = make_small_graph(tmp_path / "workspace", ["x"], ingest=ingest)
    options = {"ingest": {"retries": 1, "retry_delay_seconds": 0}}
    with pytest.raises(BuildFailed, match=f"exit code {code}"):
        build(str(root), record=False, options=options)
    assert (tmp_path / "attempts").read_text().count("attempt") == attempts


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_flow_leaves_no_stage_running(
    prefect_server: None, tmp_path: Path, number: signal.Signals
) -> None:
    from prefect.settings import PREFECT_API_URL

    ingest = f"echo $$ > {tmp_path}/pid; sleep 300"
    root = make_small_graph(tmp_path / "workspace", ["x"], ingest=ingest)
    flow = subprocess.Popen(
        [sys.executable, "-m", "flows.build", "--workspace", str(root), "--no-record"],
        env={**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until(lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()))
        flow.send_signal(number)
        assert flow.wait(60) != 0
    finally:
        flow.kill()
        flow.communicate()
    wait_until(lambda: not is_alive(int((tmp_path / "pid").read_text())), 10)


@pytest.mark.slow
def test_a_flow_without_a_server_and_its_command_line(tmp_path: Path) -> None:
    """No server is running and the home folder is empty: `python -m flows.build` still works."""
    root = make_small_graph(tmp_path / "workspace", ["x"])
    home = tmp_path / "home"
    environment = {name: value for name, value in os.environ.items() if "PREFECT" not in name}
    command = [sys.executable, "-m", "flows.build", "--workspace", str(root), "--no-record"]
    ended = subprocess.run(
        command,
        env={**environment, "HOME": str(home), "COLUMNS": "100", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split()[:3] == ["stage", "state", "seconds"]
    assert (root / "build/report/names.txt").read_text() == "x\n"
