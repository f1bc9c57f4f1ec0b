"""Whether a workspace could run: its settings, its files, and what it connects to."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sidmint.cli.findings import Finding, check
from sidmint.cli.workspace import Workspace

if TYPE_CHECKING:
    from sidmint.layout import Layout
    from sidmint.params import Params

_TIMEOUT_SECONDS = 5.0
_ENCODER_PACKAGES = {"wordllama": "wordllama", "sentence_transformer": "sentence_transformers"}


def workspace_findings(here: Workspace) -> Iterator[Finding]:
    """The graph, the settings, the data, the registry, MLflow and Prefect."""
    yield check("dvc", lambda: _dvc(here.layout))
    yield _graph(here.layout)
    yield _result_versions(here.layout)
    settings = check("params", lambda: _settings(here))
    yield settings
    if settings.state == "ok":
        yield from _data(here.layout, here.params)
        yield from _encoders(here.params)
        yield check("registry", lambda: _registry(here))
    yield _mlflow(here.layout)
    yield _prefect()


def _dvc(layout: Layout) -> str:
    from sidmint.adapters.dvc_repo import default_remote

    remote = default_remote(layout.root)
    return f"{layout.root} is under DVC, " + (
        f"remote {remote}" if remote else "without a default remote: data stays on this disk"
    )


def _graph(layout: Layout) -> Finding:
    from sidmint.templates import workspace_files

    same = (layout.root / "dvc.yaml").read_text(encoding="utf-8") == workspace_files()["dvc.yaml"]
    if same:
        return Finding("graph", "ok", "dvc.yaml is that of the installed sidmint")
    return Finding(
        "graph",
        "warning",
        "dvc.yaml is not that of the installed sidmint",
        "where you have not changed it yourself, copy the one that `sidmint new` writes",
    )


def _result_versions(layout: Layout) -> Finding:
    from sidmint.result_versions import differing_versions

    differing = differing_versions(layout)
    if not differing:
        return Finding("results", "ok", f"{layout.result_versions.name} is level")
    return Finding(
        "results",
        "warning",
        f"the installed sidmint makes other results of {', '.join(differing)}",
        f"`sidmint run` brings {layout.result_versions.name} level and runs those stages",
    )


def _settings(here: Workspace) -> str:
    from sidmint.stages.ingest import check_without_log
    from sidmint.stages.recommend import check_recommender
    from sidmint.stages.train import check_settings

    check_without_log(here.params)
    check_settings(here.params)
    check_recommender(here.params)
    return f"{here.layout.params.name} holds for {', '.join(here.params.train.tokenizers)}"


def _data(layout: Layout, params: Params) -> Iterator[Finding]:
    """Every file that the parameters name."""
    sources = params.embed.sources or {}
    named = {
        "ingest.items": params.ingest.items,
        "ingest.interactions": params.ingest.interactions,
        "embed.path": params.embed.path,
        "embed.collaborative": params.embed.collaborative,
        **{f"embed.sources.{name}.path": each.path for name, each in sources.items()},
    }
    given = {key: path for key, path in named.items() if path is not None}
    if not given:
        yield Finding("data", "ok", "the built-in catalogue")
    for key, path in given.items():
        if layout.inside(path).exists():
            yield Finding("data", "ok", f"{key}: {path}")
        else:
            way_out = "`dvc pull` brings it from a remote, `sidmint init` from your own files"
            yield Finding("data", "missing", f"{key}: {path} is not there", way_out)


def _encoders(params: Params) -> Iterator[Finding]:
    """That of the items' text, or of every source that has one."""
    embed = params.embed
    if embed.sources is None:
        yield _encoder(embed.encoder, embed.model)
        return
    for each in embed.sources.values():
        if each.encoder is not None:
            yield _encoder(each.encoder, each.model or embed.model)


def _encoder(name: str, model: str) -> Finding:
    package = _ENCODER_PACKAGES.get(name)
    if package is not None and find_spec(package) is None:
        way_out = f"pip install {package.replace('_', '-')}, or choose another embed.encoder"
        return Finding("encoder", "missing", f"{name} wants the package {package}", way_out)
    return Finding("encoder", "ok", f"{name}, {model}" if name != "wordllama" else name)


def _registry(here: Workspace) -> str:
    from sidmint.publishing.opening import open_registry

    path = here.params.registry.path
    champion = open_registry(here.layout, path).champion()
    return f"{path}, champion {champion.version}" if champion else f"{path}, nothing published yet"


def _mlflow(layout: Layout) -> Finding:
    from sidmint.adapters.mlflow_store import tracking_uri

    address = tracking_uri(layout)
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        made = "" if layout.mlflow_database.is_file() else ", made by the first run"
        return Finding("MLflow", "ok", f"a file of the workspace{made}")
    if address.startswith(("http://", "https://")):
        return _server("MLflow", "MLFLOW_TRACKING_URI", f"{address.rstrip('/')}/health")
    kind = address.partition(":")[0]
    return Finding("MLflow", "ok", f"MLFLOW_TRACKING_URI names a {kind} store; not tried")


def _prefect() -> Finding:
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        return Finding("Prefect", "ok", "a server of its own for the length of a run")
    return _server("Prefect", "PREFECT_API_URL", f"{address.rstrip('/')}/health")


def _server(name: str, variable: str, address: str) -> Finding:
    """Whether the server that an environment variable names answers, be it with "who are you"."""
    shown = re.sub(r"//[^/@]*@", "//", address)  # without a password
    way_out = f"start the server, or take {variable} out of the environment"
    if not shown.startswith(("http://", "https://")):
        return Finding(name, "missing", f"{shown} is no http address", way_out)
    try:
        with urllib.request.urlopen(shown, timeout=_TIMEOUT_SECONDS):  # noqa: S310 - http(s) alone
            return Finding(name, "ok", f"{shown} answers")
    except urllib.error.HTTPError as error:
        return Finding(name, "ok", f"{shown} answers ({error.code} {error.reason})")
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        return Finding(name, "missing", f"{shown} does not answer: {reason}", way_out)
