"""`sidmint.load` reads a registry in a bucket as it reads a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import sidmint
from releases import FACTS
from s3 import S3
from served_world import ITEM_IDS, served_world
from sidmint.errors import BadInput
from sidmint.publishing.bucket import BucketBackend
from sidmint.publishing.store import VersionStore


def test_a_table_in_a_bucket_answers_the_same(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = served_world(tmp_path / "w")
    table = sidmint.load(built.root / "registry")
    release = built.store.release()

    def assemble(folder: Path) -> dict[str, object]:
        for name in release.manifest["files"]:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(release.file(name), folder / name)
        own = ("files", "version", "parent")
        return {key: value for key, value in release.manifest.items() if key not in own}

    address = "s3://tables/shop"
    VersionStore(BucketBackend(address, tmp_path / "writer")).publish(assemble, None, FACTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    far = sidmint.load(address)
    assert far.semantic_ids(ITEM_IDS).equals(table.semantic_ids(ITEM_IDS))
    assert far.encode(["oak desk"]).semantic_ids == table.encode(["oak desk"]).semantic_ids
    assert far.neighbours("item-03") == table.neighbours("item-03")
    assert far.recommend(["item-00"]) == table.recommend(["item-00"])
    with pytest.raises(BadInput, match=r"s3://tables/other holds no published table"):
        sidmint.load("s3://tables/other")
    with pytest.raises(BadInput, match=r"s3://"):
        sidmint.load("s3://no_bucket_of_this_name")
