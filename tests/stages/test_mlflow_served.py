"""The champion in MLflow answers like `sidmint.load`, to texts, vectors and item ids."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import yaml

import sidmint
from recorded_world import MLFLOW_S_OWN, client_of
from releases import Built
from served_world import ITEM_IDS, TITLES, served_world
from sidmint.adapters.mlflow_files import read_files, write_files
from sidmint.adapters.mlflow_runs import register_version, set_champion, tracking_uri
from sidmint.errors import BadInput
from sidmint.execution.shards import Shards
from sidmint.execution.splitting import split
from sidmint.publishing.serving import PublishedTable

pytestmark = MLFLOW_S_OWN
TEXTS = [f"{title}." for title in TITLES]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, migrated_mlflow_database: Path) -> Built:
    built = served_world(tmp_path_factory.mktemp("served") / "w")
    built.layout.local.mkdir(exist_ok=True)
    shutil.copyfile(migrated_mlflow_database, built.layout.mlflow_database)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        register_version(built.layout, "shop", built.store.release().folder)
        set_champion(built.layout, "shop", "v0001")
    return built


@pytest.fixture(scope="module")
def uri(built: Built) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return tracking_uri(built.layout)


@pytest.fixture(scope="module")
def stored(built: Built) -> Path:
    """The folder in which MLflow keeps the model."""
    version = client_of(built).get_model_version_by_alias("shop", "champion")
    return Path(version.source.removeprefix("file://"))


@pytest.fixture(scope="module")
def model(built: Built, uri: str) -> Iterator[Any]:
    import mlflow

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setattr(sys, "path", list(sys.path))
        yield mlflow.pyfunc.load_model("models:/shop@champion")


@pytest.fixture(scope="module")
def table(built: Built) -> PublishedTable:
    return sidmint.load(built.root / "registry")


def ask(model: Any, **columns: Any) -> list[tuple[Any, Any]]:
    answer = model.predict(pd.DataFrame(columns))
    assert list(answer.columns) == ["semantic_id", "codes"]
    return list(answer.itertuples(index=False, name=None))


def in_parts(built: Built, folder: Path) -> Path:
    """The files of a model whose table is in parts of three items."""
    release = built.store.release().folder
    rows = pl.read_parquet(release / "sids.parquet")
    parts = split(rows, folder / "sids", "item_id", "x", 3).folder
    (folder / "files").mkdir()
    write_files(folder / "files", parts, release / "tokenizer", None)
    return folder / "files"


def test_a_table_in_parts_is_carried_and_answers_alike(built: Built, tmp_path: Path) -> None:
    asked = [ITEM_IDS[5], "nowhere", ITEM_IDS[0], ITEM_IDS[5]]
    (tmp_path / "one").mkdir()
    release = built.store.release().folder
    write_files(tmp_path / "one", release / "sids.parquet", release / "tokenizer", None)
    whole = read_files(tmp_path / "one")
    parted = read_files(in_parts(built, tmp_path))
    assert isinstance(parted.table, Shards)
    assert parted.published(asked).equals(whole.published(asked))
    assert whole.published(asked)["semantic_id"].is_null().to_list() == [False, True, False, False]


def test_a_part_that_was_changed_is_named_when_the_model_is_read(
    built: Built, tmp_path: Path
) -> None:
    part = in_parts(built, tmp_path) / "sids" / "part-00001.parquet"
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 1
    part.write_bytes(data)
    with pytest.raises(BadInput, match=r"part-00001\.parquet holds other bytes"):
        read_files(tmp_path / "files")


def test_texts_get_what_the_loaded_table_says(model: Any, table: PublishedTable) -> None:
    texts = [*TEXTS, "a wooden chair"]
    found = table.encode(texts)
    wanted = list(zip(found.semantic_ids, found.codes.tolist(), strict=True))
    assert ask(model, text=texts) == wanted


def test_vectors_get_the_codes_of_assign(model: Any, built: Built) -> None:
    vectors = np.asarray(built.artifacts.array("embed", "embeddings"))
    codes = built.artifacts.codes("codes", "one").tolist()
    for rows in (vectors.tolist(), list(vectors.astype(np.float32)), list(vectors.astype(float))):
        assert [each for _, each in ask(model, vector=rows)] == codes


def test_items_get_their_published_ids_and_unknown_ones_null(
    model: Any, table: PublishedTable
) -> None:
    asked = [ITEM_IDS[3], "nowhere", ITEM_IDS[0]]
    (third, nowhere, first) = ask(model, item_id=asked)
    assert third == (table.semantic_id(ITEM_IDS[3]), table.parts[3, :2].tolist())
    assert first == (table.semantic_id(ITEM_IDS[0]), table.parts[0, :2].tolist())
    assert nowhere == (None, None)


def test_the_input_example_is_answered_and_the_signature_names_the_columns(
    model: Any, stored: Path
) -> None:
    example = json.loads((stored / "input_example.json").read_text())
    frame = pd.DataFrame(example["data"], columns=example["columns"])
    assert len(model.predict(frame)) == len(frame) > 0
    names = [column.name for column in model.metadata.signature.inputs]
    assert names == ["text", "vector", "item_id"]
    assert not any(column.required for column in model.metadata.signature.inputs)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"text": ["desk", " "]}, "text 2 of 2 wants words"),
        ({"text": ["desk"], "item_id": ["item-00"]}, "one column of text, vector, item_id"),
        ({"vector": [[1.0, 2.0]]}, "256 dimensions"),
    ],
)
def test_what_cannot_be_answered_is_a_callers_error(model: Any, asked: Any, said: str) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=said) as caught:
        model.predict(pd.DataFrame(asked))
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_the_model_is_code_and_data_and_nothing_is_pickled(stored: Path) -> None:
    # A model that was loaded before this test has Python's own caches beside its code.
    files = [
        path for path in stored.rglob("*") if path.is_file() and path.parent.name != "__pycache__"
    ]
    assert {".safetensors", ".parquet", ".py"} <= {path.suffix for path in files}
    foreign = {".pkl", ".pickle", ".pt", ".joblib", ".bin", ".npy", ".pyc"}
    assert [path for path in files if path.suffix in foreign] == []
    binary = [path for path in files if path.suffix != ".safetensors"]
    assert [path for path in binary if path.read_bytes()[:1] == b"\x80"] == []  # how pickles begin
    (flavor,) = yaml.safe_load((stored / "MLmodel").read_text())["flavors"].values()
    assert flavor["loader_module"] == "mlflow.pyfunc.loaders.code_model"
    assert "python_model" not in flavor


@pytest.mark.slow
def test_the_model_runs_the_code_that_it_carries(stored: Path, tmp_path: Path) -> None:
    """In a process that knows no sidmint but the model's own."""
    code = (
        "import sys, mlflow, pandas as pd\n"
        "sys.path = [p for p in sys.path if not (__import__('os').path.isdir(p + '/sidmint'))]\n"
        f"model = mlflow.pyfunc.load_model({str(stored)!r})\n"
        "import sidmint\n"
        "found = model.predict(pd.DataFrame({'text': ['red oak desk.']}))\n"
        "print(sidmint.__file__)\n"
        "print(found['semantic_id'][0])\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    file, semantic_id = ended.stdout.split()[-2:]
    assert Path(file) == stored / "code" / "sidmint" / "__init__.py"
    assert semantic_id.count("-") == 1


@pytest.mark.parametrize(
    "name", ["sids.parquet", "tokenizer/tokenizer.safetensors", "tokenizer/tokenizer.json"]
)
def test_a_changed_byte_stops_the_model_from_loading(
    stored: Path, tmp_path: Path, name: str
) -> None:
    import mlflow

    copy = Path(shutil.copytree(stored, tmp_path / "model"))
    (path,) = copy.rglob(Path(name).name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        # The model's own sidmint or ours: the class is found by its name.
        with pytest.raises(Exception, match=r"is not what was written: its sha256") as caught:
            mlflow.pyfunc.load_model(str(copy))
    assert type(caught.value).__name__ in ("BadInput", "MlflowException")


@pytest.mark.slow
def test_the_server_answers_over_http(built: Built, uri: str, table: PublishedTable) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/shop@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": uri,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    log = built.root / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        texts = ["red oak desk.", "blue kettle.", "a wooden chair"]
        answer = post_when_ready(
            port, {"dataframe_records": [{"text": text} for text in texts]}, server
        )
        found = table.encode(texts)
        assert [row["semantic_id"] for row in answer["predictions"]] == found.semantic_ids
        assert [row["codes"] for row in answer["predictions"]] == found.codes.tolist()
        vectors = np.asarray(built.artifacts.array("embed", "embeddings"))[:2].tolist()
        body = {"dataframe_split": {"columns": ["vector"], "data": [[each] for each in vectors]}}
        answer = post_when_ready(port, body, server)
        codes = built.artifacts.codes("codes", "one")[:2].tolist()
        assert [row["codes"] for row in answer["predictions"]] == codes
        with pytest.raises(urllib.error.HTTPError) as caught:
            post_when_ready(port, {"dataframe_records": [{"text": " "}]}, server)
        assert caught.value.code == 400
        assert "text 1 of 1 wants words" in caught.value.read().decode()
    except BaseException:
        print(log.read_text()[-4000:])
        raise
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def post_when_ready(port: int, body: Any, server: subprocess.Popen[bytes]) -> Any:
    """The answer of /invocations, asked for until the server listens; it has three minutes."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    deadline = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 (loopback)
                return json.loads(answer.read())
        except urllib.error.HTTPError:
            raise  # it listens, and answers no
        except (ConnectionError, urllib.error.URLError):
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.5)
