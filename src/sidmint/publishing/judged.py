"""Which files a verdict is about: what the gate hashes, publish checks and a release contains."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sidmint.artifacts import Artifacts
from sidmint.disk import digest
from sidmint.errors import BadInput
from sidmint.execution.checking import verified_digest
from sidmint.execution.engine import Engine, InThisProcess
from sidmint.execution.shards import PARTS
from sidmint.progress import Track, silent
from sidmint.publishing.files import SOURCES_FILE

MEASURING_STAGES = ("assign", "diagnose", "evaluate", "recommend", "segments")
"""Whose metrics.json the gate judges, and make up the metrics of a release."""


@dataclass(frozen=True)
class Artifact:
    """A file under data/build that a verdict rests on; of a table in parts, their folder."""

    stage: str
    file: str
    """Of a table in parts NAME/ is there in place of NAME.parquet."""
    released_as: str | None = None
    """Its path in a release; None where it is judged and not published."""
    shared: bool = False
    """One for all tokenizers, not one each."""
    optional: bool = False
    """May be missing: the recommender where `recommend` is null, a comparison without champion."""

    @property
    def name(self) -> str:
        """What a fingerprint calls the file."""
        return f"{self.stage}/{self.file}"

    @property
    def parts(self) -> str | None:
        """What a fingerprint calls the parts.json of the same table; None where it is no table."""
        stem, _, suffix = self.name.rpartition(".")
        return f"{stem}/{PARTS}" if suffix == "parquet" else None


TABLE = Artifact("assign", "sids.parquet", "sids.parquet")
"""The table of ids."""

JUDGED = (
    Artifact("ingest", "items.parquet", shared=True),
    Artifact("ingest", "profile.json", shared=True, optional=True),
    Artifact("embed", "embeddings.npy", shared=True),
    Artifact("embed", "embed.json", shared=True),
    Artifact("embed", "neighbours.faiss", "neighbours.faiss", shared=True),
    Artifact("embed", SOURCES_FILE, SOURCES_FILE, shared=True, optional=True),
    Artifact("train", "tokenizer.safetensors", "tokenizer/tokenizer.safetensors"),
    Artifact("train", "tokenizer.json", "tokenizer/tokenizer.json"),
    TABLE,
    Artifact("evaluate", "cases.parquet", "cases.parquet"),
    Artifact(
        "recommend", "recommender.safetensors", "recommender/recommender.safetensors", optional=True
    ),
    Artifact("recommend", "recommender.json", "recommender/recommender.json", optional=True),
    Artifact("segments", "comparison.parquet", optional=True),
    *(Artifact(stage, "metrics.json") for stage in MEASURING_STAGES),
)
"""Everything that a verdict is about, and everything of a stage that a release contains."""


_HERE = InThisProcess()


def fingerprints(
    artifacts: Artifacts,
    tokenizer: str,
    engine: Engine = _HERE,
    track: Track = silent,
    without: Collection[str] = (),
) -> dict[str, str]:
    """SHA-256 of every file in `JUDGED` for `tokenizer`, by "stage/file".

    For a table in parts stands its parts.json ("stage/NAME/parts.json"), after `engine` has checked
    the bytes of every part against it. Files named in `without` are left out.

    `BadInput` names a file that must be there and is not, and the part (and the row where there is
    one) that is not what parts.json says. An optional file that is missing has no entry: that it
    was missing is part of what was judged.
    """
    found = {}
    for each in JUDGED:
        folder = artifacts.layout.stage(each.stage, None if each.shared else tokenizer)
        path = folder / each.file
        parts = path.with_suffix("")
        if each.parts is not None and parts.is_dir():
            if each.parts not in without:
                found[each.parts] = verified_digest(parts, engine, track)
        elif path.is_file():
            if each.name not in without:
                found[each.name] = digest(path)
        elif not each.optional:
            raise BadInput(f"{path} is not there; `sidmint run` brings every stage up to date")
    return found


def table_of(found: Mapping[str, str]) -> str:
    """Of fingerprints, the one of the table of ids."""
    return found.get(TABLE.name) or found[str(TABLE.parts)]


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
