"""From the user's own files to a workspace that can run: copy them in, write params.yaml.

Everything is looked at before anything is written, so a file that cannot be understood
leaves the workspace as it was.
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML

from sidmint.embedding import align_rows, check_vectors
from sidmint.embedding.precomputed import as_ids
from sidmint.errors import BadInput
from sidmint.layout import Layout, safe_name
from sidmint.params import parse_params
from sidmint.sources.detect import Proposal, Reading, propose
from sidmint.sources.frames import read_frame
from sidmint.sources.item_ids import AS_WRITTEN
from sidmint.sources.vectors import item_id_column, read_vectors
from sidmint.templates import demo_params

_SELECTED_WITHOUT_LOG = "relative_mse"
"""Of ids that nobody can be asked about, those that keep most of the vectors lead."""
TEXT = "text"
"""The source that an encoder makes of the items' text, where others are joined with it."""
_RAW_GITIGNORE = "# DVC lists the files it tracks in this folder below.\n"


@dataclass(frozen=True)
class Sources:
    """The user's files. `kind` is `ingest.source`; for movielens `items` is the set's folder."""

    kind: str
    items: Path
    interactions: Path | None
    vectors: Path | None
    name: str | None = None
    """Of the catalogue: its registry folder and MLflow model carry it. Default: the folder's."""
    reading: Reading = field(default_factory=Reading)
    """How files of a table are read."""
    named: Mapping[str, Path] = field(default_factory=dict)
    """Vectors to be joined with those of the text, by the name of their source."""


@dataclass(frozen=True)
class BroughtIn:
    """The paths to put under DVC, and what was seen, in words."""

    tracked: tuple[Path, ...]
    notes: tuple[str, ...]


def bring_in(layout: Layout, sources: Sources) -> BroughtIn:
    """Copy the user's files to data/raw and write the params.yaml that fits them.

    What fits is `detect.propose`'s answer. Raises `BadInput` before anything is written, for
    vectors too that a later stage would refuse.
    """
    if sources.named and sources.vectors is not None:
        raise BadInput(
            f"{sources.vectors} has no name beside {', '.join(sources.named)}; say the source of "
            "each: --vectors NAME=FILE"
        )
    given = (sources.items, sources.interactions, sources.vectors, *sources.named.values())
    for path in given:
        if path is not None and not path.exists():
            raise BadInput(f"{path} is not there; give the path of an existing file or folder")
    proposal = propose(sources.items, sources.interactions, sources.kind, sources.reading)
    for path in (sources.vectors, *sources.named.values()):
        if path is not None:
            _check_vectors(path, sources, proposal)
    targets = _targets(layout, sources)
    text = _params_text(sources, proposal, {k: t.name for k, (_, t) in targets.items()})
    parse_params(yaml.safe_load(text), "the proposed params.yaml")
    _replace_raw(layout, targets)
    layout.params.write_text(text, encoding="utf-8")
    return BroughtIn(tuple(target for _, target in targets.values()), proposal.notes)


def back_to_demo(layout: Layout) -> None:
    """Write the built-in params.yaml; files under data/raw leave it (DVC's cache keeps them)."""
    _replace_raw(layout, {})
    layout.params.write_text(demo_params(), encoding="utf-8")


def _check_vectors(path: Path, sources: Sources, proposal: Proposal) -> None:
    """`BadInput` for what `embed` would refuse three stages later: rows, NaN, zeros, objects."""
    column = item_id_column(proposal.columns)

    def ids_of_rows() -> tuple[list[str], str]:
        if sources.kind != "table":
            raise BadInput(
                f"{path.name}: rows of an .npy file follow the items file of source table, and the "
                f"source is {sources.kind}; bring Parquet with an item_id column"
            )
        items = read_frame(sources.items, sources.reading.encoding)
        return as_ids(items[column], sources.items.name), sources.items.name

    found, vectors = read_vectors(path, path.name, column, ids_of_rows)
    known = align_rows(vectors, found, proposal.item_ids, path.name)
    check_vectors(known, proposal.item_ids, path.name)


