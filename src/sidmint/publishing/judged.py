"""Which files a verdict is about: what the gate hashes, publish checks and a release contains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sidmint.artifacts import Artifacts
from sidmint.disk import digest
from sidmint.errors import BadInput
from sidmint.publishing.files import SOURCES_FILE

MEASURING_STAGES = ("assign", "diagnose", "evaluate", "recommend", "segments")
"""Whose metrics.json the gate judges, and make up the metrics of a release."""


@dataclass(frozen=True)
class Artifact:
    """A file under data/build that a verdict rests on."""

    stage: str
    file: str
    released_as: str | None = None
    """Its path in a release; None where it is judged and not published."""
    shared: bool = False
    """One for all tokenizers, not one each."""
    optional: bool = False
    """May be missing: the recommender where `recommend` is null, a comparison without champion."""


JUDGED = (
    Artifact("ingest", "items.parquet", shared=True),
    Artifact("ingest", "profile.json", shared=True, optional=True),
    Artifact("embed", "embeddings.npy", shared=True),
    Artifact("embed", "embed.json", shared=True),
    Artifact("embed", "neighbours.faiss", "neighbours.faiss", shared=True),
    Artifact("embed", SOURCES_FILE, SOURCES_FILE, shared=True, optional=True),
    Artifact("train", "tokenizer.safetensors", "tokenizer/tokenizer.safetensors"),
    Artifact("train", "tokenizer.json", "tokenizer/tokenizer.json"),
    Artifact("assign", "sids.parquet", "sids.parquet"),
    Artifact("evaluate", "cases.parquet", "cases.parquet"),
    Artifact(
        "recommend", "recommender.safetensors", "recommender/recommender.safetensors", optional=True
    ),
    Artifact("recommend", "recommender.json", "recommender/recommender.json", optional=True),
    Artifact("segments", "comparison.parquet", optional=True),
    *(Artifact(stage, "metrics.json") for stage in MEASURING_STAGES),
)
"""Everything that a verdict is about, and everything of a stage that a release contains."""


def fingerprints(artifacts: Artifacts, tokenizer: str) -> dict[str, str]:
    """SHA-256 of every file in `JUDGED` for `tokenizer`, by "stage/file".

    `BadInput` names a file that must be there and is not. An optional one that is missing has
    no entry: that it was missing is part of what was judged.
    """
    found = {}
    for each in JUDGED:
        path = artifacts.layout.stage(each.stage, None if each.shared else tokenizer) / each.file
        if path.is_file():
            found[f"{each.stage}/{each.file}"] = digest(path)
        elif not each.optional:
            raise BadInput(f"{path} is not there; `sidmint run` brings every stage up to date")
    return found


def changes(judged: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between the files that were judged and those that are there, a reason each."""
    reasons = []
    for name in sorted(judged.keys() | now.keys()):
        if judged.get(name) == now.get(name):
            continue
        if name not in now:
            what = "is gone"
        elif name not in judged:
            what = "was not judged"
        else:
            what = f"has other bytes than were judged (sha256 {now[name][:12]}, "
            what += f"judged {judged[name][:12]})"
        reasons.append(f"stale verdict: {name} {what}; `sidmint run` judges what is there")
    return reasons
