"""A workspace whose stages have run, made by hand in milliseconds; and bare releases."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
import yaml

from embed_world import write_embedding
from gate_world import by_definition
from sidmint.artifacts import Artifacts
from sidmint.errors import RegistryConflict
from sidmint.gate.rules import Rule
from sidmint.gate.verdict import RuleResult, Verdict, result_of
from sidmint.json_text import dump_json
from sidmint.layout import Layout
from sidmint.params import Params, load_params
from sidmint.publishing.bucket import BucketBackend
from sidmint.publishing.promotion import promote
from sidmint.publishing.release import Override, Published, publish, rollback
from sidmint.publishing.store import VersionStore
from sidmint.stages.gate import gate
from workspaces import NO_CHAMPION

ITEMS = ("a", "b", "c", "d")
CODES = {"a": (0, 1), "b": (0, 1), "c": (0, 2), "d": (3, 3)}
SPACES = ("original", "reconstructed", "prefix")
SIDES = ("better", "tied")
FACTS = {"action": "publish", "tokenizer": "t", "by": "test", "reason": None}
"""What a log entry says when the store is used by itself."""
BARE = {
    "tokenizer": "t",
    "num_items": 0,
    "semantic_ids": {},
    "created_at": "2026-01-01T00:00:00+00:00",
    "created_by": "test",
    "override": None,
    "overruled": [],
}
"""What the manifest of a release says where the store is used by itself."""


@dataclass(frozen=True)
class Built:
    """A workspace of two tokenizers, `one` and `two`, of which every stage has run."""

    root: Path

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    @property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.layout)

    @property
    def params(self) -> Params:
        return load_params(self.layout.params)

    @property
    def store(self) -> VersionStore:
        return VersionStore(self.root / "registry")

    def table(self, tokenizer: str) -> Path:
        return self.layout.stage("assign", tokenizer) / "sids.parquet"

    def set_params(self, **changes: Any) -> None:
        values = yaml.safe_load(self.layout.params.read_text())
        self.layout.params.write_text(yaml.safe_dump(values | dict(changes or {})))

    def catalogue(self, items: Sequence[str]) -> None:
        """What ingest and embed would write of `items`; each vector is like itself alone."""
        with self.artifacts.writing("ingest") as out:
            out.table("items", pl.DataFrame({"item_id": items, "title": items}))
            out.json("profile", {"digest": "c0ffee"})
        write_embedding(self.artifacts, np.eye(len(items)))

    def build(
        self,
        tokenizer: str,
        codes: Mapping[str, tuple[int, ...]] = CODES,
        retention: float = 0.8,
        suffixed: bool = True,
    ) -> None:
        """What the stages would write for `tokenizer`, judged against the champion of now.

        The items of `codes` become the catalogue where they are others than its own.
        """
        if sorted(codes) != self.artifacts.items()["item_id"].to_list():
            self.catalogue(sorted(codes))
        with self.artifacts.writing("train", tokenizer) as out:
            out.text("tokenizer.safetensors", f"weights of {tokenizer}")
            out.json("tokenizer", {"name": tokenizer, "config": {"sizes": [4, 8]}})
        with self.artifacts.writing("assign", tokenizer) as out:
            out.table("sids", sid_table(codes, suffixed))
            out.metrics({"num_items": len(codes), "collision_rate": 0.25})
        with self.artifacts.writing("diagnose", tokenizer) as out:
            out.metrics({"n_eff": 2.5, "num_items": len(codes)})
        with self.artifacts.writing("evaluate", tokenizer) as out:
            out.table("cases", case_table(len(codes)))
            out.metrics({"retention_at_100": retention})
        with self.artifacts.writing("recommend", tokenizer) as out:
            out.metrics({})
        with self.artifacts.writing("segments", tokenizer) as out:
            out.metrics({"cold_coverage": 1.0})
        self.judge(tokenizer)

    def judge(
        self,
        tokenizer: str,
        refused: bool = False,
        changes: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """The verdict of the gate on what is there; `refused`: its judge says no to every rule.

        Afterwards `fields` change fields of the verdict as a whole, and `changes` keys of the
        file alone.
        """
        judge = refuse_all if refused else by_definition
        gate(self.params, self.artifacts, tokenizer, judge)
        path = self.layout.stage("gate", tokenizer) / "verdict.json"
        verdict = Verdict.from_dict(json.loads(path.read_text()), "verdict.json")
        edited = replace(verdict, **fields).to_dict() | dict(changes or {})
        if fields or changes:
            path.write_text(json.dumps(edited))

    def publish(self, tokenizer: str | None = None, override: Override | None = None) -> Published:
        return publish(self.params, self.artifacts, self.layout, tokenizer, override, by="test")


def refuse_all(
    rules: Sequence[Rule], measurements: Mapping[str, float | None], docs: Path | None, suite: str
) -> list[RuleResult]:
    """A judge who says no."""
    return [result_of(rule, measurements, False) for rule in rules]


def build_workspace(root: Path) -> Built:
    """`one` passes with retention .8, `two` with .7."""
    built = Built(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    params = {
        "train": {"tokenizers": ["one", "two"]},
        "gate": {
            "select_by": "retention_at_100",
            "rules": {"retention_at_100": {"min": 0.5}},
            "champion": {},
        },
        "registry": {"path": "registry", "model_name": "m"},
    }
    built.layout.params.write_text(yaml.safe_dump(params))
    built.catalogue(ITEMS)
    built.layout.champion.parent.mkdir(exist_ok=True)
    built.layout.champion.write_text(dump_json(NO_CHAMPION))
    with built.artifacts.writing("report") as out:
        out.text("report.html", "<html></html>")
    built.build("one", retention=0.8)
    built.build("two", codes=CODES | {"d": (2, 2)}, retention=0.7)
    return built


def case_table(num_items: int) -> pl.DataFrame:
    """cases.parquet of evaluate: each user comes from one item to the next, found at once."""
    places = range(num_items - 1)
    table = pl.DataFrame({"user_id": [f"u{n}" for n in places], "query_row": places})
    found = [pl.lit(0, pl.Int32).alias(f"{space}_{side}") for space in SPACES for side in SIDES]
    return table.with_columns(target_row=pl.col("query_row") + 1).with_columns(found)


def sid_table(codes: Mapping[str, tuple[int, ...]], suffixed: bool = True) -> pl.DataFrame:
    """sids.parquet of `codes`: items sorted, suffixes counted in their buckets."""
    rows = []
    seen: dict[tuple[int, ...], int] = {}
    for item, code in sorted(codes.items()):
        suffix = seen.get(code, 0)
        seen[code] = suffix + 1
        parts = (*code, suffix) if suffixed else code
        row = {"item_id": item, **{f"code_{n}": c for n, c in enumerate(code, start=1)}}
        rows.append(row | {"suffix": suffix, "semantic_id": "-".join(map(str, parts))})
    return pl.DataFrame(rows).with_columns(cs.integer().cast(pl.Int32))


def files_of(content: Mapping[str, bytes]) -> Any:
    """An `assemble` for the store that writes `content`, names with folders in them allowed."""

    def assemble(folder: Path) -> dict[str, Any]:
        for name, data in content.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return BARE

    return assemble


def publish_bare(store: VersionStore, text: bytes = b"table") -> str:
    """Publish a release of two small files onto whatever is champion; returns its version."""
    champion = store.champion()
    content = {"sids.parquet": text, "tokenizer/tokenizer.json": b"{}"}
    parent = champion.version if champion else None
    return store.publish(files_of(content), parent, FACTS).version


def refresh_bare(store: VersionStore, text: bytes = b"table and more") -> str:
    """Publish such a release as a minor version of whatever is champion; returns its version."""
    champion = store.release().version
    facts = {**FACTS, "action": "refresh"}
    return store.publish(files_of({"sids.parquet": text}), champion, facts, champion).version


def copies(template: Path, root: Path) -> Iterator[Path]:
    """Fresh copies of the folder `template`, without end."""
    number = 0
    while True:
        number += 1
        yield Path(shutil.copytree(template, root / f"{number:03d}"))


def race(
    place: str, racer: int, rounds: int, start: Any, results: Any, kept: str | None = None
) -> None:
    """A process that tries to publish, in each round together with the others.

    Into the folder `place`, or with `kept` (for its own copies) into the bucket there.
    """
    backend = BucketBackend(place, Path(kept, str(racer))) if kept else Path(place)
    for number in range(rounds):
        store = VersionStore(backend)
        champion = store.champion()
        start.wait()
        time.sleep(0)
        try:
            content = {"sids.parquet": f"{racer}/{number}".encode() * 1000}
            store.publish(files_of(content), champion.version if champion else None, FACTS)
            results.put((number, racer, "won"))
        except RegistryConflict:
            results.put((number, racer, "conflict"))
        start.wait()


def race_back(root: str, racer: int, start: Any, results: Any) -> None:
    """A process that rolls back together with the others."""
    built = Built(Path(root))
    start.wait()
    try:
        rollback(built.params, built.layout, to="v0001", by=str(racer))
        results.put("done")
    except RegistryConflict:
        results.put("conflict")
    except BaseException as error:
        results.put(repr(error))


def race_to_promote(root: str, version: str, start: Any, results: Any) -> None:
    """A process that promotes `version`, in its own name, together with another."""
    built = Built(Path(root))
    start.wait()
    try:
        promote(built.params, built.layout, version, by=version)
        results.put((version, "done"))
    except BaseException as error:
        results.put((version, str(error)))