def _catalogue_name(sources: Sources) -> str:
    if sources.name is not None:
        return safe_name(sources.name, "catalogue")
    folder = sources.items if sources.items.is_dir() else sources.items.resolve().parent
    return re.sub(r"[^A-Za-z0-9]+", "-", folder.resolve().name).strip("-").lower() or "catalogue"


def _targets(layout: Layout, sources: Sources) -> dict[str, tuple[Path, Path]]:
    """Role -> (where the file is, where it goes). Known formats keep their file names."""
    given = {
        "items": sources.items,
        "interactions": sources.interactions,
        "vectors": sources.vectors,
        **{_role(name): path for name, path in sources.named.items()},
    }
    targets = {}
    for role, path in given.items():
        if path is None:
            continue
        keep_name = sources.kind != "table" and not role.startswith("vectors")
        name = path.name if keep_name else role + ("" if path.is_dir() else "".join(path.suffixes))
        targets[role] = (path, layout.raw / name)
    return targets


def _role(source: str) -> str:
    """What the file of a named source is called under data/raw."""
    return f"vectors-{safe_name(source, 'source')}"


def _replace_raw(layout: Layout, targets: dict[str, tuple[Path, Path]]) -> None:
    draft = layout.raw.with_name(".raw.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    (draft / ".gitignore").write_text(_RAW_GITIGNORE, encoding="utf-8")
    for origin, target in targets.values():
        copy = shutil.copytree if origin.is_dir() else shutil.copyfile
        copy(origin, draft / target.name)
    shutil.rmtree(layout.raw, ignore_errors=True)
    draft.replace(layout.raw)


def _params_text(sources: Sources, proposal: Proposal, names: dict[str, str]) -> str:
    """The demo's params.yaml with the values that the user's files ask for; comments stay."""
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 100
    params: Any = editor.load(demo_params())
    ingest = params["ingest"]
    ingest["source"] = sources.kind
    ingest["items"] = f"data/raw/{names['items']}"
    if "interactions" in names:
        ingest["interactions"] = f"data/raw/{names['interactions']}"
    name = _catalogue_name(sources)
    params["report"]["title"] = f"Semantic IDs of {name}"
    # A registry a catalogue: a champion of other items would be no measure for these.
    params["registry"]["path"] = f"registry/{name}"
    params["registry"]["model_name"] = f"sidmint-{name}"
    if "vectors" in names:
        params["embed"]["encoder"] = "precomputed"
        params["embed"]["path"] = f"data/raw/{names['vectors']}"
    if sources.named:
        text = {} if TEXT in sources.named else {TEXT: {"encoder": params["embed"]["encoder"]}}
        files = {name: {"path": f"data/raw/{names[_role(name)]}"} for name in sorted(sources.named)}
        params["embed"]["sources"] = text | files
    ingest["columns"] = dict(proposal.columns)
    if sources.reading.encoding != "utf-8":
        ingest["encoding"] = sources.reading.encoding
    if sources.reading.id_format != AS_WRITTEN:
        ingest["id_format"] = sources.reading.id_format
    ingest["min_interactions"] = proposal.min_interactions
    if proposal.drop_unknown:
        ingest["unknown_items"] = "drop"
    if proposal.by_time:
        ingest["protocol"] = "time"
        ingest["tie_order"] = "shuffled"
        ingest["cold_share"] = 0.0  # time itself withholds items
    params["train"]["fit_on"] = proposal.fit_on
    if not proposal.has_log:
        params["gate"]["select_by"] = _SELECTED_WITHOUT_LOG
    params["embed"]["template"] = proposal.template
    for settings in params["tokenizers"].values():
        settings["sizes"] = list(proposal.sizes)
    for metric, rule in proposal.rules.items():
        params["gate"]["rules"][metric].update(rule)
    written = io.StringIO()
    editor.dump(params, written)
    return written.getvalue()
