"""A value set in a YAML text: what is meant changes, and no other character does."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sidmint.layout import Layout
from sidmint.presets import train_only
from sidmint.presets.splicing import with_value
from sidmint.sources.bring_in import demo_params

BLOCK = """\
# head
train:
  tokenizers:   # which
  - a
  - b
  # after the list
  fit_on: all

tokenizers:
  a: {sizes: [1, 2], steps: 5}  # flow
  b:
    # of b
    sizes:
      - 1
      - 2

    steps: null
end: "x"   # last
"""


@pytest.mark.parametrize(
    ("path", "value", "before", "after"),
    [
        (("tokenizers", "a", "sizes"), [7], "[1, 2]", "[7]"),
        (("tokenizers", "b", "sizes"), [7], ":\n      - 1\n      - 2", ": [7]"),
        (("tokenizers", "a"), {"sizes": [7]}, "{sizes: [1, 2], steps: 5}", "{sizes: [7]}"),
        (("tokenizers", "a", "new"), [7], "{sizes: [1", "{new: [7], sizes: [1"),
        (("tokenizers", "c", "sizes"), [7], "  a: {siz", "  c: {sizes: [7]}\n  a: {siz"),
        (("other", "deep"), [7], "train:", "other: {deep: [7]}\ntrain:"),
    ],
)
def test_one_place_changes(path: tuple[str, ...], value: object, before: str, after: str):
    assert BLOCK.count(before) == 1
    assert with_value(BLOCK, path, value) == BLOCK.replace(before, after)  # type: ignore[arg-type]


def test_a_list_in_a_block_ends_before_the_comments_that_follow_it():
    changed = with_value(BLOCK, ("train", "tokenizers"), ["a"])
    assert changed == BLOCK.replace(":   # which\n  - a\n  - b", ": [a]")


@pytest.mark.parametrize("text", ["tokenizers:\n", "tokenizers: null\n", "tokenizers: {}\n"])
def test_a_section_without_anything_is_filled(text: str):
    changed = with_value(text, ("tokenizers", "a", "sizes"), [7])
    assert changed is not None
    assert yaml.safe_load(changed) == {"tokenizers": {"a": {"sizes": [7]}}}


def test_where_a_reference_stands_in_the_way_the_text_is_not_spoilt():
    text = "one: &x {sizes: [1]}\ntwo: *x\n"
    assert with_value(text, ("two", "sizes"), [7]) is None


@pytest.mark.parametrize("name", ["rq_kmeans", "quasid"])
def test_the_demo_changes_in_the_lines_of_its_tokenizers_alone(name: str, tmp_path: Path):
    (tmp_path / "params.yaml").write_text(demo_params(), encoding="utf-8")
    own = yaml.safe_load(demo_params())["tokenizers"].get(name, {})
    train_only(Layout(tmp_path), name, {**own, "sizes": [128, 128]})
    after = (tmp_path / "params.yaml").read_text(encoding="utf-8").splitlines()
    before = demo_params().splitlines()
    new = [line for line in after if line not in before]
    assert f"  tokenizers: [{name}]" in new
    assert len(new) == 2
    kept = [line for line in before if "tokenizers: [" not in line and "sizes: [64" not in line]
    assert [line for line in after if line in kept] == kept


def test_references_are_written_out_by_the_editor(tmp_path: Path):
    text = "train: {tokenizers: [b]}\ntokenizers:\n  a: &x {sizes: [4]}\n  b: *x\n"
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    train_only(Layout(tmp_path), "b", {"sizes": [8]})
    params = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    assert params["tokenizers"] == {"a": {"sizes": [4]}, "b": {"sizes": [8]}}
    assert params["train"] == {"tokenizers": ["b"]}
