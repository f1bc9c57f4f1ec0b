"""Vectors that are kept: killed, damaged, raced or wrong, they never change what comes out."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from embed_world import catalogue, embed_params
from sidmint import kept_vectors
from sidmint.embedding import encode_texts
from sidmint.errors import BadInput, StorageFailed
from sidmint.kept_vectors import KeptVectors
from sidmint.layout import Layout
from sidmint.stages import embed as stage
from sidmint.text_vectors import TextVectors
from stopping import stop_before
from text_encoders import DeviceEncoder, DigestEncoder, DyingEncoder, alike, vector_of

KILLER = Path(__file__).with_name("embed_killer.py")
NUM = 40
IDENTITY = {"encoder": "digest", "files": "digest"}


def start(*arguments: object) -> subprocess.Popen[bytes]:
    folders = os.pathsep.join([str(KILLER.parents[1]), *sys.path])
    command = [sys.executable, str(KILLER), *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": folders})


def run(root: Path, encoder: DigestEncoder, num: int = NUM) -> tuple[np.ndarray, TextVectors]:
    encode = TextVectors(Layout(root), batch_size=4)
    return encode(encoder, alike(num)), encode


def right(num: int = NUM) -> np.ndarray:
    return np.stack([vector_of(text) for text in alike(num)])


def parts(root: Path) -> list[Path]:
    return sorted(Layout(root).vectors.glob("*/*.safetensors"))


def test_killed_at_60_percent_the_next_run_encodes_the_rest_alone(tmp_path):
    assert start(tmp_path, NUM, alike(NUM)[24]).wait(60) == -signal.SIGKILL
    encoder = DigestEncoder()
    vectors, encode = run(tmp_path, encoder)
    assert encoder.batched == alike(NUM)[24:]
    assert encode.told == "40 texts, 24 known, 16 encoded"
    np.testing.assert_array_equal(vectors, right())


def write(folder: Path) -> None:
    store = KeptVectors(folder, IDENTITY)
    store.keep(alike(3), right(3))
    store.flush()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_before_any_call_a_part_is_there_whole_or_not_at_all(tmp_path):
    found, step, killed = [], 0, True
    while killed:
        step += 1
        folder = tmp_path / str(step)
        child = os.fork()
        if child == 0:
            stop_before(step, is_full=False)
            write(folder)
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        store = KeptVectors(folder, IDENTITY)
        rows, vectors = store.find(alike(3))
        assert not store.problems
        np.testing.assert_array_equal(vectors, right(3)[rows].reshape(vectors.shape))
        found.append(len(rows))
    assert found[0] == 0
    assert found[-1] == 3
    assert set(found) == {0, 3}
    assert step > 4


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize("damage", [flipped, lambda content: content[:-7], lambda _: b""])
def test_a_damaged_part_is_named_and_its_vectors_are_made_again(tmp_path, damage):
    run(tmp_path, DigestEncoder())
    (part,) = parts(tmp_path)
    part.write_bytes(damage(part.read_bytes()))
    encoder = DigestEncoder()
    vectors, encode = run(tmp_path, encoder)
    assert encoder.batched == alike(NUM)
    assert f"warning: {part} was damaged" in encode.told
    np.testing.assert_array_equal(vectors, right())
    assert run(tmp_path, DigestEncoder())[1].told == "40 texts, 40 known, 0 encoded"


@pytest.mark.parametrize("wrong", [-right(), right()[:, :7]])
def test_vectors_that_the_encoder_does_not_give_are_named_and_not_believed(tmp_path, wrong):
    folder = kept_vectors.folder_of(Layout(tmp_path).vectors, IDENTITY)
    store = KeptVectors(folder, IDENTITY)
    store.keep(alike(NUM), wrong)
    store.flush()
    vectors, encode = run(tmp_path, DigestEncoder())
    np.testing.assert_array_equal(vectors, right())
    assert encode.num_known == 0
    assert f"another vector than is kept; vectors in {folder} were thrown away" in encode.told
    assert run(tmp_path, DigestEncoder())[1].told == "40 texts, 40 known, 0 encoded"


def test_two_processes_at_once_leave_a_store_that_is_right(tmp_path):
    both = [start(tmp_path, NUM), start(tmp_path, NUM)]
    assert [process.wait(60) for process in both] == [0, 0]
    vectors, encode = run(tmp_path, DigestEncoder())
    assert encode.told == "40 texts, 40 known, 0 encoded"
    np.testing.assert_array_equal(vectors, right())


def test_an_encoder_that_mixes_rows_up_leaves_nothing_behind(tmp_path):
    encoder = DigestEncoder()
    encoder.encode = lambda batch: np.stack([vector_of(text) for text in batch[::-1]])
    with pytest.raises(BadInput, match="another vector alone than in a batch"):
        run(tmp_path, encoder)
    assert parts(tmp_path) == []


def test_a_vector_that_is_not_finite_is_not_kept(tmp_path):
    encoder = DigestEncoder()
    encoder.encode = lambda batch: np.stack(
        [vector_of(text) * (np.nan if text == alike(NUM)[7] else 1) for text in batch]
    )
    run(tmp_path, encoder)
    vectors, encode = run(tmp_path, DigestEncoder())
    assert encode.num_known == NUM - 1
    np.testing.assert_array_equal(vectors, right())


def test_a_full_disk_says_so_and_the_next_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_vectors, "SECONDS_BETWEEN_PARTS", 0.0)
    put, calls = kept_vectors._put, []

    def fill(path, content):
        calls.append(path)
        if len(calls) > 6:  # a part and its identity each time: three parts have room
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put(path, content)

    monkeypatch.setattr(kept_vectors, "_put", fill)
    with pytest.raises(StorageFailed, match=r"No space left on device.*goes on from those"):
        run(tmp_path, DigestEncoder())
    monkeypatch.setattr(kept_vectors, "_put", put)
    assert run(tmp_path, DigestEncoder())[1].num_known == 12


def test_a_worker_that_dies_is_told_and_what_was_made_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_vectors, "SECONDS_BETWEEN_PARTS", 0.0)
    encode = TextVectors(Layout(tmp_path), batch_size=4, workers=2)
    with pytest.raises(BadInput, match=r"one of 2 processes .* died; .* lower embed\.workers"):
        encode(DyingEncoder(last=alike(NUM)[-1]), alike(NUM))
    vectors, encode = run(tmp_path, DigestEncoder())
    assert encode.num_known > 0
    np.testing.assert_array_equal(vectors, right())


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_workers_end_with_a_command_that_is_killed(tmp_path):
    told_in = tmp_path / "worker"
    command = start(tmp_path, NUM, "sleeping", told_in)
    deadline = time.monotonic() + 60
    while not told_in.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    worker = int(told_in.read_text())
    assert is_running(worker)
    command.kill()
    command.wait()
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker)


def test_several_workers_want_a_processor():
    with pytest.raises(BadInput, match=r"runs on cuda.* set embed\.workers to 1"):
        encode_texts(DeviceEncoder(), alike(4), workers=2)


@pytest.mark.parametrize(
    "settings",
    [
        {"encoder": "precomputed", "path": "data/raw/v.npy"},
        {"sources": {"image": {"path": "data/raw/v.npy"}}},
    ],
)
def test_workers_without_texts_are_refused(settings):
    embed_params(**settings)
    with pytest.raises(BadInput, match="workers is 2, and they encode texts"):
        embed_params(**settings, workers=2)


def test_a_stage_that_is_refused_after_encoding_keeps_its_vectors(tmp_path, monkeypatch):
    artifacts = catalogue(tmp_path)
    monkeypatch.setattr(stage, "load_encoder", lambda *_: DigestEncoder())
    monkeypatch.setattr(stage, "build_index", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stage.embed(embed_params(), artifacts)
    monkeypatch.undo()
    monkeypatch.setattr(stage, "load_encoder", lambda *_: DigestEncoder())
    assert "4 texts, 4 known, 0 encoded" in stage.embed(embed_params(), artifacts).headline
