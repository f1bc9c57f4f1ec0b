"""A stage killed at any moment leaves its folder whole, or none: never a part of one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidmint.artifacts import Artifacts
from sidmint.layout import Layout
from stopping import stop_before

OLD = {"first.txt": "old", "second.txt": "old", "only_old.txt": "old"}
NEW = {"first.txt": "new", "second.txt": "new"}


def write(root: Path, files: dict[str, str]) -> None:
    with Artifacts(Layout(root)).writing("assign", "t") as out:
        for name, text in files.items():
            out.text(name, text)


def found(root: Path) -> dict[str, str] | None:
    folder = Layout(root).stage("assign", "t")
    if not folder.is_dir():
        return None
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def killed_before(root: Path, step: int) -> bool:
    """Whether there was a `step`-th call that changes the disk: the writer then died before it."""
    child = os.fork()
    if child == 0:
        stop_before(step, is_full=False)
        write(root, NEW)
        os._exit(0)
    return bool(os.WIFSIGNALED(os.waitpid(child, 0)[1]))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_stage_killed_before_any_call_leaves_all_of_its_folder_or_nothing(tmp_path: Path) -> None:
    states, step = [], 0
    while True:
        step += 1
        root = tmp_path / f"{step}"
        write(root, OLD)
        killed = killed_before(root, step)
        states.append(found(root))
        write(root, NEW)
        assert found(root) == NEW
        assert [path.name for path in Layout(root).stage("assign").iterdir()] == ["t"]
        if not killed:
            break
    assert all(state in (OLD, NEW, None) for state in states)
    assert states[0] == OLD
    assert states[-1] == NEW
    assert len(states) > 5
    assert states.count(None) <= 2  # between two renames there is no folder, and DVC runs it again


def fail_at_half(root: Path) -> None:
    with Artifacts(Layout(root)).writing("assign", "t") as out:
        out.text("first.txt", "half")
        raise ZeroDivisionError


def test_a_stage_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    write(tmp_path, OLD)
    with pytest.raises(ZeroDivisionError):
        fail_at_half(tmp_path)
    assert found(tmp_path) == OLD
