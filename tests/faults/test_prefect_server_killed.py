"""Prefect's server dies while a flow runs: what had ended is kept, and the next run goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from small_graph import make_small_graph

pytestmark = pytest.mark.slow


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still not so after {seconds} s"
        time.sleep(0.2)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server of its own in a process group of its own, and its address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api"
    home = tmp_path / "prefect"
    home.mkdir()
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        env={**os.environ, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_for(answers, 180)
        yield process, address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def start_flow(root: Path, home: Path, address: str | None) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if "PREFECT" not in name}
    environment |= {"PREFECT_HOME": str(home), "COLUMNS": "100", "NO_COLOR": "1"}
    if address:
        environment["PREFECT_API_URL"] = address
    return subprocess.Popen(
        [sys.executable, "-m", "flows.build", "--workspace", str(root), "--no-record"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_had_ended_is_kept_and_the_next_run_goes_on(
    server: tuple[subprocess.Popen[bytes], str], tmp_path: Path
) -> None:
    process, address = server
    ran, embedding = tmp_path / "ingest.txt", tmp_path / "embedding"
    ingest = f"echo once >> {ran}; mkdir -p build/ingest; echo a > build/ingest/all.txt"
    embed = f"touch {embedding}; sleep 3; mkdir -p build/embed; echo 1 > build/embed/size.txt"
    root = make_small_graph(tmp_path / "workspace", ["x"], ingest=ingest, embed=embed)
    flow = start_flow(root, tmp_path / "home", address)
    try:
        wait_for(embedding.exists, 240)
        os.killpg(process.pid, signal.SIGKILL)
        _, told = flow.communicate(timeout=400)
    finally:
        flow.kill()
    assert flow.returncode == 2
    # Prefect says on stderr what it could not log, without ending its last line.
    _, found, rest = told.partition("error: Prefect's server no longer answers")
    assert found, told
    assert rest.splitlines()[0].endswith("run once more")

    again = start_flow(root, tmp_path / "home", None)
    told, _ = again.communicate(timeout=400)
    assert again.returncode == 0, told
    assert (root / "build/report/names.txt").read_text() == "x\n"
    assert ran.read_text() == "once\n"
