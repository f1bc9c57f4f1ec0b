"""`train.processes: 2` through the command: what is written, what is said, and how it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

import worlds
from sidmint.artifacts import Artifacts
from sidmint.cli.processes import _exit_code
from sidmint.layout import Layout
from workspaces import environment

SETTINGS: dict[str, Any] = {
    "seed": 5,
    "train": {"tokenizers": ["small"], "device": "cpu", "processes": 2},
    "tokenizers": {
        "small": {
            "type": "rqp_vae",
            "sizes": [8, 8],
            "hidden": [16],
            "latent_dim": 4,
            "start_steps": 20,
            "steps": 20,
            "batch_size": 64,
            "precision": "float32",
        }
    },
}


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """A workspace after ingest and embed."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    here = Artifacts(Layout(tmp_path))
    vectors = worlds.smooth_items(300)
    names = [f"i{row:04d}" for row in range(len(vectors))]
    items = pl.DataFrame({"item_id": names, "title": names, "cold": [False] * len(names)})
    with here.writing("ingest") as out:
        out.table("items", items)
    with here.writing("embed") as out:
        out.array("embeddings", vectors.astype(np.float16))
    write_params(here)
    return here


def write_params(here: Artifacts, **train: Any) -> None:
    values = {**SETTINGS, "train": {**SETTINGS["train"], **train}}
    here.layout.params.write_text(yaml.safe_dump(values))


def start(here: Artifacts, *before: str, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", *before, "sidmint", "train", "--tokenizer", "small"]
    return subprocess.Popen(
        command,
        cwd=here.layout.root,
        env={**environment(here.layout.root), "OMP_NUM_THREADS": "1", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def train(here: Artifacts, *before: str, **variables: str) -> tuple[int, str, str]:
    with start(here, *before, **variables) as process:
        said, complained = process.communicate(timeout=300)
        return process.returncode, said, complained


def result(here: Artifacts) -> tuple[dict[str, bytes], np.ndarray]:
    folder = here.folder("train", "small")
    curve = here.table("train", "curve", "small")["value"].to_numpy()
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}, curve


@pytest.mark.slow
def test_two_processes_write_once_what_one_writes(artifacts: Artifacts) -> None:
    seen, said = [], []
    for processes in (1, 2, 2):
        write_params(artifacts, processes=processes)
        code, out, complained = train(artifacts)
        assert (code, complained) == (0, "")
        seen.append(result(artifacts))
        said.append(out)
    assert said[0] == said[1]
    assert out.count("fitted on 300 warm items") == 1
    assert seen[1][0] == seen[2][0]
    np.testing.assert_allclose(seen[1][1], seen[0][1], rtol=1e-3, atol=1e-5)
    assert not list(artifacts.layout.stage("train", "small").parent.glob(".*"))


@pytest.mark.slow
def test_torchrun_by_hand_gives_the_same(artifacts: Artifacts) -> None:
    assert train(artifacts)[0] == 0
    launched = result(artifacts)[0]
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
    code, out, complained = train(artifacts, *torchrun)
    assert code == 0, complained
    assert out.count("fitted on 300 warm items") == 1
    assert result(artifacts)[0] == launched


@pytest.mark.slow
def test_bad_input_is_said_once_and_leaves_with_2(artifacts: Artifacts) -> None:
    write_params(artifacts, device="cuda:x")
    code, out, complained = train(artifacts)
    assert code == 2, complained
    assert out == ""
    assert complained.startswith("error: ")
    assert complained.count("error: ") == 1
    assert "train.device is 'cuda:x'" in complained
    assert not artifacts.layout.stage("train", "small").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("whom", "code"), [("all", 143), ("second", 137)])
def test_killed_it_leaves_no_process_behind_and_writes_nothing(
    artifacts: Artifacts, whom: str, code: int
) -> None:
    endless = {**SETTINGS["tokenizers"]["small"], "start_steps": 10**6, "patience": 10**6}
    artifacts.layout.params.write_text(
        yaml.safe_dump({**SETTINGS, "tokenizers": {"small": endless}})
    )
    root = str(artifacts.layout.root)
    with start(artifacts, SIDMINT_TEST_MARK=root) as process:
        wait_until(lambda: len(fitting(root)) == 2)
        if whom == "all":
            process.terminate()
        else:
            os.kill(*marked(root, "RANK=1"), signal.SIGKILL)
        _, complained = process.communicate(timeout=100)
        assert process.returncode == code
    if whom == "second":
        assert "error: process 2 of 2 was killed by signal 9" in complained
    assert not marked(root)
    assert not artifacts.layout.stage("train", "small").exists()


def marked(root: str, variable: str = "") -> list[int]:
    """Processes of the test on the workspace `root` whose environment holds `variable`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            held = (folder / "environ").read_bytes().decode().split("\0")
        except OSError:  # it has ended, or is not ours
            continue
        if f"SIDMINT_TEST_MARK={root}" in held and (not variable or variable in held):
            found.append(int(folder.name))
    return found


def fitting(root: str) -> list[int]:
    """Those of them that have met the others: gloo has its sockets open."""
    found = []
    for pid in marked(root, "WORLD_SIZE=2"):
        try:
            links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        if any(link.startswith("socket:") for link in links):
            found.append(pid)
    return found


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([0, 0], 0),
        ([1, 2], 2),  # the first has lost the second, which was given bad input
        ([1, -9], 137),  # the second was killed, the first has lost it
        ([1, 0], 1),
        ([None, 1], 1),  # the first went on waiting, and was ended
    ],
)
def test_the_exit_code_is_that_of_the_cause(codes: list[int | None], code: int) -> None:
    assert _exit_code(codes) == code
