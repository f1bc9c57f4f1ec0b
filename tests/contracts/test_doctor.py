"""`sidmint doctor` names what is missing with its way out, and says what a run would use."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from sidmint.cli import app, workspace_checks
from sidmint.cli.workspace import VARIABLE
from sidmint.errors import Refused
from sidmint.result_versions import as_text, installed_versions
from sidmint.tokenizers.precision import matrix_products, resolve_precision
from workspaces import edit_params, make_workspace, tree_digests

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("fresh") / "w")


@pytest.fixture
def workspace(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    root = shutil.copytree(fresh, tmp_path / "w")
    monkeypatch.setenv(VARIABLE, str(root))
    return root


def findings(code: int = 0) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    if code:
        assert isinstance(result.exception, Refused)
        assert result.exception.exit_code == code
    else:
        assert result.exit_code == 0, result.exception
    return list(json.JSONDecoder().raw_decode(result.stdout)[0])


def named(name: str, code: int = 0) -> dict[str, Any]:
    return next(finding for finding in findings(code) if finding["name"] == name)


def test_a_new_workspace_lacks_nothing_and_is_left_alone(workspace: Path) -> None:
    before = _files(workspace)
    found = findings()
    assert {finding["state"] for finding in found} <= {"ok", "warning"}
    assert [f["name"] for f in found if f["name"] in ("dvc", "params", "MLflow", "device")] == [
        "device",
        "dvc",
        "params",
        "MLflow",
    ]
    assert _files(workspace) == before


def _files(root: Path) -> dict[str, str]:
    return {k: v for k, v in tree_digests(root).items() if not k.startswith(".dvc/tmp/")}


def test_it_says_which_device_and_why(workspace: Path) -> None:
    found = named("device")["found"]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    assert found.startswith(f"{device}, since train.device is auto")
    edit_params(workspace, **{"train.device": "cpu"})
    assert named("device")["found"] == "cpu, since train.device is cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="wants a machine without CUDA")
def test_a_device_that_is_not_there_is_missing(workspace: Path) -> None:
    edit_params(workspace, **{"train.device": "cuda"})
    finding = named("device", code=1)
    assert finding["state"] == "missing"
    assert "use auto or cpu" in finding["found"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_precision_that_it_names_is_the_one_that_is_used(
    workspace: Path, precision: str
) -> None:
    edit_params(workspace, **{"tokenizers.rq_vae.precision": precision})
    assert f"rq_vae trains in {precision} ({precision})" in named("precision")["found"]
    device = torch.device("cpu")
    asked: Any = precision
    rows = torch.ones(2, 2)
    with matrix_products(asked, device):
        assert (rows @ rows).dtype == getattr(torch, resolve_precision(asked, device))


def test_data_that_is_named_and_not_there_is_missing(workspace: Path) -> None:
    edit_params(
        workspace,
        **{"ingest.source": "table", "ingest.items": "data/raw/a.csv", "train.fit_on": "all"},
    )
    found = findings(code=1)
    params = next(finding for finding in found if finding["name"] == "params")
    assert params["state"] == "missing", "select_by wants events"
    edit_params(workspace, **{"gate.select_by": "relative_mse"})
    finding = named("data", code=1)
    assert finding["found"] == "ingest.items: data/raw/a.csv is not there"
    assert "dvc pull" in finding["way_out"]


def test_every_source_of_vectors_is_looked_at(workspace: Path) -> None:
    sources = {"text": {"encoder": "wordllama"}, "image": {"path": "data/raw/image.npy"}}
    edit_params(workspace, **{"embed.sources": sources})
    finding = named("data", code=1)
    assert finding["found"] == "embed.sources.image.path: data/raw/image.npy is not there"
    assert named("encoder", code=1)["found"] == "wordllama"


def test_a_setting_that_no_run_would_take_is_missing(workspace: Path) -> None:
    edit_params(workspace, **{"pairs.alhpa": 2.0})
    finding = named("params", code=1)
    assert "did you mean alpha" in finding["found"]


def test_results_of_another_sidmint_and_a_changed_graph_are_warnings(workspace: Path) -> None:
    older = as_text(installed_versions() | {"train": 0})
    (workspace / "result_versions.yaml").write_text(older, encoding="utf-8")
    graph = yaml.safe_load((workspace / "dvc.yaml").read_text())
    (workspace / "dvc.yaml").write_text(yaml.safe_dump(graph))
    assert "results of train" in named("results")["found"]
    assert named("results")["state"] == named("graph")["state"] == "warning"


def test_outside_of_a_workspace_the_machine_alone_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    finding = named("workspace")
    assert finding["state"] == "warning"
    assert "sidmint new" in finding["found"]


@pytest.fixture
def server() -> Iterator[str]:
    """Answers 401 to everything, as a server that wants a password does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


def test_servers_are_asked_and_passwords_not_shown(
    workspace: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://ana:secret@{server}/api")
    assert named("Prefect")["found"] == f"http://{server}/api/health answers (401 Unauthorized)"
    with socket.socket() as unused:  # bound, and nobody listens
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ana:secret@{address}")
        finding = named("MLflow", code=1)
    assert finding["state"] == "missing"
    assert f"http://{address}/health does not answer" in finding["found"]
    assert "secret" not in json.dumps(finding)


@pytest.mark.parametrize("address", ["http://localhost:abc/health", "http://local host/health"])
def test_an_address_that_cannot_be_one_is_a_finding(address: str) -> None:
    found = workspace_checks._server("MLflow", "MLFLOW_TRACKING_URI", address)
    assert found.state == "missing"
    assert "does not answer" in found.found
